"""Figures of an evaluation as plotly.js records, by section, model and reference always side by side or on one axis.

===============================  =============================================================  ==================
symbol                           meaning                                                        name here
===============================  =============================================================  ==================
F = -ln(p/p_max), kT             free energy over the two slowest components                    tic_surface
C(t) = <dx(0) dx(t)>/<dx^2>      autocorrelation of a basin's indicator or of TIC0 (emcee)      autocorrelation
===============================  =============================================================  ==================

Only what figures need is thinned; every number in a table comes from all frames.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..comparison import Comparison
from ..estimators.distributions import FloatArray
from ..estimators.efficiency import energy_histograms
from ..estimators.features import ResidueTorsions, backbone_torsions
from ..estimators.frame_energies import XH_BONDS
from ..metrics.basins import BasinSet, state_series
from ..sections import SectionArrays
from .curves import NAMES, curves, line, marks
from .plots import (
    MODEL_COLOUR,
    Figure,
    MapAxes,
    energy_figure,
    free_energy_surface,
    map_figure,
    surface_figures,
    torsion_axes,
    torsion_trace,
)

MAXIMUM_DRAWN_RESIDUES = 6
MAXIMUM_POINTS = 2000
TIC_BINS = 50
MAXIMUM_KT = 8.0  # the colour scale of surfaces ends there
_DENSITY_BINS = 50
_CURVE_POINTS = 200
_CORRELATION_TIMES = 4.0  # an autocorrelation function is drawn over so many independent-sample times

Metrics = dict[str, dict[str, Any]]


def evaluation_figures(
    record: dict[str, Any], comparison: Comparison, arrays: SectionArrays, basins: BasinSet | None
) -> dict[str, list[Figure]]:
    """Figures by section key; a section without any has an empty list."""
    metrics = {metric["key"]: metric for section in record["sections"] for metric in section["metrics"]}
    model = backbone_torsions(comparison.model_series, comparison.topology)
    reference = backbone_torsions(comparison.reference, comparison.topology)
    return {
        "surfaces": [*_torsion_surfaces(model, reference), *_ramachandran(model, reference)],
        "structure": _structure_figures(arrays),
        "torsions": _traces(comparison, model, reference),
        "kinetics": [
            *_correlation_figures(comparison, arrays, basins, metrics),
            *_timescale_figures(metrics),
        ],
        "free_energy": _free_energy_figure(metrics),
        "geometry": [],
        "energy": _energy_figures(arrays),
        "drift": _drift_figures(metrics),
        "ensemble": [],
    }


# --- torsions ------------------------------------------------------------------------------------------------------


def _torsion_surfaces(model: list[ResidueTorsions], reference: list[ResidueTorsions]) -> list[Figure]:
    figures = []
    for index, (ours, md) in enumerate(zip(model[:MAXIMUM_DRAWN_RESIDUES], reference)):
        figures += surface_figures(index, ours, md, 1.0, NAMES, unit="kT", maximum=MAXIMUM_KT)
    return figures


def _ramachandran(model: list[ResidueTorsions], reference: list[ResidueTorsions]) -> list[Figure]:
    """Every residue together: points of the model on the surface of the reference."""
    if not model:
        return []
    phi, psi = (np.concatenate([getattr(residue, name) for residue in reference]) for name in ("phi", "psi"))
    surface = free_energy_surface(phi, psi, 1.0)
    figure = map_figure(
        "ramachandran", "Ramachandran: model (points) on MD (map)", surface, torsion_axes(), top=MAXIMUM_KT, unit="kT",
        hover="φ %{x:.0f}°, ψ %{y:.0f}°<br>MD %{z:.1f} kT", colours="Greys",
    )  # fmt: skip
    points = [
        _thin(np.stack([residue.phi, residue.psi], axis=1), MAXIMUM_POINTS // len(model)) for residue in model
    ]
    angles = np.concatenate(points)
    figure["data"].append(_points(angles[:, 0], angles[:, 1], "model"))
    return [figure]


def _points(x: FloatArray, y: FloatArray, name: str) -> Figure:
    marker = {"size": 3, "color": MODEL_COLOUR, "opacity": 0.6}
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": np.round(x, 1), "y": np.round(y, 1), "marker": marker,
    }  # fmt: skip


def _thin(values: FloatArray, most: int) -> FloatArray:
    return values[:: max(1, -(-len(values) // max(1, most)))]


def _traces(
    comparison: Comparison, model: list[ResidueTorsions], reference: list[ResidueTorsions]
) -> list[Figure]:
    """phi and psi against time; of MD as long a stretch as the model's run, where both spacings are known."""
    own, other = comparison.model_spacing_ps, comparison.reference_spacing_ps
    known = own is not None and other is not None
    frames = len(comparison.reference)
    if own is not None and other is not None:
        frames = min(frames, max(2, round(len(comparison.model_series) * own / other)))
    figures = []
    for index, (ours, md) in enumerate(zip(model[:MAXIMUM_DRAWN_RESIDUES], reference)):
        cut = ResidueTorsions(md.label, md.phi[:frames], md.psi[:frames])
        for which, (torsions, spacing) in enumerate(((ours, own), (cut, other))):
            scale = spacing / 1000.0 if known and spacing is not None else 1.0
            figure = torsion_trace(index, torsions, scale * np.arange(1, len(torsions.phi) + 1))
            figure["id"] = f"trace-{index}-{which}"
            figure["title"] = f"{torsions.label}: φ and ψ, {NAMES[which]}"
            figure["layout"]["xaxis"]["title"]["text"] = "time / ns" if known else "frame"
            figures.append(figure)
    return figures


