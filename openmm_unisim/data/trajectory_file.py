"""The training-data file: one HDF5 file a walker.

Contents: `positions` (n_frames, n_atoms, 3) as integers of `precision_nm`, `potential_energy` (n_frames,) kJ/mol,
`checkpoint` (OpenMM's binary state at the last frame), and attributes with everything needed to interpret and to
repeat the run. Forces are not stored: `forces.recomputed_forces` makes them on load.

A file grows by whole blocks. Each block is appended to a copy which then replaces the file in one rename, so that a
kill at any moment leaves a complete file with a checkpoint that belongs to its last frame.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import DataError, OutputError

FORMAT = "openmm_unisim.trajectory"
FORMAT_VERSION = 1
POSITION_PRECISION = 1e-4  # nm; XTC's default is 1e-3


@dataclass
class Trajectory:
    """One walker's frames in memory.

    Attributes
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), float32, nm
    potential_energy : ndarray, shape (n_frames,), kJ/mol
    attributes : dict
        `frame_spacing_ps`, `temperature_K`, `atomic_numbers`, `bonds`, `environment`, `force_field`, `seed`, ...
    """

    positions: np.ndarray
    potential_energy: np.ndarray
    attributes: dict[str, Any]


def create(path: Path, attributes: dict[str, Any]) -> None:
    """Write an empty file with its attributes (JSON-encodable values)."""
    temporary = path.with_suffix(".part")
    n_atoms = len(attributes["atomic_numbers"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["precision_nm"] = POSITION_PRECISION
            file.attrs["metadata"] = json.dumps(attributes)
            options = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
            file.create_dataset(
                "positions",
                (0, n_atoms, 3),
                "i4",
                maxshape=(None, n_atoms, 3),
                chunks=(500, n_atoms, 3),
                **options,
            )
            file.create_dataset("potential_energy", (0,), "f4", maxshape=(None,), chunks=(500,), **options)
            file.create_dataset("checkpoint", (0,), "u1", maxshape=(None,), chunks=(65536,))
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"'{path}' can't be written ({error}); check the folder's permissions and free space."
        ) from error


def append(path: Path, positions: np.ndarray, potential_energy: np.ndarray, checkpoint: bytes) -> None:
    """Append a block of frames and replace the checkpoint, atomically.

    Parameters
    ----------
    path : Path
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
    potential_energy : ndarray, shape (n_frames,), kJ/mol
    checkpoint : bytes
        OpenMM's `Context.createCheckpoint` at the last of these frames.
    """
    temporary = path.with_suffix(".part")
    try:
        shutil.copyfile(path, temporary)
        with h5py.File(temporary, "r+") as file:
            _extend(file["positions"], np.rint(positions / POSITION_PRECISION).astype(np.int32))
            _extend(file["potential_energy"], np.asarray(potential_energy, np.float32))
            file["checkpoint"].resize((len(checkpoint),))
            file["checkpoint"][:] = np.frombuffer(checkpoint, np.uint8)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"'{path}' can't be written ({error}); check the folder's permissions and free space."
        ) from error


def _extend(dataset: h5py.Dataset, values: np.ndarray) -> None:
    start = dataset.shape[0]
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values


def read(path: str | Path) -> Trajectory:
    """Read a whole file.

    Raises
    ------
    DataError
        If the file is missing, broken or not of this format.
    """
    with _opened(path) as file:
        scale = float(file.attrs["precision_nm"])
        positions = (file["positions"][:] * scale).astype(np.float32)
        return Trajectory(positions, file["potential_energy"][:], json.loads(file.attrs["metadata"]))


def read_progress(path: str | Path) -> tuple[int, bytes, dict[str, Any]]:
    """Number of frames, last checkpoint and attributes of a file."""
    with _opened(path) as file:
        return file["positions"].shape[0], file["checkpoint"][:].tobytes(), json.loads(file.attrs["metadata"])


def _opened(path: str | Path) -> h5py.File:
    if not Path(path).is_file():
        raise DataError(f"There is no trajectory file '{path}'; make it with `openmm-unisim generate`.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"'{path}' is damaged or no HDF5 file ({error}); generate it again.") from error
    if file.attrs.get("format") != FORMAT or int(file.attrs.get("format_version", 0)) > FORMAT_VERSION:
        file.close()
        raise DataError(
            f"'{path}' is not a trajectory file of this program (or of a newer one); see docs/units.md."
        )
    return file
