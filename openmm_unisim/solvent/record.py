"""moves.csv: one row a move, and the counters that follow from it.

======================  ==============================================================================
column                  meaning
======================  ==============================================================================
move                    number of the move, from 0: the counter of its random numbers
accepted                1 if the solute jumped, 0 if everything was put back
nan                     1 if the jump, an energy or the solvent's dynamics was not finite
switched                1 if the solvent was moved, 0 if the screen (or a broken proposal) ended it before
log_path_ratio          ln K_rev/K_fwd of the jump's path; nan in explore
screen_log_acceptance   ln a of the screen; nan without a screen
work_kj_mol             W of the switch: change of the total energy; in explore of the potential energy
log_acceptance          ln a of the last test that was made; nan in explore
displacement_nm         root mean square displacement of the solute's atoms that was proposed
wall_s                  wall time of the move, s
======================  ==============================================================================
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

from ..simulation.outputs import output_errors

__all__ = ["COLUMNS", "MoveCounts", "MoveRecord", "MoveTable"]

_NAN = float("nan")


@dataclass(frozen=True)
class MoveRecord:
    """One row of moves.csv; see the table of this module."""

    move: int
    accepted: int
    nan: int
    switched: int
    log_path_ratio: float = _NAN
    screen_log_acceptance: float = _NAN
    work_kj_mol: float = _NAN
    log_acceptance: float = _NAN
    displacement_nm: float = _NAN
    wall_s: float = 0.0


COLUMNS = tuple(field.name for field in fields(MoveRecord))


@dataclass
class MoveCounts:
    """Moves made since the beginning, by outcome; `proposed` is also the number of the next move."""

    proposed: int = 0
    switched: int = 0
    accepted: int = 0
    nan: int = 0

    def add(self, record: MoveRecord) -> None:
        """Count one move."""
        self.proposed += 1
        self.switched += record.switched
        self.accepted += record.accepted
        self.nan += record.nan


class MoveTable:
    """Writer of moves.csv; every row is flushed, so that a kill loses at most half a line.

    Parameters
    ----------
    path : str or Path
    append : bool
        Continue the file instead of starting it.
    """

    def __init__(self, path: str | Path, append: bool = False):
        self._path = Path(path)
        with output_errors(self._path):
            self._stream: TextIO = open(self._path, "a" if append else "w", newline="")
            if self._stream.tell() == 0:
                self._stream.write(",".join(COLUMNS) + "\n")
                self._stream.flush()

    def write(self, record: MoveRecord) -> None:
        """Append one row: shortest text that reads back as the same number."""
        values = (repr(getattr(record, name)) for name in COLUMNS)
        with output_errors(self._path):
            self._stream.write(",".join(values) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
