"""Error bars and MD floors of any distance between two trajectories, by block bootstrap.

Frames of MD are correlated, so whole blocks are drawn with replacement (moving-block bootstrap, Künsch, Ann. Stat.
17 (1989) 1217); a block should outlast the slowest relaxation.

=================  ======================================================================  ==================
symbol             meaning                                                                 name here
=================  ======================================================================  ==================
D(m*, r*)          distance of a resampled model from a resampled reference; its standard  standard_error
                   deviation is the error bar
D(s*, r*)          s*: as many frames as the model has, drawn from the *reference*          floor
=================  ======================================================================  ==================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .metric import Better, Metric

Array = NDArray[Any]
Distance = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Resampling:
    """How trajectories are resampled.

    Attributes
    ----------
    block_frames : int
        Model frames in a block.
    stride : int
        Reference frames between two frames of the model (their spacings' ratio).
    repeats : int
        Resampled pairs behind each error bar and each floor.
    seed : int
        Every figure starts its own generator from it, so that figures don't depend on their order.
    """

    block_frames: int = 50
    stride: int = 1
    repeats: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.block_frames < 1 or self.stride < 1 or self.repeats < 2:
            raise ConfigError(
                f"block_frames = {self.block_frames}, stride = {self.stride}, repeats = {self.repeats}: the first "
                "two must be at least 1 and repeats at least 2."
            )

    def generator(self) -> np.random.Generator:
        """A fresh generator."""
        return np.random.default_rng(self.seed)

    def model_indices(self, n_model: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Resampled frames of the model, shape (n_model,)."""
        return block_indices(n_model, n_model, 1, self.block_frames, generator)

    def sample_indices(
        self, n_reference: int, n_model: int, generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Frames of the reference that stand for MD of the model's length and spacing, shape (n_model,)."""
        return block_indices(n_reference, n_model, self.stride, self.block_frames, generator)

    def replica_indices(self, n_reference: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """A replica of the whole reference, shape (n_reference,), from blocks of the same duration."""
        return block_indices(n_reference, n_reference, 1, self.block_frames * self.stride, generator)


def block_indices(
    n_source: int, n_frames: int, stride: int, block: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """`n_frames` indices into `n_source` frames: circular blocks of `block` frames, `stride` apart, random starts."""
    block = max(1, min(block, n_frames, n_source // stride or 1))
    starts = generator.integers(0, n_source, size=-(-n_frames // block))
    index = starts[:, None] + stride * np.arange(block)[None, :]
    return (index % n_source).ravel()[:n_frames]


def compared(
    key: str,
    label: str,
    distance: Distance,
    model: Array,
    reference: Array,
    resampling: Resampling,
    *,
    better: Better | None = "lower",
    unit: str = "",
    outside: float | None = None,
    details: dict[str, Any] | None = None,
) -> Metric:
    """A distance between model and reference with its error bar and its same-size MD floor.

    Parameters
    ----------
    key, label, better, unit, outside, details
        As in `Metric`.
    distance : callable
        Of (model features, reference features), first axis frames; resampled frames go through the same function.
        Bins and projections must be fixed beforehand, on the unresampled reference.
    model, reference : ndarray, shapes (n_model, ...) and (n_reference, ...)
        Features of finite frames.
    resampling : Resampling
    """
    generator = resampling.generator()
    errors, floors = [], []
    for _ in range(resampling.repeats):
        drawn = model[resampling.model_indices(len(model), generator)]
        replica = reference[resampling.replica_indices(len(reference), generator)]
        errors.append(distance(drawn, replica))
        sample = reference[resampling.sample_indices(len(reference), len(model), generator)]
        replica = reference[resampling.replica_indices(len(reference), generator)]
        floors.append(distance(sample, replica))
    return Metric(
        key, label, distance(model, reference), unit, better,
        standard_error=float(np.std(errors, ddof=1)), floor=float(np.mean(floors)),
        floor_std=float(np.std(floors, ddof=1)), outside=outside, details=details or {},
    )  # fmt: skip


def estimated(
    key: str,
    label: str,
    estimator: Callable[[Array], float],
    model: Array,
    reference: Array,
    resampling: Resampling,
    *,
    unit: str = "",
    better: Better | None = None,
    details: dict[str, Any] | None = None,
) -> Metric:
    """A figure of each trajectory alone, side by side, each with its error bar (parameters as in `compared`).

    The estimator sees frames in resampled blocks: don't use it for time correlations across frames.
    """
    generator = resampling.generator()
    pairs = [
        (
            estimator(model[resampling.model_indices(len(model), generator)]),
            estimator(reference[resampling.replica_indices(len(reference), generator)]),
        )
        for _ in range(resampling.repeats)
    ]
    error, reference_error = np.std(np.array(pairs, dtype=np.float64), axis=0, ddof=1)
    return Metric(
        key, label, estimator(model), unit, better, standard_error=float(error),
        reference=estimator(reference), reference_error=float(reference_error), details=details or {},
    )  # fmt: skip
