"""The archive: positions of all walkers of one molecule and protocol, small enough for a repository.

Frames are thinned, superposed on the first one (rigid motion carries nothing that training uses, and costs a fifth of
the bytes) and stored as integers of 0.001 nm, XTC's precision, each coordinate's time series together, shuffled and
gzipped by HDF5. That is 2.2 times smaller than XTC (docs/data.md). Energies are left out: they follow from positions.

==================  ==========================================================================
`positions`         (n_atoms, 3, n_frames) int16, units of `precision_nm`, stretch after stretch
`lengths`           (n_stretches,) frames of each stretch
`reversible`        (n_stretches,) whether it is equilibrium dynamics
==================  ==========================================================================

Attributes: format, `precision_nm`, `metadata` (JSON: the first file's, with `frame_spacing_ps` of these frames, and
`sources`: name, SHA-256 and seed of each raw file).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from ..provenance import sha256_of_file

if TYPE_CHECKING:
    from .stretches import Stretch

__all__ = ["ArchivedFrames", "is_archive", "read", "read_attributes", "write", "write_frames", "write_within"]

FORMAT = "openmm_unisim.archive"
FORMAT_VERSION = 1
PRECISION = 1e-3  # nm, that of XTC
SPACINGS = (5.0, 10.0)  # ps; the first that fits is taken
_CHUNK = 8192  # frames
MEGABYTE = 1_000_000


@dataclass
class ArchivedFrames:
    """An archive file in memory.

    Attributes
    ----------
    stretches : list of ndarray, shape (n_frames, n_atoms, 3), float32, nm
    reversible : list of bool
    attributes : dict
    """

    stretches: list[NDArray[np.float32]]
    reversible: list[bool]
    attributes: dict[str, Any]


def is_archive(path: str | Path) -> bool:
    """Whether a file is of this format; False for anything else, missing files included."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False


def write(paths: Sequence[Path], target: Path, spacing: float = SPACINGS[0]) -> int:
    """Archive the walkers of one molecule and protocol.

    Parameters
    ----------
    paths : sequence of Path
        Trajectory files.
    target : Path
    spacing : float, ps
        A multiple of the files' own.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    DataError
        If the files are of different protocols, or the spacing doesn't fit theirs.
    """
    from .stretches import read_stretches

    kept: list[NDArray[np.int16]] = []
    reversible, sources = [], []
    first: dict[str, Any] = {}
    for path in sorted(paths):
        stretches = read_stretches(path)
        for stretch in stretches:
            first = first or stretch.attributes
            kept.append(_thinned(path, stretch, first, spacing, kept[0][0] if kept else None))
            reversible.append(stretch.reversible)
        if stretches:
            attributes = stretches[0].attributes
            sources.append(
                {"file": path.name, "sha256": sha256_of_file(path), "seed": attributes.get("seed")}
            )
    if not kept:
        raise DataError(f"No frames were given for the archive '{target}'; generate them first.")
    metadata = {**first, "frame_spacing_ps": spacing, "sources": sources}
    _save(target, kept, reversible, metadata)
    return target.stat().st_size


def _thinned(
    path: Path, stretch: "Stretch", first: dict[str, Any], spacing: float, reference: NDArray[np.int16] | None
) -> NDArray[np.int16]:
    """Frames at the archive's spacing, superposed, in units of `PRECISION`; shape (n_frames, n_atoms, 3)."""
    for key in (
        "atomic_numbers",
        "environment",
        "temperature_K",
        "force_field",
        "frame_spacing_ps",
        "constraints",
    ):
        if stretch.attributes.get(key) != first.get(key):
            raise DataError(f"'{path}' differs from the other files in {key}; archive each protocol apart.")
    own = stretch.attributes["frame_spacing_ps"]
    stride = spacing / own
    if abs(stride - round(stride)) > 1e-6 or round(stride) < 1:
        raise DataError(f"A spacing of {spacing} ps is no multiple of that of '{path}', {own} ps.")
    return _as_integers(path, stretch.positions[:: round(stride)], reference)


def write_frames(
    target: Path,
    stretches: Sequence[NDArray[np.floating]],
    reversible: Sequence[bool],
    metadata: dict[str, Any],
) -> None:
    """Write an archive file from frames in memory.

    Parameters
    ----------
    target : Path
    stretches : sequence of ndarray, shape (n_frames, n_atoms, 3), nm
        Unbroken dynamics each, at the `frame_spacing_ps` of the metadata.
    reversible : sequence of bool
        Whether each is equilibrium dynamics.
    metadata : dict
        As in trajectory files.
    """
    kept: list[NDArray[np.int16]] = []
    for frames in stretches:
        kept.append(_as_integers(target, frames, kept[0][0] if kept else None))
    _save(target, kept, list(reversible), metadata)


