"""What a run of many copies is asked to do, how the copies are split, and what its folder holds.

==================  ========================================================================================
file                contents
==================  ========================================================================================
topology.pdb        topology, and the positions from which the first copy starts
replica_0000.xtc    one trajectory a copy: a frame every `interval` jumps; a refused jump repeats its start
part_00.chk, .json  checkpoint of the copies that are moved together, and where their trajectories stood then
run.json            settings, seeds, the counts of each copy, provenance (`runner`)
==================  ========================================================================================
"""

from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError, check_choice
from ..outputs import RunFolder
from ..preparation import RunSettings
from .acceptance import ACCEPTANCE_MODES

__all__ = ["ReplicaSettings"]


@dataclass(frozen=True)
class ReplicaSettings:
    """Settings of `run_replicas`.

    Attributes
    ----------
    run : RunSettings
        As for one molecule; of these `policy` and `md_timing_s` don't count here.
    replicas : int
        Copies.
    acceptance : {"all", "quality", "metropolis"}
    interval : int
        Jumps between frames; `run.checkpoint_interval` must be a multiple of it.
    parts : int
        Batches into which the copies are split: one for each worker or device.
    device : str
        Where torch evaluates the model.
    model_sha256 : str
        Of a model file that `run_replicas` was allowed to run, so that workers run it, too.
    """

    run: RunSettings
    replicas: int
    acceptance: str = "quality"
    interval: int = 1
    parts: int = 1
    device: str = "cpu"
    model_sha256: str = ""

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        self.run.check()
        check_choice("Acceptance", self.acceptance, ACCEPTANCE_MODES)
        for name in ("replicas", "interval", "parts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least 1.")
        if self.parts > self.replicas:
            raise ConfigError(
                f"{self.replicas} copies can't be split into {self.parts} parts; ask for fewer parts."
            )
        for what, number in (
            ("jumps", self.run.jumps),
            ("checkpoint interval", self.run.checkpoint_interval),
        ):
            if number % self.interval:
                raise ConfigError(
                    f"The {what}, {number}, must be a multiple of the interval of frames, {self.interval}."
                )
        if self.run.refine and self.acceptance == "metropolis":
            raise ConfigError(
                "Refinement and Metropolis acceptance exclude each other: minimising isn't reversible; leave one out."
            )

    def copies(self, part: int) -> range:
        """Numbers of the copies of a part; sizes differ by one at most."""
        size, larger = divmod(self.replicas, self.parts)
        first = part * size + min(part, larger)
        return range(first, first + size + (part < larger))

    def trajectory(self, copy: int) -> Path:
        """File of a copy."""
        return self.run.output / f"replica_{copy:04d}.xtc"

    def folder(self, part: int) -> RunFolder:
        """The run folder, as a part sees it: its own checkpoint and trajectories."""
        growing = [self.trajectory(copy).name for copy in self.copies(part)]
        return RunFolder(self.run.output, f"part_{part:02d}", growing)
