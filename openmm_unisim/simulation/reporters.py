"""jumps.csv: one row a jump, from the simulate command or from a reporter in anybody's script.

=======================  =================================================================================
column                   meaning
=======================  =================================================================================
jump                     number of the jump, from 1
time_ps                  model time after it, ps
potential_energy_kj_mol  of the structure kept, kJ/mol
accepted                 1 if the proposal was kept, 0 if it was rejected (by the integrator, or as broken)
log_acceptance           ln a of the Metropolis test; 0 where there is none, -inf for a NaN proposal
max_bond_deviation_nm    largest |bond - equilibrium length| of the proposal, nm; nan if it was NaN
chirality_flips          stereocentres of the proposal that changed handedness
clashes                  clashing atom pairs of the proposal
nan                      1 if the proposal, or its energy, was not finite
clipped_forces           guiding forces that were shortened to a limit; 0 where there is none
wall_s                   wall time of this jump, s
=======================  =================================================================================

The measures are those of the proposal, before any rejection. A reporter on a plain `Simulation` sees only the
state that the integrator left, which is the proposal unless the integrator itself rejected it.
"""

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from openmm import app, unit

from ..errors import ConfigError
from .counters import CounterReader, JumpOutcome
from .outputs import output_errors
from .quality import NOT_MEASURED, Quality, QualityMonitor

__all__ = ["COLUMNS", "JumpRecord", "JumpReporter", "JumpTable", "RowTable"]


@dataclass(frozen=True)
class JumpRecord:
    """One row of jumps.csv; see the table of this module."""

    jump: int
    time_ps: float
    potential_energy_kj_mol: float
    accepted: int
    log_acceptance: float
    max_bond_deviation_nm: float
    chirality_flips: int
    clashes: int
    nan: int
    clipped_forces: int
    wall_s: float

    @classmethod
    def of(
        cls, jump: int, time_ps: float, energy: float, outcome: JumpOutcome, quality: Quality, wall_s: float
    ) -> "JumpRecord":
        """A row from its parts; `quality` is that of the proposal."""
        return cls(
            jump, time_ps, energy, outcome.accepted, outcome.log_acceptance, quality.max_bond_deviation,
            max(outcome.turned, quality.chirality_flips), quality.clashes, max(outcome.nan, int(quality.nan)),
            outcome.clipped, wall_s,
        )  # fmt: skip


COLUMNS = tuple(field.name for field in fields(JumpRecord))


def _columns_of(path: Path, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of a file that goes on: one of an older version lacks some."""
    if not path.is_file():
        return columns
    with output_errors(path), open(path, encoding="utf-8") as stream:
        names = tuple(stream.readline().strip().split(","))
    return names if set(names) <= set(columns) and names != ("",) else columns


class RowTable:
    """Writer of a table of records; every row is flushed, so that a kill loses at most half a line.

    Parameters
    ----------
    path : str or Path
    columns : tuple of str
        Fields of the records.
    append : bool
        Continue the file instead of starting it.
    """

    def __init__(self, path: str | Path, columns: tuple[str, ...], append: bool = False):
        self._path = Path(path)
        self._columns = _columns_of(self._path, columns) if append else columns
        with output_errors(self._path):
            self._stream: TextIO = open(self._path, "a" if append else "w", newline="")
            if self._stream.tell() == 0:  # an appended file may be empty
                self._stream.write(",".join(self._columns) + "\n")
                self._stream.flush()

    def write(self, record: Any) -> None:
        """Append one row: text as it is, numbers as the shortest text that reads back as the same number."""
        found = (getattr(record, name) for name in self._columns)
        values = (value if isinstance(value, str) else repr(value) for value in found)
        with output_errors(self._path):
            self._stream.write(",".join(values) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class JumpTable(RowTable):
    """Writer of jumps.csv."""

    def __init__(self, path: str | Path, append: bool = False):
        super().__init__(path, COLUMNS, append)


class JumpReporter:
    """Writes jumps.csv from a plain `openmm.app.Simulation` with a `UniSimIntegrator`.

    Like OpenMM's own reporters: ``simulation.reporters.append(JumpReporter("jumps.csv", 1))``. With an
    interval above 1 a row stands for all jumps since the last row: `accepted` and `nan` count them, `wall_s`
    is their time, the measures are those of the last structure.

    Parameters
    ----------
    file : str or Path
    reportInterval : int
        In jumps.
    monitor : QualityMonitor, optional
        Measures the structures; without one the columns hold nan and 0.
    append : bool
        Continue an existing file.
    """

    def __init__(
        self,
        file: str | Path,
        reportInterval: int = 1,
        monitor: QualityMonitor | None = None,
        append: bool = False,
    ):
        if reportInterval < 1:
            raise ConfigError(f"reportInterval = {reportInterval} must be at least 1 jump.")
        self._interval = int(reportInterval)
        self._monitor = monitor
        self._table = JumpTable(file, append)
        self._counters: CounterReader | None = None
        self._last = time.perf_counter()

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next report and what it needs (OpenMM's reporter protocol)."""
        if self._counters is None:
            self._counters = CounterReader(simulation.integrator)
            self._last = time.perf_counter()
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": ["positions", "energy"]}

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Write one row (OpenMM's reporter protocol)."""
        now = time.perf_counter()
        assert self._counters is not None  # OpenMM calls describeNextReport first
        outcome = self._counters.since_last()
        energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        quality = NOT_MEASURED if self._monitor is None else self._monitor.assess(positions, energy)
        time_ps = state.getTime().value_in_unit(unit.picosecond)
        self._table.write(
            JumpRecord.of(simulation.currentStep, time_ps, energy, outcome, quality, now - self._last)
        )
        self._last = now
