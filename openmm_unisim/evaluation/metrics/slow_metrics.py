"""The paper's metrics of the slowest components: tic, tic_2d, ess and ESS/s (formulas in tica and paper_ess)."""

from typing import Any

import numpy as np

from ...errors import ConfigError, DataError
from ..comparison import Comparison
from ..estimators.distributions import FloatArray
from ..estimators.histograms import Mode, reference_grid
from ..estimators.paper_ess import effective_samples, longest_finite_stretch
from ..estimators.tica import Tica, fit_tica, is_protein, tica_features
from ..metric import Metric
from .js_metrics import LABELS, Pair, joint_js_metric, js_metric, unavailable

PAPER_LAG_PS = 100.0  # PepMD: 100 frames of 1 ps
PAPER_LAG_FRAMES, PAPER_PROTEIN_LAG_FRAMES = 100, 10
STRICT_LAG_PS, STRICT_LAG_FRAMES = 20.0, 10  # frames where the spacing is unknown


def tica_lag_frames(comparison: Comparison, mode: Mode, tica_lag: float | int | None = None) -> int:
    """Lag of TICA in frames of the reference (parameters as in `structure_metrics`)."""
    spacing = comparison.reference_spacing_ps
    if mode == "paper":
        if tica_lag is not None:
            if tica_lag < 1 or tica_lag != int(tica_lag):
                raise ConfigError(
                    f"tica_lag = {tica_lag} isn't a number of frames; give a whole number >= 1."
                )
            return int(tica_lag)
        if is_protein(comparison.topology):
            return PAPER_PROTEIN_LAG_FRAMES
        return PAPER_LAG_FRAMES if spacing is None else max(1, round(PAPER_LAG_PS / spacing))
    if tica_lag is None:
        return STRICT_LAG_FRAMES if spacing is None else max(1, round(STRICT_LAG_PS / spacing))
    if spacing is None:
        raise ConfigError(
            f"tica_lag = {tica_lag} ps needs the frame spacing of the reference; give reference_spacing_ps."
        )
    frames = round(tica_lag / spacing)
    if frames < 1 or abs(tica_lag / spacing - frames) > 1e-3 * frames:
        raise ConfigError(
            f"tica_lag = {tica_lag} ps isn't a whole number of the reference's frame spacing of {spacing} ps; "
            "give a multiple of it."
        )
    return frames


def slow_metrics(
    comparison: Comparison, mode: Mode, lag_frames: int, wall_seconds: tuple[float | None, float | None]
) -> tuple[list[Metric], Pair | None]:
    """tic, tic_2d, ess and ess_per_second, and the two slowest components for plots."""
    reference, strict = comparison.reference, mode == "strict"
    half = len(reference) // 2
    # components are slower where they were fitted than anywhere else, so strict judges by frames they haven't seen
    seen, judge = (reference[:half], reference[half:]) if strict else (reference, reference)
    try:
        tica = fit_tica(seen, tica_features(comparison.topology), lag_frames, koopman=strict)
    except DataError as error:
        reason = f"{error} (strict mode fits on the first half)" if strict else str(error)
        return [unavailable(key, reason) for key in ("tic", "tic_2d", "ess", "ess_per_second")], None
    tics = tica.project(comparison.model_series)[:, :2], tica.project(judge)[:, :2]
    details = _describe(tica, len(seen), comparison)
    one = js_metric("tic", *tics, comparison, mode, **details)
    if tics[0].shape[1] == 2:
        grid = reference_grid(tics[1], mode)
        both = joint_js_metric("tic_2d", *tics, comparison, grid, **details)
    else:
        both = unavailable("tic_2d", "the reference has one independent component only")
    return [one, both, *_ess_metrics(comparison, tics, one.outside, wall_seconds)], tics


def _describe(tica: Tica, n_fitted: int, comparison: Comparison) -> dict[str, Any]:
    spacing = comparison.reference_spacing_ps
    return {
        "tica_lag_frames": tica.lag_frames,
        "tica_lag_ps": None if spacing is None else tica.lag_frames * spacing,
        "tica_features": tica.features.n_features,
        "tica_eigenvalues": tica.eigenvalues.tolist(),
        "tica_koopman": tica.koopman,
        "tica_fitted_frames": n_fitted,
    }


def _ess_metrics(
    comparison: Comparison, tics: Pair, outside: float | None, wall_seconds: tuple[float | None, float | None]
) -> list[Metric]:
    """ess and ess_per_second of TIC0; the floor is what MD of the model's length and spacing has."""
    series = tics[0][:, 0]
    model = effective_samples(series[longest_finite_stretch(series)])
    reference = effective_samples(tics[1][:, 0])
    if model is None or reference is None:
        reason = f"TIC0 of the {'model' if model is None else 'reference'} has no autocorrelation time"
        return [unavailable("ess", reason), unavailable("ess_per_second", reason)]
    n_finite = int(np.isfinite(series).sum())
    samples = n_finite / model.integrated_time
    md_samples = len(comparison.reference) / reference.integrated_time
    floor, floor_std = _same_size_md(tics[1][:, 0], comparison.lag_frames, n_finite)
    details = {
        "integrated_time_frames": model.integrated_time,
        "reference_integrated_time_frames": reference.integrated_time,
        "trusted": model.trusted and reference.trusted,
        "longest_stretch_frames": model.n_frames,
        "errors": "Sokal's formula",
    }
    total = Metric(
        "ess", LABELS["ess"], samples, "", None, samples * model.relative_error, md_samples,
        md_samples * reference.relative_error, floor, floor_std, outside, details=details,
    )  # fmt: skip
    return [total, _per_second(total, wall_seconds)]


def _same_size_md(
    reference: FloatArray, stride: int | None, n_frames: int
) -> tuple[float, float] | tuple[None, None]:
    """Effective samples, and their error, of `n_frames` frames of MD that are `stride` reference frames apart.

    The autocorrelations of every `stride`-th frame are averaged over the possible starts.
    """
    if stride is None or len(reference) < 3 * stride:
        return None, None
    whole = len(reference) - len(reference) % stride
    thinned = effective_samples(reference[:whole].reshape(-1, stride))
    if thinned is None:
        return None, None
    samples = n_frames / thinned.integrated_time
    return samples, samples * thinned.relative_error


def _per_second(total: Metric, wall_seconds: tuple[float | None, float | None]) -> Metric:
    model_wall, reference_wall = wall_seconds
    if model_wall is None or total.value is None:
        return unavailable("ess_per_second", "the wall time of the model isn't known")
    own_error = None if total.standard_error is None else total.standard_error / model_wall
    fields: dict[str, Any] = {"details": {"wall_seconds": list(wall_seconds)}}
    if reference_wall is not None and total.reference is not None and total.reference_error is not None:
        fields["reference"] = total.reference / reference_wall
        fields["reference_error"] = total.reference_error / reference_wall
    value = total.value / model_wall
    return Metric("ess_per_second", LABELS["ess_per_second"], value, "1/s", "higher", own_error, **fields)
