"""What a training run of the guidance kernel is made of; a reason stands beside every default."""

from typing import Literal

from pydantic import Field

from .config import RunConfig, TimeDensity

__all__ = ["GuidanceConfig"]


class GuidanceConfig(RunConfig):
    """One training run of the conditioned form's guidance kernel.

    Attributes
    ----------
    base : str
        Weights file of `openmm-unisim calibrate`: the field that is guided; it stays as it is.
    environment : str
        Where guidance leads: "obc2" or "vacuum".
    times : TimeDensity
        Few samples near t = 1, where guidance changes an end point by little of its spread; many near 0, where a jump
        decides between basins.
    lag_time : float
        ps; 0: the base's, if it serves one.
    train_files, valid_files, batch, atom_budget, start_noise
        As of `VectorFieldConfig`: pairs of the base's environment. Those that start from frames of the target
        environment (`store_starts` of `GenerateConfig`) teach what happens where guided jumps will be.
    alpha : float
        Strength of the tilt; 0: the scalar estimate from the pairs (docs/theory.md).
    clip : float
        Largest weight of a pair in units of the mean; 0: none, as clipping is a bias. Its share is recorded.
    baseline : float
        1: what is fitted is how the tilt changes the base's prediction; 0: the tilted end point itself, with the base's
        errors corrected, and with more noise (`training.tilted_losses`).
    parameters : str
        Folder of small molecules' Amber files.
    learning_rate, steps, warmup
        The kernel starts as a copy of the base, so that its rate is that of a fine-tuning.
    fused : bool
        As of `VectorFieldConfig`.
    """

    kind: Literal["guidance"] = "guidance"
    base: str
    environment: str = "obc2"
    times: TimeDensity = TimeDensity(uniform=0.4, start=0.5, end=0.1, shortest=1e-3, shortest_end=1e-3)
    lag_time: float = Field(default=0.0, ge=0)
    train_files: list[str] = Field(default=[])
    valid_files: list[str] = Field(default=[])
    batch: int = Field(default=32, gt=0)
    atom_budget: int = Field(default=704, gt=0)
    start_noise: float = Field(default=0.03, ge=0)
    alpha: float = Field(default=0.0, ge=0)
    clip: float = Field(default=0.0, ge=0)
    baseline: float = Field(default=1.0, ge=0, le=1)
    parameters: str = "data/parameters"
    learning_rate: float = Field(default=3e-4, gt=0, allow_inf_nan=False)
    steps: int = Field(default=10000, gt=0)
    warmup: int = Field(default=200, ge=0)
    fused: bool = True