# --- metrics of the paper ------------------------------------------------------------------------------------------


def _structure_figures(arrays: SectionArrays) -> list[Figure]:
    structure = arrays.structure
    figures: list[Figure] = []
    if structure is None:
        return figures
    if structure.tics is not None and structure.tics[1].shape[1] == 2:
        figures += _tic_surfaces(*structure.tics)
    if structure.contact_rates is not None and len(structure.contact_rates[1]) > 2:
        figures += _contact_maps(*structure.contact_rates)
    if structure.radius_of_gyration is not None:
        figures.append(_radius_figure(*structure.radius_of_gyration))
    return figures


def _tic_surfaces(model: FloatArray, reference: FloatArray) -> list[Figure]:
    """Free energy over TIC0 and TIC1, both on the range of the reference and a tenth more on each side."""
    low, high = reference.min(axis=0), reference.max(axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    edges = [np.linspace(a, b, TIC_BINS + 1) for a, b in zip(low - margin, high + margin)]
    centres = [np.round(0.5 * (e[1:] + e[:-1]), 5) for e in edges]
    axes = MapAxes(centres[0], centres[1], "TIC 0", "TIC 1", {"showgrid": False}, {"showgrid": False})
    finite = model[np.isfinite(model).all(axis=1)]
    surfaces = [tic_surface(frames, edges) for frames in (finite, reference)]
    top = min(MAXIMUM_KT, max(float(np.nanmax(surface, initial=1.0)) for surface in surfaces))
    figures = [
        map_figure(
            f"tic-{which}", f"TIC 0 and TIC 1: {NAMES[which]}", surface, axes, top=top, unit="kT",
            hover="TIC 0 %{x:.2f}, TIC 1 %{y:.2f}<br>%{z:.1f} kT",
        )
        for which, surface in enumerate(surfaces)
    ]  # fmt: skip
    beyond = 1.0 - np.histogram2d(finite[:, 0], finite[:, 1], edges)[0].sum() / max(len(finite), 1)
    if beyond > 0.0:
        figures[0]["note"] = f"{100.0 * beyond:.2g} % of the model's frames lie beyond the axes."
    return figures


def tic_surface(tics: FloatArray, edges: Sequence[FloatArray]) -> FloatArray:
    """F in kT over (TIC0, TIC1), shape (bins, bins), 0 at its minimum; NaN where no frame fell."""
    counts = np.histogram2d(tics[:, 0], tics[:, 1], bins=list(edges))[0]
    with np.errstate(divide="ignore"):
        surface = -np.log(counts / max(counts.max(), 1.0))
    return np.where(counts > 0, surface, np.nan) + 0.0


def _contact_maps(model: FloatArray, reference: FloatArray) -> list[Figure]:
    residues = np.arange(1, len(reference) + 1)
    square = {"constrain": "domain", "showgrid": False}
    axes = MapAxes(residues, residues, "residue", "residue", square, {**square, "scaleanchor": "x"})
    figures = []
    for which, rates in enumerate((model, reference)):
        figure = map_figure(
            f"contacts-{which}", f"Contacts of alpha carbons: {NAMES[which]}", rates, axes, top=1.0, unit="of frames",
            hover="residues %{x}, %{y}<br>%{z:.2f} of frames", colours="Blues",
        )  # fmt: skip
        figure["data"][0]["reversescale"] = True  # plotly's Blues are dark at the low end
        figures.append(figure)
    return figures


def _radius_figure(model: FloatArray, reference: FloatArray) -> Figure:
    model = model[np.isfinite(model)]
    pooled = np.concatenate([reference, model])
    low, high = np.percentile(pooled, [0.05, 99.95])
    edges = np.linspace(low, high if high > low else low + 1.0, _DENSITY_BINS + 1)
    lines = [
        line(
            0.5 * (edges[1:] + edges[:-1]), np.histogram(values, edges)[0] / (len(values) * (edges[1] - edges[0])),
            which, shape="hvh",
        )
        for which, values in enumerate((model, reference))
    ]  # fmt: skip
    return curves(
        "radius",
        "Radius of gyration of the alpha carbons",
        lines,
        "radius of gyration / nm",
        "density / nm⁻¹",
    )


# --- kinetics ------------------------------------------------------------------------------------------------------


def _correlation_figures(
    comparison: Comparison, arrays: SectionArrays, basins: BasinSet | None, metrics: Metrics
) -> list[Figure]:
    """Autocorrelation of the basin that changes slowest in MD, and of TIC0, against time in ps."""
    spacings = comparison.model_spacing_ps, comparison.reference_spacing_ps
    known = [
        metric for key, metric in metrics.items() if key.startswith("decorrelation_time") and metric["value"]
    ]
    if None in spacings or not known:
        return []
    slowest = max(known, key=lambda metric: metric["reference"] or 0.0)
    longest = _CORRELATION_TIMES * max(slowest["reference"] or 0.0, slowest["value"])
    suffix = slowest["key"].partition("[")[2].rstrip("]")
    figures = []
    for series in state_series(comparison, basins):
        if series.suffix == suffix:
            index = series.names.index(slowest["details"]["indicator"])
            pair = [_indicator(states, index) for states in (series.model, series.reference)]
            title = f"Autocorrelation of being in {series.state_name(index)}"
            figures.append(_correlation_figure("correlation-basin", title, pair, spacings, longest))
    tics = None if arrays.structure is None else arrays.structure.tics
    if tics is not None:
        pair = [_without_nan(series[:, 0]) for series in tics]
        figures.append(
            _correlation_figure("correlation-tic", "Autocorrelation of TIC 0", pair, spacings, longest)
        )
    return figures


def _indicator(states: ArrayLike, index: int) -> FloatArray:
    """1 in the basin, 0 outside, the mean where it isn't known."""
    known = np.asarray(states)
    return _without_nan(np.where(known >= 0, known == index, np.nan))


def _without_nan(series: ArrayLike) -> FloatArray:
    """NaN replaced by the mean, which adds nothing to a correlation: a frame with NaN keeps its place in time."""
    values = np.asarray(series, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.mean(values[np.isfinite(values)]))


def _correlation_figure(
    figure_id: str,
    title: str,
    pair: Sequence[FloatArray],
    spacings: Sequence[float | None],
    longest_ps: float,
) -> Figure:
    lines = []
    for which, (series, spacing) in enumerate(zip(pair, spacings)):
        assert spacing is not None  # asked before
        count = int(min(max(3.0, longest_ps / spacing + 1), len(series) // 2))
        step = -(-count // _CURVE_POINTS)
        curve = autocorrelation(series)[:count:step]
        lines.append(line(spacing * step * np.arange(len(curve)), curve, which))
    return curves(figure_id, title, lines, "time / ps", "autocorrelation")


def autocorrelation(series: FloatArray) -> FloatArray:
    """C(t) for every lag in frames, C(0) = 1, shape (n_frames,)."""
    from emcee.autocorr import function_1d

    return np.asarray(function_1d(series), dtype=np.float64)


def _timescale_figures(metrics: Metrics) -> list[Figure]:
    """Implied timescales against the lag of the Markov model; flat where the basins are Markovian."""
    figures: list[Figure] = []
    for key, metric in metrics.items():
        details = metric["details"]
        sides = [details.get(f"{side}_ps", []) for side in ("model", "reference")]
        if not key.startswith("implied_timescale") or not any(
            value is not None for side in sides for value in side
        ):
            continue
        lines = [
            marks(details["lags_ps"], details[f"{side}_ps"], details[f"{side}_error_ps"], which)
            for which, side in enumerate(("model", "reference"))
        ]
        title = (
            metric["label"].split(" at a lag")[0] + key.partition("[")[2].rstrip("]").join([" ", ""]).rstrip()
        )
        figures.append(curves(f"timescale-{len(figures)}", title, lines, "lag / ps", "timescale / ps"))
    return figures[:MAXIMUM_DRAWN_RESIDUES]


# --- free energy, energies, drift ----------------------------------------------------------------------------------


def _free_energy_figure(metrics: Metrics) -> list[Figure]:
    known = [m for key, m in metrics.items() if key.startswith("free_energy[") and m["value"] is not None]
    if not known:
        return []
    names = [metric["key"].partition("[")[2].rstrip("]") for metric in known]
    columns = (("value", "standard_error"), ("reference", "reference_error"))
    lines = [
        marks(names, [m[value] for m in known], [m[error] for m in known], which, mode="markers")
        for which, (value, error) in enumerate(columns)
    ]
    return [curves("basins", "Free energy of basins", lines, "", "free energy / kT")]


def _energy_figures(arrays: SectionArrays) -> list[Figure]:
    """Potential energies as they are compared in the table; without X-H bonds where only one side has their energy."""
    energies = arrays.energies
    if energies is None:
        return []
    pair, title = (energies.model.potential, energies.reference_potential), "Potential energy"
    one_sided = energies.constrained_model != energies.constrained_reference
    if (
        one_sided
        and XH_BONDS in energies.model.terms
        and np.array_equal(pair[1], energies.reference.potential)
    ):
        pair = (
            energies.model.potential - energies.model.terms[XH_BONDS],
            energies.reference.potential - energies.reference.terms[XH_BONDS],
        )
        title += " without bonds to hydrogen"
    histograms = energy_histograms(*pair)
    return [] if histograms is None else [energy_figure(histograms, NAMES) | {"title": title}]


def _drift_figures(metrics: Metrics) -> list[Figure]:
    """A figure of each window of the run, beside what MD of a window's length scores."""
    figures: list[Figure] = []
    for key, metric in metrics.items():
        details = metric["details"]
        if "values" not in details or not key.startswith("drift_"):
            continue
        values = details["values"]
        windows = list(range(1, len(values) + 1))
        level = details.get("floor", details.get("reference"))
        lines = [marks(windows, values, None, 0)]
        if level is not None:
            spread = details.get("floor_std")
            lines.append(marks(windows, [level] * len(values), [spread] * len(values) if spread else None, 1))
        title = metric["label"].removeprefix("Drift of the ").replace(", per window", "")
        figures.append(curves(f"drift-{len(figures)}", title[:1].upper() + title[1:], lines, "window", ""))
    return figures[: 2 * MAXIMUM_DRAWN_RESIDUES]
