"""Cycles of MD and moves of the solute, with files that survive a kill.

==================  ===================================================================================
file of the folder  contents
==================  ===================================================================================
moves.csv           one row a move (`record.COLUMNS`), flushed row by row
checkpoint.chk      OpenMM's checkpoint of the Context
checkpoint.json     cycle, counts of the moves, lengths of the growing files; the commit point
==================  ===================================================================================

At each checkpoint the Contexts are built anew and the barostat gets the next seed: a platform remembers neighbour
lists and OpenMM's checkpoints leave the barostat out, so that only then a resumed run repeats the bits of an
uninterrupted one (Reference, and CPU with one thread).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openmm
from openmm import app

from ..changes import changed_settings, describe_changes
from ..errors import CheckpointError, ConfigError, OutputError
from ..simulation.outputs import RunFolder
from .move import SoluteMove
from .record import MoveRecord, MoveTable

__all__ = ["SolventFolder", "SolventSimulation"]


class SolventFolder(RunFolder):
    """Files of a run (module docstring), and further ones that only grow.

    Parameters
    ----------
    path : str or Path
    growing : iterable of path
        Trajectories and tables of the MD's reporters, cut back with the rest; names must differ.
    """

    def __init__(self, path: str | Path, growing: Iterable[str | Path] = ()):
        super().__init__(path)
        self.moves = self.path / "moves.csv"
        self._all = (self.moves, *(Path(file) for file in growing))
        if len({file.name for file in self._all}) < len(self._all):
            raise ConfigError(f"Two growing files share a name: {', '.join(map(str, self._all))}.")

    def save_checkpoint(self, data: bytes, record: dict[str, Any]) -> None:
        """Commit a checkpoint; a growing file that doesn't exist yet has no length."""
        self._growing = tuple(file for file in self._all if file.is_file())
        super().save_checkpoint(data, record)

    def truncate_to(self, record: dict[str, Any]) -> None:
        """Cut the growing files back; those that didn't exist at the checkpoint go."""
        known = record.get("bytes")
        if not isinstance(known, dict) or not set(known) <= {file.name for file in self._all}:
            raise CheckpointError(  # of a file that has no length here, all would be removed
                f"'{self.checkpoint_record}' doesn't name the files of this run (bytes: {known!r:.80}); restore it "
                "from a copy or start again in a new folder."
            )
        self._growing = tuple(file for file in self._all if file.name in known)
        super().truncate_to(record)
        for file in set(self._all) - set(self._growing):
            file.unlink(missing_ok=True)