def _as_integers(
    path: Path, positions: NDArray[np.floating], reference: NDArray[np.int16] | None
) -> NDArray[np.int16]:
    """Frames superposed on a reference, or on the first of them, in units of `PRECISION`."""
    import torch

    from ..geometry import superpose

    frames = positions.astype(np.float64)
    target = frames[0] - frames[0].mean(0) if reference is None else reference * PRECISION
    aligned = superpose(torch.from_numpy(frames), torch.from_numpy(target)[None].expand(len(frames), -1, -1))
    integers = np.rint(aligned.numpy() / PRECISION)
    if not (np.abs(integers) < 2**15).all():
        raise DataError(f"'{path}' has coordinates beyond 32 nm or NaN, which the archive can't hold.")
    return integers.astype(np.int16)


def _save(
    target: Path, kept: list[NDArray[np.int16]], reversible: list[bool], metadata: dict[str, Any]
) -> None:
    temporary = target.with_suffix(".part")
    series = np.ascontiguousarray(np.concatenate(kept).transpose(1, 2, 0))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["precision_nm"] = PRECISION
            file.attrs["metadata"] = json.dumps(metadata)
            file.create_dataset(
                "positions", data=series, chunks=(*series.shape[:2], min(_CHUNK, series.shape[2])),
                compression="gzip", compression_opts=9, shuffle=True,
            )  # fmt: skip
            file.create_dataset("lengths", data=np.array([len(frames) for frames in kept]))
            file.create_dataset("reversible", data=np.array(reversible))
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(
            f"'{target}' can't be written ({error}); check the folder's permissions and free space."
        ) from error


def _opened(path: str | Path) -> h5py.File:
    if not is_archive(path):
        raise DataError(f"'{path}' is no archive file of this program; see docs/data.md.")
    file = h5py.File(path, "r")
    if int(file.attrs["format_version"]) > FORMAT_VERSION:
        file.close()
        raise DataError(f"'{path}' is of a newer format than this program knows; update it.")
    return file


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Attributes of an archive file, without its frames."""
    with _opened(path) as file:
        return json.loads(file.attrs["metadata"])


def read(path: str | Path) -> ArchivedFrames:
    """Read a whole archive file.

    Raises
    ------
    DataError
        If the file is missing, broken or not of this format.
    """
    with _opened(path) as file:
        positions = file["positions"][:].transpose(2, 0, 1) * np.float32(file.attrs["precision_nm"])
        ends = np.cumsum(file["lengths"][:])[:-1]
        reversible = [bool(value) for value in file["reversible"][:]]
        return ArchivedFrames(np.split(positions, ends), reversible, json.loads(file.attrs["metadata"]))


def write_within(
    groups: Mapping[str, Sequence[Path]], folder: Path, total_mb: float, each_mb: float
) -> dict[str, tuple[float, int]]:
    """Archive many groups of walkers within a budget: at 5 ps, or 10 ps where that is too large.

    Parameters
    ----------
    groups : mapping
        Name of the archive file to its trajectory files.
    folder : Path
    total_mb, each_mb : float
        Limits in 10^6 bytes, of all and of each.

    Returns
    -------
    dict
        File name to (spacing in ps, bytes).

    Raises
    ------
    DataError
        If the widest spacing doesn't fit, naming what is too large.
    """
    written: dict[str, tuple[float, int]] = {}
    for name, paths in groups.items():
        written[name] = (SPACINGS[0], write(paths, folder / name, SPACINGS[0]))
    for spacing in SPACINGS[1:]:
        for name, paths in sorted(groups.items(), key=lambda item: -written[item[0]][1]):  # the largest first
            if written[name][1] > each_mb * MEGABYTE or _total(written) > total_mb * MEGABYTE:
                written[name] = (spacing, write(paths, folder / name, spacing))
    for name, (spacing, size) in written.items():
        if size > each_mb * MEGABYTE:
            raise DataError(
                f"'{name}' takes {size / MEGABYTE:.1f} MB at {spacing:g} ps, over its {each_mb:g} MB; archive fewer "
                "walkers or raise the limit."
            )
    if _total(written) > total_mb * MEGABYTE:
        raise DataError(
            f"The archive takes {_total(written) / MEGABYTE:.1f} MB, over {total_mb:g} MB; archive fewer walkers."
        )
    return written


def _total(written: dict[str, tuple[float, int]]) -> int:
    return sum(size for _, size in written.values())
