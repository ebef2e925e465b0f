"""What training runs are made of; a reason stands beside every default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..model.conditioned import ConditionedConfig

__all__ = ["RunConfig", "TimeDensity", "VectorFieldConfig"]


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


class RunConfig(BaseModel):
    """What every training run has: steps, optimiser, averages.

    Attributes
    ----------
    steps, learning_rate, warmup, decay_start, gradient_clip, ema_decay
        Adam at constant rate after a warm-up, falling linearly to zero after `decay_start` (share of `steps`): the
        constant part can be lengthened when a run is resumed, which a cosine can't. Averages over some thousand steps
        take the noise of small batches out of the weights.
    parts : int
        Parts of a step's batch, each of one molecule. Threads and processes share a step by parts.
    start_from : str
        Training checkpoint, or weights file, whose weights the run starts from, so far as names and shapes agree;
        empty: none.
    seed : int
    validate_every, save_every : int
        Steps. A state is a few megabytes and takes milliseconds; a kill costs at most `save_every` steps. Validation
        is where a state is saved: the first at or after each multiple of `validate_every`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    steps: int = Field(default=60000, gt=0)
    parts: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    warmup: int = Field(default=500, ge=0)
    decay_start: float = Field(default=0.6, ge=0, le=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.9995, ge=0, lt=1)
    start_from: str = ""
    seed: int = Field(default=1, ge=0)
    validate_every: int = Field(default=2000, gt=0)
    save_every: int = Field(default=500, gt=0)


class VectorFieldConfig(RunConfig):
    """One training run of the conditioned vector field.

    Attributes
    ----------
    model : ConditionedConfig
        `displacement` is measured on the data when the run begins, unless `measure_displacement` is off.
    lag_time : float
        ps; 20 ps is below ala2's slowest relaxation (28 ps), so kinetics are still there to be judged.
    lag_times : tuple of float
        ps; several lags, one drawn for each part; the network is told which. Empty: `lag_time` alone.
    valid_lag_times : tuple of float
        ps; lags of the validation where they aren't those of the training.
    train_files, valid_files : list of str
        Trajectory or archive files, or patterns (``data/archive/*.obc2.*``), of any number of molecules. Whole walkers
        are held out, not late frames of the same walker.
    batch, atom_budget : int
        Samples of a part: `batch`, or as many as `atom_budget` atoms allow, at least one. Parts above 32 x 22 atoms
        bring nothing on a CPU (temporaries leave the cache).
    subgraph_atoms : int
        Molecules of more atoms are trained by parts cut from them (`data.subgraph`); 0: none is. A step on a whole
        molecule of 4,000 atoms stays below 2 GiB, is exact, and costs six to nine times less per atom in the loss
        (benchmarks/subgraph.py); published: 1,000.
    environment_radius, gradient_radius : float
        Angstrom; what such a part sees, and what of it enters the loss. The published radii: gradients of the default
        network are then 1 % off, where those of two parts differ by more than their size (the same benchmark).
    size_exponent : float
        A part's molecule is drawn with a probability that goes as this power of its number of atoms. 0: all alike,
        which gives the few large molecules of a set few parts; 1.5 makes up for that (docs/training.md).
    start_noise : float
        Angstrom; see `PairSampler`.
    length_weight : float
        Weight of the reference-length loss (its own small network).
    measure_displacement : bool
        Off where runs are compared on one scale of error.
    unlisted : bool
        Let capped peptides that judge transfer pass, for benchmarks of speed.
    compiled : bool
        torch.compile where the plain layers do the work: it saves a third of a step. Operators gain nothing by it, and
        many molecules would be compiled one by one.
    fused : bool
        The work is done by the plugin's operators over pairs (`PairField`), where they are built; by the plain layers
        otherwise.
    """

    kind: Literal["vector-field"] = "vector-field"
    model: ConditionedConfig = ConditionedConfig()
    times: TimeDensity = TimeDensity()
    lag_time: float = Field(default=20.0, gt=0)
    lag_times: tuple[float, ...] = ()
    valid_lag_times: tuple[float, ...] = ()
    train_files: list[str] = []
    valid_files: list[str] = []
    batch: int = Field(default=32, gt=0)
    atom_budget: int = Field(default=704, gt=0)
    subgraph_atoms: int = Field(default=4000, ge=0)
    environment_radius: float = Field(default=20.0, gt=0)
    gradient_radius: float = Field(default=8.0, gt=0)
    size_exponent: float = Field(default=0.0, ge=0, le=4)
    start_noise: float = Field(default=0.03, ge=0)
    length_weight: float = Field(default=0.1, ge=0)
    measure_displacement: bool = True
    unlisted: bool = False
    compiled: bool = True
    fused: bool = True

    @property
    def lags(self) -> tuple[float, ...]:
        """All lag times, ps."""
        return self.lag_times or (self.lag_time,)

    @property
    def valid_lags(self) -> tuple[float, ...]:
        """Lag times of the validation, ps."""
        return self.valid_lag_times or self.lags
