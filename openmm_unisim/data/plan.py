"""The plan of a data set: which molecules, in which environment, how long, labelled by which sources; a JSON file."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ConfigError, OutputError
from .labels.registry import SOURCES
from .molecule_list import find_entry

__all__ = ["DataPlan", "LabelPlan", "Start", "TrajectoryPlan"]

Start = Literal["built", "hot", "other-environment"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrajectoryPlan(_Part):
    """MD of the same length for some molecules.

    Attributes
    ----------
    molecules : tuple of str
        Names in the molecule lists.
    environment : {"vacuum", "obc2"}
    nanoseconds : float
        Of each walker. 1 ps between frames: a lag may be any multiple of it.
    walkers : int
        With seeds first_seed, first_seed + 1, ... Two at least, so that one stuck in a basin shows.
    temperature_K : float
        300, where the models are trained.
    start : {"built", "hot", "other-environment"}
        "built": the built structure, scrambled at 600 K, then 100 ps of equilibration: equilibrium pairs. "hot" and
        "other-environment": restarts every `segment_ps` from frames of a short run at 600 K, or in the other
        environment, which is made first: pairs valid for the conditioned form only, never reversed.
    segment_ps : float
        100 by default: five lags of 20 ps, few enough that starts keep coming.
    """

    molecules: tuple[str, ...]
    environment: Literal["vacuum", "obc2"]
    nanoseconds: float = Field(gt=0)
    walkers: int = Field(2, ge=1)
    first_seed: int = Field(1, ge=1)
    temperature_K: float = Field(300.0, gt=0)
    frame_spacing_ps: float = Field(1.0, gt=0)
    start: Start = "built"
    segment_ps: float = Field(100.0, gt=0)


class LabelPlan(_Part):
    """Labels for some molecules.

    Attributes
    ----------
    molecules : tuple of str
    frames : dict
        Source to number of frames; fewer where a source is slow. A source that has no parameters for a molecule
        (ff14SB for butane) isn't used for it.
    seed : int
        Of the frames.
    """

    molecules: tuple[str, ...]
    frames: dict[str, int]
    seed: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _known(self) -> "LabelPlan":
        for source, count in self.frames.items():
            if source not in SOURCES or count < 1:
                raise ValueError(f"{source}: {count} frames; the sources are {', '.join(SOURCES)}")
        return self


class DataPlan(_Part):
    """What `openmm-unisim data run` does.

    Attributes
    ----------
    trajectories : tuple of TrajectoryPlan
    labels : tuple of LabelPlan
    estimate : dict
        What the planner expects: core-hours, nanoseconds, megabytes. Not used by the run.
    """

    trajectories: tuple[TrajectoryPlan, ...] = ()
    labels: tuple[LabelPlan, ...] = ()
    estimate: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _listed(self) -> "DataPlan":
        for molecules in [part.molecules for part in self.trajectories] + [p.molecules for p in self.labels]:
            for name in molecules:
                find_entry(name)
        return self

    @classmethod
    def load(cls, path: Path) -> "DataPlan":
        """Read a plan.

        Raises
        ------
        ConfigError
            If it can't be read or isn't valid, naming where.
        """
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"'{path}' can't be read ({error.strerror}); give a plan file.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ConfigError(
                f"'{path}' is no valid plan: {where}: {first['msg']}; see docs/data.md."
            ) from error

    def save(self, path: Path) -> None:
        """Write the plan."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"'{path}' can't be written ({error.strerror}); choose another.") from error