class SolventSimulation:
    """MD and moves in turn: `mdSteps` of the Simulation's integrator, then `movesPerCycle` moves.

    Reporters of the Simulation see the MD as ever; moves advance neither time nor step count. A barostat acts in
    the MD only.

    Parameters
    ----------
    simulation : openmm.app.Simulation
        Ordinary MD, with positions and velocities.
    move : SoluteMove
    mdSteps : int
        0: moves only.
    folder : str or Path
    movesPerCycle : int
    checkpointInterval : int
        Cycles.
    growing : iterable of path
        Files of reporters that only grow (XTC, CSV), to be cut back on resume.
    identity : dict, optional
        Further settings (of JSON's kinds) that must be the same for a run to be resumed.
    """

    def __init__(
        self,
        simulation: app.Simulation,
        move: SoluteMove,
        mdSteps: int,
        folder: str | Path,
        *,
        movesPerCycle: int = 1,
        checkpointInterval: int = 10,
        growing: Iterable[str | Path] = (),
        identity: dict[str, Any] | None = None,
    ):
        for name, value, least in (
            ("mdSteps", mdSteps, 0),
            ("movesPerCycle", movesPerCycle, 1),
            ("checkpointInterval", checkpointInterval, 1),
        ):
            if int(value) != value or value < least:
                raise ConfigError(f"{name} = {value} must be a whole number of at least {least}.")
        self.simulation, self.move = simulation, move
        self.folder = SolventFolder(folder, growing)
        self._steps, self._moves, self._interval = mdSteps, movesPerCycle, checkpointInterval
        self._cycle = self._checkpoints = 0
        self._further = dict(identity or {})
        self._table: MoveTable | None = None
        self._barostats = [
            force
            for force in simulation.context.getSystem().getForces()
            if "Barostat" in type(force).__name__
        ]
        self._seeds = [force.getRandomNumberSeed() or 1 for force in self._barostats]

    def getCycle(self) -> int:
        """Cycles made, those before a resume included."""
        return self._cycle

    def resume(self) -> bool:
        """Go back to the folder's last checkpoint, if there is one; call it before reporters open their files.

        Returns
        -------
        bool
            Whether there was one: open the reporters with ``append`` set to it.

        Raises
        ------
        CheckpointError
            If the checkpoint is broken or of another run.
        """
        if not self.folder.has_checkpoint():
            return False
        data, record = self.folder.load_checkpoint()
        identity = self._identity()
        changes = changed_settings({key: record.get(key) for key in identity}, identity)
        if changes:
            raise CheckpointError(
                f"The run in '{self.folder.path}' has other settings than this one ({describe_changes(changes)}); "
                "use the old ones or another folder."
            )
        self.folder.truncate_to(record)
        try:
            self._cycle, self._checkpoints = int(record["cycle"]), int(record["checkpoint"])
            self._renew(data)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"'{self.folder.checkpoint_record}' is incomplete ({error}); start again in a new folder."
            ) from error
        except openmm.OpenMMException as error:
            raise CheckpointError(
                f"OpenMM can't load the checkpoint in '{self.folder.path}' ({error}); it holds for one System, "
                "platform and machine."
            ) from error
        self.move.setCounts(record["counts"])
        self._table = MoveTable(self.folder.moves, append=True)
        return True

    def run(self, cycles: int) -> list[MoveRecord]:
        """Make `cycles` further cycles, and a checkpoint at the end.

        Returns
        -------
        list of MoveRecord
            The moves made now.
        """
        if self._table is None:
            self._begin()
        assert self._table is not None  # _begin
        records = []
        for _ in range(cycles):
            if self._steps:
                self.simulation.step(self._steps)
            for _ in range(self._moves):
                records.append(self.move.move(self.simulation.context))
                self._table.write(records[-1])
            self._cycle += 1
            if self._cycle % self._interval == 0:
                self.saveCheckpoint()
        if self._cycle % self._interval:
            self.saveCheckpoint()
        return records

    def saveCheckpoint(self) -> None:
        """Commit the present state; Contexts are built anew (module docstring)."""
        self._checkpoints += 1
        self._renew(self.simulation.context.createCheckpoint())
        record = {
            **self._identity(),
            "cycle": self._cycle,
            "checkpoint": self._checkpoints,
            "counts": self.move.getCounts(),
        }
        self.folder.save_checkpoint(self.simulation.context.createCheckpoint(), record)

    def _begin(self) -> None:
        if self.folder.has_checkpoint():
            raise OutputError(
                f"'{self.folder.path}' holds a run already; call resume() first, or choose another folder."
            )
        self.folder.create()
        self._table = MoveTable(self.folder.moves)
        self.saveCheckpoint()

    def _renew(self, data: bytes) -> None:
        """Contexts anew, in the state of a checkpoint; loaded last, since it holds Reference's random numbers, too."""
        for force, seed in zip(self._barostats, self._seeds, strict=True):
            force.setRandomNumberSeed((seed + self._checkpoints - 1) % (2**31 - 1) + 1)
        context = self.simulation.context
        context.reinitialize()
        self.move.prepare(context)
        context.loadCheckpoint(data)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        return {
            "particles": self.simulation.context.getSystem().getNumParticles(),
            "md_steps": self._steps,
            "moves_per_cycle": self._moves,
            "move": self.move.describe(),
            **self._further,
        }
