"""run.json: the record of a run.

==============  ============================================================================================
key             meaning
==============  ============================================================================================
format          version of this record
status          "running", "finished", "interrupted" (by the user, resumable), "stopped" (policy "stop")
settings        what was asked for, with the values that were filled in
identity        what has to be the same for a resume: hashes of input and model, and the settings that
                shape the trajectory
molecule        name, n_atoms, stereocentres watched
model           name, path, sha256, metadata (every key of the model file)
lag_time_ps     model time of one jump, ps
seeds           the three seeds derived from the one given
md              thermalisation, run_well: protocol and ns/day of the MD before the jumps and of MD run well
                (`relaxation.time_md_run_well`), the latter by platform and at its fastest
jumps           done, accepted, rejected, wall_s and cpu_s (of the whole loop), jumps_per_s, ns_per_day
                (model time), clipped_forces where a limit is set, counts of broken proposals before any rejection
                (`quality.QualityCounts`), with --refine those of refinements (`refinement.RefinementCounts`)
warnings        sentences shown to the user
resumed         jump numbers at which the run was continued
provenance      commit, versions, machine, command
==============  ============================================================================================
"""

from dataclasses import asdict, dataclass
from typing import Any

from ..changes import changed_settings, describe_changes
from ..errors import CheckpointError
from ..provenance import provenance
from .observer import JumpProgress
from .outputs import RUN_FORMAT
from .preparation import PreparedRun
from .quality import QualityCounts

__all__ = ["RunStanding", "initial_record", "require_same_run"]

_NS_PER_DAY = 86.4  # of model time, for each ps of it per second of wall time


@dataclass
class RunStanding:
    """How far a run is: jumps `done` and `accepted`, wall and processor time of the loop, s."""

    done: int = 0
    accepted: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def progress(self, total: int, lag_time_ps: float) -> JumpProgress:
        """Speeds and acceptance of a run of `total` jumps."""
        rate = self.done / self.wall_s if self.wall_s > 0 else float("nan")
        acceptance = self.accepted / self.done if self.done else float("nan")
        return JumpProgress(self.done, total, rate, rate * lag_time_ps * _NS_PER_DAY, acceptance)

    def record(self, lag_time_ps: float, counts: QualityCounts) -> dict[str, Any]:
        """The entry `jumps` of run.json."""
        progress = self.progress(self.done, lag_time_ps)
        return {
            "done": self.done,
            "accepted": self.accepted,
            "rejected": self.done - self.accepted,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "jumps_per_s": progress.jumps_per_s,
            "ns_per_day": progress.ns_per_day,
            "counts": asdict(counts),
        }


def initial_record(prepared: PreparedRun, md: dict[str, Any], stereocentres: int) -> dict[str, Any]:
    """The record of a run before its first jump.

    Parameters
    ----------
    prepared : PreparedRun
    md : dict
        Entry `md`.
    stereocentres : int
        How many are watched.
    """
    settings, metadata = prepared.settings, prepared.metadata
    filled_in = {
        "environment": prepared.protocol.environment,
        "temperature_K": prepared.protocol.temperature_K,
        "platform": prepared.platform,
        "substeps": settings.substeps or metadata.default_substeps,
    }
    asked = {key: value for key, value in asdict(settings).items() if key != "temperature"}
    return {
        "format": RUN_FORMAT,
        "status": "running",
        "settings": {**asked, **filled_in},
        "identity": prepared.identity,
        "molecule": {
            "name": prepared.molecule.name,
            "n_atoms": len(prepared.molecule.positions),
            "stereocentres": stereocentres,
        },
        "model": {
            "name": settings.model,
            "path": str(prepared.model_path.resolve()),
            "sha256": prepared.identity["model"],
            "metadata": metadata.model_dump(),
        },
        "lag_time_ps": metadata.lag_time_ps,
        "seeds": dict(zip(("velocities", "langevin", "jumps"), prepared.seeds)),
        "md": md,
        "jumps": {},
        "warnings": list(prepared.warnings),
        "resumed": [],
        "provenance": provenance(seed=settings.seed, device=prepared.platform),
    }


def require_same_run(earlier: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raise `CheckpointError` naming what of `identity` differs from the `earlier` record."""
    try:
        before = dict(earlier.get("identity", {}))
        if before.get("substeps") == 0:  # written before the model's own number was filled in
            before["substeps"] = earlier["settings"]["substeps"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The run's record is damaged ({type(error).__name__}: {error}); restore run.json from a copy, or start "
            "again in a new folder."
        ) from error
    changes = changed_settings(before, identity)
    if changes:
        raise CheckpointError(
            f"Can't resume with other settings than the run's own ({describe_changes(changes)}); give its own, or "
            "start a new run in another folder."
        )
