"""Figures of a report as plotly.js records (data + layout), built without the plotly package.

===================  ============================================  ===================
symbol               meaning                                       name here
===================  ============================================  ===================
F = -kT ln(p/p_max)  free energy over phi/psi, 30 x 30 bins        free_energy_surface
===================  ============================================  ===================

An empty bin has no free energy and stays blank.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimators.distributions import BINS_1D, BINS_2D, FloatArray, torsion_histogram, torsion_histogram_2d
from ..estimators.features import ResidueTorsions

MODEL_COLOUR = "#c2410c"
MD_COLOUR = "#1d4ed8"
MAXIMUM_TRACE_POINTS = 3000
MAXIMUM_FREE_ENERGY = 20.0  # kJ/mol; the colour scale ends there

_TICKS = {"tickvals": [-180, -90, 0, 90, 180], "range": [-180, 180]}
_NOTED_FRACTION = 0.01  # of frames beyond an axis

Figure = dict[str, Any]
Array = NDArray[Any]


def _figure(figure_id: str, title: str, data: list[Figure], layout: Figure) -> Figure:
    return {"id": figure_id, "title": title, "data": data, "layout": layout}


def _centres(bins: int) -> list[float]:
    return (-180.0 + (np.arange(bins) + 0.5) * 360.0 / bins).tolist()


def free_energy_surface(phi: ArrayLike, psi: ArrayLike, kt: float, bins: int = BINS_2D) -> FloatArray:
    """F over the torus (kJ/mol), shape (bins, bins), first index phi; NaN where no frame fell."""
    phi, psi = np.asarray(phi).ravel(), np.asarray(psi).ravel()
    finite = np.isfinite(phi) & np.isfinite(psi)
    counts = torsion_histogram_2d(phi[finite], psi[finite], bins)
    with np.errstate(divide="ignore"):
        surface = -kt * np.log(counts / max(counts.max(), 1.0))
    return np.where(counts > 0, surface, np.nan) + 0.0


@dataclass(frozen=True)
class MapAxes:
    """The axes of a map: bin centres, titles with units, and how plotly lays each out."""

    x: Array
    y: Array
    x_title: str
    y_title: str
    x_layout: Figure = field(default_factory=dict)
    y_layout: Figure = field(default_factory=dict)


def torsion_axes(bins: int = BINS_2D) -> MapAxes:
    """The torus of phi and psi, square."""
    square = {"constrain": "domain", "showgrid": False}
    return MapAxes(
        np.array(_centres(bins)), np.array(_centres(bins)), "φ / °", "ψ / °",
        {**_TICKS, **square}, {**_TICKS, **square, "scaleanchor": "x"},
    )  # fmt: skip


def map_figure(
    figure_id: str,
    title: str,
    values: Array,
    axes: MapAxes,
    *,
    top: float,
    unit: str,
    hover: str,
    bottom: float = 0.0,
    colours: str = "Viridis",
) -> Figure:
    """A coloured map of `values`, shape (n_x, n_y), on a colour scale from `bottom` to `top`; NaN stays blank."""
    heat = {
        "type": "heatmap",
        "x": axes.x,
        "y": axes.y,
        "z": np.round(values.T, 3),
        "zmin": bottom,
        "zmax": round(top, 3),
        "colorscale": colours,
        "colorbar": {"title": {"text": unit, "side": "right"}, "thickness": 12},
        "hovertemplate": hover + "<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": axes.x_title}, **axes.x_layout},
        "yaxis": {"title": {"text": axes.y_title}, **axes.y_layout},
        "height": 380,
    }
    return _figure(figure_id, title, [heat], layout)


def surface_figures(
    index: int,
    model: ResidueTorsions,
    reference: ResidueTorsions | None,
    kt: float,
    names: tuple[str, str],
    *,
    unit: str = "kJ/mol",
    maximum: float = MAXIMUM_FREE_ENERGY,
) -> list[Figure]:
    """The free-energy surface of the run and, on the same colour scale, of the reference.

    `kt` is in `unit`: 1 for surfaces in kT. The colour scale ends at `maximum`.
    """
    surfaces = [free_energy_surface(model.phi, model.psi, kt)]
    if reference is not None:
        surfaces.append(free_energy_surface(reference.phi, reference.psi, kt))
    top = min(maximum, max(float(np.nanmax(surface, initial=1.0)) for surface in surfaces))
    hover = f"φ %{{x:.0f}}°, ψ %{{y:.0f}}°<br>%{{z:.1f}} {unit}"
    return [
        map_figure(
            f"surface-{index}-{which}", f"{model.label}: {names[which]}", surface, torsion_axes(),
            top=top, unit=unit, hover=hover,
        )
        for which, surface in enumerate(surfaces)
    ]  # fmt: skip


def marginal_figures(
    index: int, model: ResidueTorsions, reference: ResidueTorsions | None, names: tuple[str, str]
) -> list[Figure]:
    """Densities of phi and of psi (60 bins), run and reference."""
    figures = []
    for key, symbol in (("phi", "φ"), ("psi", "ψ")):
        data = [_density(getattr(model, key), names[0], MODEL_COLOUR, "solid")]
        if reference is not None:
            data.append(_density(getattr(reference, key), names[1], MD_COLOUR, "dot"))
        layout = {
            "xaxis": {"title": {"text": f"{symbol} / °"}, **_TICKS},
            "yaxis": {"title": {"text": "density / °⁻¹"}, "rangemode": "tozero"},
            "height": 260,
        }
        figures.append(_figure(f"{key}-{index}", f"{model.label}: {symbol}", data, layout))
    return figures


def _density(angles: FloatArray, name: str, colour: str, dash: str) -> Figure:
    finite = angles[np.isfinite(angles)]
    density = torsion_histogram(finite) / (max(len(finite), 1) * 360.0 / BINS_1D)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": _centres(BINS_1D),
        "y": np.round(density, 6),
        "line": {"color": colour, "width": 2, "shape": "hvh", "dash": dash},
    }


def energy_figure(histograms: dict[str, Any], names: tuple[str, str]) -> Figure:
    """Densities of the potential energy, from `efficiency.energy_histograms`."""
    data = []
    for key, name, colour in (("model", names[0], MODEL_COLOUR), ("md", names[1], MD_COLOUR)):
        if histograms[key]:
            line = {"color": colour, "width": 2, "shape": "hvh", "dash": "solid" if key == "model" else "dot"}
            values = np.round(histograms[key], 6)
            centres = np.round(histograms["centre_kj_mol"], 3)
            data.append(
                {"type": "scatter", "mode": "lines", "name": name, "x": centres, "y": values, "line": line}
            )
    layout = {
        "xaxis": {"title": {"text": "potential energy / kJ mol⁻¹"}},
        "yaxis": {"title": {"text": "density / mol kJ⁻¹"}, "rangemode": "tozero"},
        "height": 300,
    }
    figure = _figure("energy", "Potential energy", data, layout)
    if histograms["outside"] > _NOTED_FRACTION:
        figure["note"] = f"{100 * histograms['outside']:.1f} % of this run's frames lie beyond the axis."
    return figure


def torsion_trace(index: int, torsions: ResidueTorsions, times_ns: NDArray[np.floating]) -> Figure:
    """phi and psi against model time, thinned to at most 3,000 points each."""
    step = trace_stride(len(times_ns))
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": symbol,
            "x": np.round(times_ns[::step], 5),
            "y": np.round(getattr(torsions, key)[::step], 1),
            "marker": {"size": 3, "color": colour},
        }
        for key, symbol, colour in (("phi", "φ", "#0f766e"), ("psi", "ψ", "#9333ea"))
    ]
    layout = {
        "xaxis": {"title": {"text": "model time / ns"}},
        "yaxis": {"title": {"text": "torsion / °"}, **_TICKS},
        "height": 260,
    }
    return _figure(f"trace-{index}", f"{torsions.label}: φ and ψ", data, layout)


def energy_trace(energies: FloatArray, times_ns: NDArray[np.floating]) -> Figure:
    """Potential energy against model time, thinned to at most 3,000 points."""
    step = trace_stride(len(times_ns))
    data = {
        "type": "scatter",
        "mode": "lines",
        "name": "potential energy",
        "x": np.round(times_ns[::step], 5),
        "y": np.round(energies[::step], 2),
        "line": {"width": 1, "color": MODEL_COLOUR},
    }
    layout = {
        "xaxis": {"title": {"text": "model time / ns"}},
        "yaxis": {"title": {"text": "energy / kJ mol⁻¹"}},
        "height": 220,
        "showlegend": False,
    }
    return _figure("energy-trace", "Potential energy", [data], layout)


def trace_stride(n_points: int) -> int:
    """Points of a series to one point of its time trace."""
    return max(1, -(-n_points // MAXIMUM_TRACE_POINTS))
