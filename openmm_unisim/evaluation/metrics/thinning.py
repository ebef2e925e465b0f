"""Evenly spaced frames of both trajectories, for figures that don't need all of them (energies, bond lengths)."""

from dataclasses import replace

from ...errors import ConfigError
from ..comparison import Comparison
from ..uncertainty import Resampling


def thinned(comparison: Comparison, most_frames: int) -> Comparison:
    """A comparison of at most `most_frames` evenly spaced frames of either trajectory.

    Spacings, blocks and the stride of the resampling follow, so that a block keeps its duration; `model_series` and
    `nan_frames` stay those of the whole run.
    """
    if most_frames < 2:
        raise ConfigError(f"most_frames = {most_frames} leaves no distribution; give at least 2.")
    step = -(-len(comparison.model) // most_frames)
    reference_step = -(-len(comparison.reference) // most_frames)
    old = comparison.resampling
    resampling = Resampling(
        max(1, round(old.block_frames / step)),
        max(1, round(old.stride * step / reference_step)),
        old.repeats,
        old.seed,
    )

    def spaced(spacing: float | None, factor: int) -> float | None:
        return None if spacing is None else spacing * factor

    return replace(
        comparison,
        model=comparison.model[::step],
        reference=comparison.reference[::reference_step],
        model_spacing_ps=spaced(comparison.model_spacing_ps, step),
        reference_spacing_ps=spaced(comparison.reference_spacing_ps, reference_step),
        resampling=resampling,
    )
