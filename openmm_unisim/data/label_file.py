"""The label file: one HDF5 file a molecule, its frames once, energies and forces by each source.

=====================================  =====================================================================
`positions`                            (n_frames, n_atoms, 3) float32, nm
`temperature`, `displacement`          (n_frames,) float32: K of the MD, nm of the noise added (0: none)
`labels/SOURCE/energies`               (n_labelled,) float64, kJ/mol, the source's own zero
`labels/SOURCE/forces`                 (n_labelled, n_atoms, 3) float32, kJ/mol/nm
=====================================  =====================================================================

A source has labelled the first n_labelled frames. NaN marks a frame at which it didn't converge. Attributes: format,
`metadata` (JSON: molecule, atomic numbers, bonds, protocol of the frames, provenance), and for each source its
`reference`. A file grows by whole blocks, each written to a copy that replaces the file in one rename.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from .labels.source import Labels
from .off_equilibrium import FrameBlock

__all__ = [
    "LabelSet",
    "append_frames",
    "append_labels",
    "create",
    "labels_of",
    "read_frames",
    "read_progress",
]

FORMAT = "openmm_unisim.labels"
FORMAT_VERSION = 1
_COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


@dataclass
class LabelSet:
    """Frames with the labels of one source, frames without convergence left out.

    Attributes
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), float32, nm
    energies : ndarray, shape (n_frames,), float64, kJ/mol
    forces : ndarray, shape (n_frames, n_atoms, 3), float32, kJ/mol/nm
    n_failed : int
        Frames left out.
    reference : str
    attributes : dict
        `name`, `atomic_numbers`, `bonds`, `frames` (protocol), `provenance`.
    """

    positions: NDArray[np.float32]
    energies: NDArray[np.float64]
    forces: NDArray[np.float32]
    n_failed: int
    reference: str
    attributes: dict[str, Any]


def create(path: Path, attributes: dict[str, Any]) -> None:
    """Write an empty file with its attributes (JSON-encodable values)."""
    n_atoms = len(attributes["atomic_numbers"])
    with _rewritten(path, fresh=True) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["metadata"] = json.dumps(attributes)
        _growing(file, "positions", (n_atoms, 3), "f4")
        _growing(file, "temperature", (), "f4")
        _growing(file, "displacement", (), "f4")
        file.create_group("labels")


def append_frames(path: Path, block: FrameBlock) -> None:
    """Append a block of frames, atomically."""
    with _rewritten(path) as file:
        for name, values in block._asdict().items():
            _extend(file[name], values)


def append_labels(path: Path, source: str, reference: str, labels: Labels) -> None:
    """Append a source's labels of the next frames, atomically."""
    energies, forces = labels
    with _rewritten(path) as file:
        if source not in file["labels"]:
            group = file["labels"].create_group(source)
            group.attrs["reference"] = reference
            _growing(group, "energies", (), "f8")
            _growing(group, "forces", forces.shape[1:], "f4")
        group = file["labels"][source]
        if group.attrs["reference"] != reference:
            raise DataError(
                f"'{path}' has labels by '{group.attrs['reference']}', not by '{reference}'; use another file."
            )
        _extend(group["energies"], energies)
        _extend(group["forces"], forces.astype(np.float32))


def read_progress(path: Path) -> tuple[int, dict[str, int], dict[str, Any]]:
    """Number of frames, number of labelled frames of each source, and attributes."""
    with _opened(path) as file:
        counts = {name: len(group["energies"]) for name, group in file["labels"].items()}
        return len(file["positions"]), counts, json.loads(file.attrs["metadata"])


def read_frames(path: Path, start: int, stop: int) -> NDArray[np.float32]:
    """Positions of frames start..stop-1, nm."""
    with _opened(path) as file:
        return file["positions"][start:stop]


def labels_of(path: str | Path, source: str) -> LabelSet:
    """The frames that a source has labelled.

    Raises
    ------
    DataError
        If the file is missing or foreign, or the source isn't in it.
    """
    with _opened(path) as file:
        if source not in file["labels"]:
            raise DataError(
                f"'{path}' has no labels by {source}, only by {', '.join(file['labels']) or 'none'}; "
                f"run `openmm-unisim data label`."
            )
        group = file["labels"][source]
        energies, forces = group["energies"][:], group["forces"][:]
        positions = file["positions"][: len(energies)]
        attributes, reference = json.loads(file.attrs["metadata"]), str(group.attrs["reference"])
    good = np.isfinite(energies) & np.isfinite(forces).all((1, 2))
    return LabelSet(positions[good], energies[good], forces[good], int((~good).sum()), reference, attributes)


def _growing(group: Any, name: str, shape: tuple[int, ...], kind: str) -> None:
    # chunks of a block: a chunk that grew would leave its old bytes behind in the file
    group.create_dataset(
        name, (0, *shape), kind, maxshape=(None, *shape), chunks=(64, *shape), **_COMPRESSION
    )


def _extend(dataset: h5py.Dataset, values: NDArray[Any]) -> None:
    start = dataset.shape[0]
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values


@contextmanager
def _rewritten(path: Path, fresh: bool = False) -> Iterator[h5py.File]:
    """A copy of the file to change, which then replaces it in one rename."""
    temporary = path.with_suffix(".part")
    try:
        if fresh:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            _opened(path).close()
            shutil.copyfile(path, temporary)
        with h5py.File(temporary, "w" if fresh else "r+") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"'{path}' can't be written ({error}); check the folder's permissions and free space."
        ) from error


def _opened(path: str | Path) -> h5py.File:
    if not Path(path).is_file():
        raise DataError(f"There is no label file '{path}'; make it with `openmm-unisim data label`.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"'{path}' is damaged or no HDF5 file ({error}); make it again.") from error
    if file.attrs.get("format") != FORMAT or int(file.attrs.get("format_version", 0)) > FORMAT_VERSION:
        file.close()
        raise DataError(
            f"'{path}' is not a label file of this program (or of a newer one); see docs/data.md."
        )
    return file
