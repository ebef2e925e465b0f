"""Read the folder that `openmm-unisim simulate` leaves (written by `simulation.outputs`)."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..estimators.distributions import FloatArray
from ..trajectories import load_topology, load_trajectory

NEEDED_COLUMNS = (
    "jump",
    "time_ps",
    "potential_energy_kj_mol",
    "accepted",
    "max_bond_deviation_nm",
    "chirality_flips",
    "clashes",
    "nan",
    "wall_s",
)


@dataclass(frozen=True)
class RunData:
    """A run as far as it was written.

    Attributes
    ----------
    topology : mdtraj.Topology
    start_positions : ndarray, shape (n_atoms, 3), nm
        Where the first jump started.
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        One frame a jump.
    frame_spacing_ps : float
        Model time between frames.
    jumps : dict of ndarray, shape (n_jumps,)
        Columns of jumps.csv.
    record : dict
        run.json.
    warnings : list of str
        What didn't fit together.
    """

    topology: mdtraj.Topology
    start_positions: NDArray[np.float32]
    positions: NDArray[np.float32]
    frame_spacing_ps: float
    jumps: dict[str, FloatArray]
    record: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    @property
    def sequence(self) -> str:
        """Residue names joined by hyphens."""
        return "-".join(residue.name for residue in self.topology.residues)

    @property
    def lag_time_ps(self) -> float:
        """Model time of one jump, ps."""
        return float(self.record["lag_time_ps"])

    def setting(self, *names: str, default: Any = None) -> Any:
        """Value at a path of keys of run.json, or `default` where any is absent or null."""
        value: Any = self.record
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return default if value is None else value


def read_run(folder: str | Path) -> RunData:
    """Read topology.pdb, trajectory.xtc, jumps.csv and run.json.

    Raises
    ------
    DataError
        If one is absent or broken.
    """
    folder = Path(folder)
    for table, command in (("cycles.csv", "hybrid"), ("moves.csv", "solvent")):
        if (folder / table).is_file():
            raise DataError(
                f"'{folder}' is a run of `openmm-unisim {command}`, which has no report; judge its trajectory.xtc by "
                "`openmm-unisim evaluate`."
            )
    for name in ("topology.pdb", "trajectory.xtc", "jumps.csv", "run.json"):
        if not (folder / name).is_file():
            raise DataError(f"'{folder}' holds no {name}; give a folder that `openmm-unisim simulate` wrote.")
    if (folder / "trajectory.xtc").stat().st_size == 0:
        raise DataError(f"'{folder}' holds no frame, since no jump was made; there is nothing to report.")
    record = _read_record(folder / "run.json")
    topology, start = load_topology(folder / "topology.pdb")
    trajectory = load_trajectory(folder / "trajectory.xtc", topology)
    jumps = read_jumps(folder / "jumps.csv")
    warnings = [str(text) for text in record.get("warnings", [])]
    n_jumps = len(jumps["jump"])
    if n_jumps != trajectory.n_frames:
        warnings.append(f"jumps.csv has {n_jumps} rows and trajectory.xtc {trajectory.n_frames} frames.")
    spacing = trajectory.frame_spacing_ps or float(record["lag_time_ps"])
    return RunData(topology, start, trajectory.positions, spacing, jumps, record, warnings)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        float(record["lag_time_ps"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"'{path}' is not a run record with lag_time_ps ({error!r}); run the simulation again."
        ) from error
    return record


def read_jumps(path: Path) -> dict[str, FloatArray]:
    """Columns of jumps.csv as float arrays; a last row cut off by a kill is left out.

    Raises
    ------
    DataError
        If columns are missing or a row in the middle is broken.
    """
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    header = rows[0] if rows else []
    missing = [name for name in NEEDED_COLUMNS if name not in header]
    if missing:
        raise DataError(f"'{path}' lacks the columns {', '.join(missing)}; it isn't a table of jumps.")
    values = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} fields")
            values.append([float(cell) for cell in row])
        except ValueError as error:
            if number == len(rows):
                break
            raise DataError(f"'{path}', line {number}: {error}; the table is damaged.") from error
    table = np.array(values, dtype=np.float64).reshape(-1, len(header))
    return {name: table[:, column] for column, name in enumerate(header)}
