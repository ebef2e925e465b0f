"""Histograms on the range of a reference, as the paper has them and as they should be.

=======================  ==============================================================  ====================
symbol                   meaning                                                         name here
=======================  ==============================================================  ====================
e_0 < ... < e_B          bin edges of one axis, from the reference alone                 edges
n_k / (n V_k)            density in a cell of volume V_k                                 Grid.weights
1e-6                     pseudo-count, added to the *density* (paper only)               pseudo_density
d_JS                     Jensen-Shannon distance, natural logarithm                      Grid.distance
=======================  ==============================================================  ====================

Source: UniSim's evaluation (spec section 13): 50 edges = 49 bins between the extremes of the reference, model samples
beyond them dropped. Since the pseudo-count is added to a density, the paper's figure depends (weakly) on the unit of
what is binned: nm for lengths, radians for torsions.

Strict histograms go on beyond the reference's extremes by a margin of equal bins and end in an underflow and an
overflow bin on each axis, so that every sample counts; there is no pseudo-count. A NaN or infinite value (overflow of
an exploded frame) counts as beyond the range in both.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from .distributions import BINS_2D, MAXIMUM_JS_DISTANCE, FloatArray, js_distance

Mode = Literal["paper", "strict"]
Cells = NDArray[np.integer[Any]]

PAPER_BINS = 49
PAPER_PSEUDO_DENSITY = 1e-6
STRICT_BINS = {1: 49, 2: 30}  # bins within the reference's range, by number of axes
STRICT_MARGIN = {1: 5, 2: 3}  # further bins on each side, a tenth of the range


def checked_mode(mode: str) -> Mode:
    """The mode, if there is one of that name."""
    if mode not in get_args(Mode):
        raise ConfigError(f"mode '{mode}' is unknown; use 'paper' or 'strict'.")
    return mode  # type: ignore[return-value]


@dataclass(frozen=True)
class Grid:
    """Cells of a histogram with one or more axes.

    Attributes
    ----------
    edges : tuple of ndarray, each (n_bins + 1,)
        Increasing, one array an axis; the last bin is closed on the right.
    counts_outside : bool
        Whether samples beyond the edges are counted (in outer cells) or dropped.
    pseudo_density : float
        Added to the density of each cell.
    """

    edges: tuple[FloatArray, ...]
    counts_outside: bool
    pseudo_density: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis, the two outer ones included."""
        return tuple(len(edges) + 1 for edges in self.edges)

    def cells(self, values: ArrayLike) -> Cells:
        """Flat index of the cell of each sample: values (..., n_axes) give (...); outer cells stand for 'beyond'."""
        samples = np.asarray(values, dtype=np.float64)
        if samples.shape[-1:] != (len(self.edges),):
            raise ConfigError(
                f"samples of shape {samples.shape} don't fit a grid of {len(self.edges)} axes; make that the last axis."
            )
        index = []
        for axis, edges in enumerate(self.edges):
            column = samples[..., axis]
            place = np.searchsorted(
                edges, column, side="right"
            )  # 0 below, 1 ... n_bins, n_bins + 1 above or NaN
            index.append(np.where(column == edges[-1], len(edges) - 1, place))
        flat = np.ravel_multi_index(tuple(index), self.shape)
        return flat.astype(np.min_scalar_type(int(np.prod(self.shape))))

    def outside(self, cells: Cells) -> float:
        """Fraction of samples beyond the edges of any axis."""
        return (cells.size - float(self._inner(self._counts(cells)).sum())) / cells.size

    def weights(self, cells: Cells) -> FloatArray | None:
        """Density of each cell (or the count, where outside samples count), flat; None if no sample lies inside."""
        counts = self._counts(cells)
        if self.counts_outside:
            return counts.ravel()
        inner = self._inner(counts)
        if inner.sum() == 0:
            return None
        volume = reduce(np.multiply.outer, [np.diff(edges) for edges in self.edges])
        return np.asarray(inner / (inner.sum() * volume) + self.pseudo_density).ravel()

    def distance(self, first: Cells, second: Cells) -> float:
        """JS distance of two sets of cells; sqrt(ln 2), the value of disjoint sets, if one of them lies outside."""
        p, q = self.weights(first), self.weights(second)
        return MAXIMUM_JS_DISTANCE if p is None or q is None else js_distance(p, q)

    def _counts(self, cells: Cells) -> FloatArray:
        size = int(np.prod(self.shape))
        return np.bincount(np.ravel(cells), minlength=size).reshape(self.shape).astype(np.float64)

    def _inner(self, counts: FloatArray) -> FloatArray:
        return counts[(slice(1, -1),) * len(self.edges)]


def reference_grid(reference: ArrayLike, mode: Mode) -> Grid | None:
    """Grid on the range of the reference's samples, (n_samples, n_axes); None if they don't vary on some axis."""
    samples = np.asarray(reference, dtype=np.float64)
    low, high = samples.min(axis=0), samples.max(axis=0)
    if not (np.isfinite(low) & np.isfinite(high) & (high > low)).all():
        return None
    if mode == "paper":
        edges = tuple(np.linspace(a, b, PAPER_BINS + 1) for a, b in zip(low, high))
        return Grid(edges, counts_outside=False, pseudo_density=PAPER_PSEUDO_DENSITY)
    bins, margin = STRICT_BINS[samples.shape[1]], STRICT_MARGIN[samples.shape[1]]
    widths = (high - low) / bins
    edges = tuple(
        np.linspace(a - margin * w, b + margin * w, bins + 2 * margin + 1)
        for a, b, w in zip(low, high, widths)
    )
    return Grid(edges, counts_outside=True)


def torus_grid() -> Grid:
    """30 x 30 bins on the whole torus, degrees, as `distributions.torsion_histogram_2d`; NaN counts as outside."""
    edges = np.linspace(-180.0, 180.0, BINS_2D + 1)
    return Grid((edges, edges), counts_outside=True)


@dataclass(frozen=True)
class GridColumns:
    """One grid for each of several figures, whose JS distances are averaged (PWD over pairs, TIC over components)."""

    grids: tuple[Grid, ...]

    def cells(self, values: ArrayLike) -> Cells:
        """Cells of each column: values (n_frames, n_columns) give the same shape."""
        samples = np.asarray(values)
        columns = [grid.cells(samples[:, k : k + 1]) for k, grid in enumerate(self.grids)]
        return np.stack(columns, axis=1)

    def distance(self, first: Cells, second: Cells) -> float:
        """Mean over the columns of their JS distances."""
        return float(np.mean([g.distance(first[:, k], second[:, k]) for k, g in enumerate(self.grids)]))

    def outside(self, cells: Cells) -> float:
        """Fraction of samples beyond the range, all columns together."""
        return float(np.mean([grid.outside(cells[:, k]) for k, grid in enumerate(self.grids)]))


def reference_columns(reference: ArrayLike, mode: Mode) -> GridColumns | None:
    """A grid for each column of the reference's samples, (n_frames, n_columns); None if some column doesn't vary."""
    samples = np.asarray(reference)
    grids = [reference_grid(samples[:, k : k + 1], mode) for k in range(samples.shape[1])]
    return GridColumns(tuple(g for g in grids if g is not None)) if all(grids) else None
