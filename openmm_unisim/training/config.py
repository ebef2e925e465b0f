"""What a vector-field training run is made of; a reason stands beside every default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..model.conditioned import ConditionedConfig


class TimeDensity(BaseModel):
    """Where the interpolant time is sampled (docs/theory.md: a jump is decided at both ends).

    Attributes
    ----------
    uniform, start, end : float
        Shares of samples uniform in t, log-uniform in t and log-uniform in 1 - t.
    shortest, shortest_end : float
        Lower ends of t and of 1 - t in the log-uniform parts.
    exactly_zero : float
        Share of the `start` samples put at t = 0, the first call of every jump.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uniform: float = Field(default=0.2, ge=0)
    start: float = Field(default=0.4, ge=0)
    end: float = Field(default=0.4, ge=0)
    shortest: float = Field(default=1e-4, gt=0, lt=0.5)
    shortest_end: float = Field(default=1e-4, gt=0, lt=0.5)
    exactly_zero: float = Field(default=0.05, ge=0, le=1)


class VectorFieldConfig(BaseModel):
    """One training run of the conditioned vector field.

    Attributes
    ----------
    model : ConditionedConfig
        `displacement` is measured on the data when the run begins, whatever is given.
    lag_time : float
        ps; 20 ps is below ala2's slowest relaxation (28 ps), so kinetics are still there to be judged.
    train_files, valid_files : list of str
        Trajectory files; whole walkers are held out, not late frames of the same walker.
    steps, batch, learning_rate, warmup, decay_start, gradient_clip, ema_decay
        Adam at constant rate after a warm-up, falling linearly to zero after `decay_start` (share of `steps`): the
        constant part can be lengthened when a run is resumed, which a cosine can't. Batches above 32 bring nothing on
        a CPU (temporaries leave the cache).
    start_from : str
        Training checkpoint whose averaged weights the run starts from, so far as names and shapes agree; empty: none.
    start_noise : float
        Angstrom; see `PairSampler`.
    length_weight : float
        Weight of the reference-length loss (its own small network).
    seed : int
    compiled : bool
        torch.compile where the plain layers do the work: it saves a third of a step. Operators gain nothing by it.
    fused : bool
        The work is done by the plugin's operators over pairs (`PairField`), where they are built; by the plain layers
        otherwise.
    validate_every, save_every : int
        Steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vector-field"] = "vector-field"
    model: ConditionedConfig = ConditionedConfig()
    times: TimeDensity = TimeDensity()
    lag_time: float = Field(default=20.0, gt=0)
    train_files: list[str] = []
    valid_files: list[str] = []
    steps: int = Field(default=60000, gt=0)
    batch: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=500, ge=0)
    decay_start: float = Field(default=0.6, ge=0, le=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.9995, ge=0, lt=1)
    start_from: str = ""
    start_noise: float = Field(default=0.03, ge=0)
    length_weight: float = Field(default=0.1, ge=0)
    seed: int = 1
    compiled: bool = True
    fused: bool = True
    validate_every: int = Field(default=2000, gt=0)
    save_every: int = Field(default=500, gt=0)
