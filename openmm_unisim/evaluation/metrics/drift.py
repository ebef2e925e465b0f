"""Does a long run drift? Its distance to the reference in consecutive windows, beside what MD of that length scores.

===============  ==========================================================  =====================
symbol           meaning                                                     name here
===============  ==========================================================  =====================
d_w              JS distance (phi, psi) of window w to the whole reference   distances
y_w = a + b w    straight line through a figure of each window               line_slope
s_b              sqrt(sum r_w^2 / (n - 2) / sum (w - mean w)^2), r_w the     line_slope
                 residuals
z = b / s_b      slope over its error; Student's t with n - 2 degrees of     details["z"], ["p_value"]
                 freedom if nothing drifts
===============  ==========================================================  =====================

Source of b and s_b: ordinary least squares with unknown variance; windows must outlast the slowest relaxation to count
as independent. A run that settled far from the reference doesn't drift: read the worst window, too.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ...errors import ConfigError
from ..comparison import LEAST_FRAMES, Comparison
from ..estimators.distributions import FloatArray, js_distance, torsion_histogram_2d
from ..estimators.features import ResidueTorsions, backbone_torsions
from ..estimators.kinetics import BASINS, assign_basin
from ..metric import Metric
from ..uncertainty import Array, Resampling
from .torsion_metrics import NO_TORSIONS

SIGNIFICANCE = 0.05
_KINDS = (
    ("drift_js_phi_psi", "Drift of the JS distance of (φ, ψ), per window"),
    ("worst_window_js_phi_psi", "JS distance of (φ, ψ), worst window"),
    ("drift_population_alpha", "Drift of the alpha population, per window"),
)


def line_slope(values: ArrayLike) -> tuple[float, float]:
    """Least-squares slope of equidistant values per step, and its standard error; at least three values."""
    heights = np.asarray(values, dtype=np.float64)
    if len(heights) < 3:
        raise ConfigError(f"{len(heights)} windows give no error of a slope; ask for at least 3.")
    steps = np.arange(len(heights)) - (len(heights) - 1) / 2.0
    spread = float(np.sum(steps**2))
    slope = float(steps @ heights) / spread
    residuals = heights - heights.mean() - slope * steps
    return slope, float(np.sqrt(np.sum(residuals**2) / (len(heights) - 2) / spread))


def drift_metrics(comparison: Comparison, windows: int = 10) -> list[Metric]:
    """Slopes over consecutive windows of the model run, and its worst window, for each residue.

    Keys: ``drift_js_phi_psi[ALA 2]``, ``drift_population_alpha[ALA 2]`` (slope per window; details: every window's
    value, ``z``, ``p_value``, ``drifts`` at the 5 % level) and ``worst_window_js_phi_psi[ALA 2]`` (floor: the worst of
    as many windows of MD).

    Parameters
    ----------
    comparison : Comparison
    windows : int
        At least 3.
    """
    if windows < 3:
        raise ConfigError(f"{windows} windows give no error of a slope; ask for at least 3.")
    model = backbone_torsions(comparison.model_series, comparison.topology)
    reference = backbone_torsions(comparison.reference, comparison.topology)
    length = len(comparison.model_series) // windows
    reason = "" if model else NO_TORSIONS
    if length < LEAST_FRAMES:
        reason = f"{len(comparison.model_series)} frames make {windows} windows of fewer than {LEAST_FRAMES}"
    if reason:
        return [Metric.missing(key, label, reason) for key, label in _KINDS]
    metrics = []
    for ours, md in zip(model, reference):
        metrics += _of_residue(ours, md, windows, length, comparison.resampling)
    return metrics


def _of_residue(
    ours: ResidueTorsions, md: ResidueTorsions, windows: int, length: int, resampling: Resampling
) -> list[Metric]:
    angles = np.stack([ours.phi, ours.psi], axis=1)
    parts = [part[np.isfinite(part).all(axis=1)] for part in np.split(angles[: windows * length], windows)]
    keys = [(f"{key}[{ours.label}]", f"{label}, {ours.label}") for key, label in _KINDS]
    if min(len(part) for part in parts) < LEAST_FRAMES:
        reason = f"a window has fewer than {LEAST_FRAMES} finite frames"
        return [Metric.missing(key, label, reason) for key, label in keys]
    reference = np.stack([md.phi, md.psi], axis=1)
    distances = [_distance(part, reference) for part in parts]
    floors = _floors(reference, windows, length, resampling)
    alpha = [float(np.mean(assign_basin(part[:, 1]) == BASINS.index("alpha"))) for part in parts]
    shape = {"window_frames": length, "windows": windows, "left_over_frames": len(angles) - windows * length}
    worst, worst_floors = int(np.argmax(distances)), floors.max(axis=1)
    floor = {"floor": float(floors.mean()), "floor_std": float(floors.std(ddof=1))}
    population = {"reference_population": float(np.mean(assign_basin(md.psi) == BASINS.index("alpha")))}
    return [
        _slope(*keys[0], distances, {**floor, **shape}),
        Metric(
            *keys[1], distances[worst], better="lower", floor=float(worst_floors.mean()),
            floor_std=float(worst_floors.std(ddof=1)), details={"worst_window": worst, **shape},
        ),
        _slope(*keys[2], alpha, {**population, **shape}),
    ]  # fmt: skip


def _distance(part: Array, reference: Array) -> float:
    first, last = (torsion_histogram_2d(angles[:, 0], angles[:, 1]) for angles in (part, reference))
    return js_distance(first, last)


def _floors(reference: Array, windows: int, length: int, resampling: Resampling) -> FloatArray:
    """What windows of MD score against a replica of the reference, shape (repeats, windows)."""
    generator = resampling.generator()
    draw = partial(resampling.sample_indices, len(reference), length, generator)
    rows = []
    for _ in range(resampling.repeats):
        replica = reference[resampling.replica_indices(len(reference), generator)]
        rows.append([_distance(reference[draw()], replica) for _ in range(windows)])
    return np.array(rows)


def _slope(key: str, label: str, values: list[float], details: dict[str, Any]) -> Metric:
    slope, error = line_slope(values)
    z = slope / error if error > 0.0 else None
    p_value = None if z is None else float(2.0 * stats.t.sf(abs(z), len(values) - 2))
    return Metric(
        key, label, slope, "1/window", None, standard_error=error, reference=0.0,
        details={
            **details, "values": values, "z": z, "p_value": p_value,
            "drifts": None if p_value is None else p_value < SIGNIFICANCE, "error": "least squares",
        },
    )  # fmt: skip
