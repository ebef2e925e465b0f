"""MD that was made elsewhere, as training reads it: one molecule, whole, its spacing known, its protocol stated."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError, NonFiniteError, UniSimError
from ..foreign_trajectory import TIMED, cause_of, even_spacing
from .molecule_choice import ChosenMolecule
from .stretches import read_attributes, read_stretches
from .wholeness import make_whole, walk_bonds

__all__ = ["CONSTRAINTS", "ForeignWalker", "StatedProtocol", "read_walker"]

CONSTRAINTS = ("none", "h-bonds", "all-bonds", "h-angles")
LONGEST_BOND = 0.3  # nm; beyond it a molecule was cut, or the atoms are in another order
_CHUNK_COORDINATES = 4_000_000  # read at once, about 50 MB in single precision
Block = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.floating]]


@dataclass(frozen=True)
class StatedProtocol:
    """What is said of the MD by whoever ran it; None: the file must say it.

    Attributes
    ----------
    temperature_K, friction_per_ps, hydrogen_mass_Da : float or None
        K; 1/ps; Da, 1.008 without repartitioning.
    environment, force_field : str or None
        "obc2", "tip3p", ...; "ff14SB", ...
    constraints : {"none", "h-bonds", "all-bonds", "h-angles"} or None
    """

    temperature_K: float | None = None
    environment: str | None = None
    force_field: str | None = None
    friction_per_ps: float | None = None
    hydrogen_mass_Da: float | None = None
    constraints: str | None = None

    OPTIONS: ClassVar[dict[str, str]] = {
        "temperature_K": "--temperature", "environment": "--environment", "force_field": "--force-field",
        "friction_per_ps": "--friction", "hydrogen_mass_Da": "--hydrogen-mass", "constraints": "--constraints",
    }  # fmt: skip

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        for name in ("temperature_K", "hydrogen_mass_Da"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{self.OPTIONS[name]} {value:g} must be a positive number.")
        if self.friction_per_ps is not None and not 0 <= self.friction_per_ps < float("inf"):
            raise ConfigError(f"--friction {self.friction_per_ps:g} must be a number of 1/ps, not negative.")
        if self.constraints is not None and self.constraints not in CONSTRAINTS:
            raise ConfigError(
                f"--constraints {self.constraints} is unknown; choose one of {', '.join(CONSTRAINTS)}."
            )

    def completed(self, attributes: dict[str, Any], path: Path) -> dict[str, Any]:
        """All of it, from what is said and what a file of ours says.

        Raises
        ------
        ConfigError
            If something is known from neither, or they contradict each other.
        """
        self.check()
        found, missing = {}, []
        for field in fields(self):
            said, known = getattr(self, field.name), attributes.get(field.name)
            if said is not None and known is not None and said != known:
                raise ConfigError(
                    f"'{path}' was made with {field.name} = {known!r}, and {self.OPTIONS[field.name]} says {said!r}; "
                    "leave the option out."
                )
            found[field.name] = known if said is None else said
            if found[field.name] is None:
                missing.append(self.OPTIONS[field.name])
        if missing:
            raise ConfigError(
                f"'{path}' doesn't say how its MD was run; give {', '.join(missing)}, since a model's file must say it."
            )
        return found


@dataclass(frozen=True)
class ForeignWalker:
    """One file's frames.

    Attributes
    ----------
    path : Path
    stretches : list of ndarray, shape (n_frames, n_atoms, 3), float32, nm
        Unbroken dynamics.
    reversible : list of bool or None
        Of each stretch, where the file says whether it is equilibrium dynamics.
    frame_spacing_ps : float
    attributes : dict
        What a file of ours says; empty for others.
    notes : tuple of str
        What was done to the frames.
    """

    path: Path
    stretches: list[NDArray[np.float32]]
    reversible: list[bool] | None
    frame_spacing_ps: float
    attributes: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_walker(
    path: Path, chosen: ChosenMolecule, spacing_ps: float | None = None, stride: int = 1
) -> ForeignWalker:
    """Read a trajectory of any container that mdtraj knows, or of ours.

    Parameters
    ----------
    path : Path
    chosen : ChosenMolecule
    spacing_ps : float, optional
        Time between the file's frames; needed where the file doesn't say.
    stride : int
        Every `stride`-th frame is kept.

    Raises
    ------
    DataError, NonFiniteError
        If the file is broken, of other atoms, has no spacing, or holds frames that can't be used.
    """
    if not path.is_file():
        raise DataError(f"There is no trajectory '{path}'; check the path.")
    if stride < 1:
        raise ConfigError(f"--stride {stride} must be at least 1.")
    if spacing_ps is not None and not 0 < spacing_ps < float("inf"):
        raise ConfigError(f"--spacing-ps {spacing_ps:g} must be a positive number.")
    if _is_ours(path):
        return _read_ours(path, chosen, spacing_ps, stride)
    frames, times, boxed = _read_foreign(path, chosen, stride)
    known = even_spacing(times) if _has_times(path) else None
    spacing = spacing_ps or known
    if spacing is None:
        raise DataError(
            f"'{path}' doesn't say how far apart its frames are (or not evenly); give --spacing-ps."
        )
    notes = []
    if known is not None and abs(known - spacing) > 0.01 * spacing:
        notes.append(f"{path.name}: frames {spacing:g} ps apart, as told; the file says {known:g} ps")
    if boxed:
        notes.append(f"{path.name}: put together along its bonds in its periodic box")
    _check_frames(path, frames, chosen)
    return ForeignWalker(path, [frames], None, spacing * stride, {}, tuple(notes))


def _is_ours(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("format", "")).startswith("openmm_unisim.")
    except OSError:
        return False


def _read_ours(path: Path, chosen: ChosenMolecule, spacing_ps: float | None, stride: int) -> ForeignWalker:
    attributes = read_attributes(path)
    molecule = chosen.molecule
    same_bonds = {frozenset(bond) for bond in attributes["bonds"]} == {
        frozenset(bond) for bond in molecule.bonds.tolist()
    }
    if attributes["atomic_numbers"] != molecule.atomic_numbers.tolist() or not same_bonds:
        raise DataError(
            f"'{path}' holds '{attributes['name']}' with other atoms or bonds than '{molecule.name}' of the topology; "
            "give the structure that it was made from."
        )
    spacing = float(attributes["frame_spacing_ps"])
    if spacing_ps is not None and abs(spacing_ps - spacing) > 0.01 * spacing:
        raise ConfigError(
            f"'{path}' has frames {spacing:g} ps apart, not {spacing_ps:g}; leave --spacing-ps out."
        )
    stretches = read_stretches(path)
    frames = [stretch.positions[::stride] for stretch in stretches]
    if not frames or not len(frames[0]):
        raise DataError(f"'{path}' holds no frames yet; generate them first.")
    for positions in frames:
        _check_frames(path, positions, chosen)
    return ForeignWalker(path, frames, [s.reversible for s in stretches], spacing * stride, attributes)


def _has_times(path: Path) -> bool:
    return path.suffix.lower() in (*TIMED, ".h5", ".hdf5")


def _read_foreign(
    path: Path, chosen: ChosenMolecule, stride: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], bool]:
    """Frames of the chosen atoms (centred), times of all frames, and whether a box was met."""
    tree = walk_bonds(chosen.molecule.bonds, len(chosen.atoms))
    kept, times, boxed, first = [], [], False, 0
    try:
        for positions, boxes, moments in _blocks(path, chosen):
            taken = np.arange(-first % stride, len(positions), stride)
            frames = positions[taken][:, chosen.atoms].astype(np.float64)
            if boxes is not None:
                boxed = True
                frames = make_whole(frames, boxes[taken], tree)
            kept.append((frames - frames.mean(1, keepdims=True)).astype(np.float32))
            times.append(np.asarray(moments, dtype=np.float64))
            first += len(positions)
    except UniSimError:
        raise
    except Exception as error:  # each reader has its own for broken files
        raise DataError(
            f"'{path}' can't be read as a trajectory ({cause_of(error)}); check that the file is whole and of this "
            "topology."
        ) from error
    if first == 0:
        raise DataError(f"'{path}' holds no frames; give a trajectory.")
    return np.concatenate(kept), np.concatenate(times), boxed


def _blocks(path: Path, chosen: ChosenMolecule) -> Iterator[Block]:
    """Positions (n_frames, n_system, 3), box vectors or None, times; a block at a time."""
    if path.suffix.lower() in (".h5", ".hdf5"):
        yield from _blocks_of_hdf5(path, chosen)
        return
    import mdtraj
    from mdtraj.formats.registry import FormatRegistry

    if not any(path.name.lower().endswith(suffix) for suffix in FormatRegistry.loaders):
        raise DataError(f"'{path}' has a suffix that no reader knows; give XTC, DCD, NetCDF, TRR or HDF5.")
    topology = mdtraj.Topology()
    residue = topology.add_residue("ALL", topology.add_chain())
    for _ in range(chosen.n_system):  # the reader needs their number only
        topology.add_atom("X", mdtraj.element.virtual, residue)
    chunk = max(1, _CHUNK_COORDINATES // (3 * chosen.n_system))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*netCDF4.*")
        for block in mdtraj.iterload(str(path), top=topology, chunk=chunk):
            yield block.xyz, block.unitcell_vectors, block.time


def _blocks_of_hdf5(path: Path, chosen: ChosenMolecule) -> Iterator[Block]:
    """mdtraj's layout, read without PyTables, which mdtraj would need."""
    from mdtraj.utils import lengths_and_angles_to_box_vectors

    with h5py.File(path, "r") as file:
        if "coordinates" not in file:
            raise DataError(f"'{path}' is HDF5 of neither mdtraj's layout nor ours; convert it to XTC.")
        positions = file["coordinates"][:]
        times = file["time"][:] if "time" in file else np.zeros(len(positions))
        boxes = None
        if "cell_lengths" in file and "cell_angles" in file:
            sizes = np.concatenate([file["cell_lengths"][:], file["cell_angles"][:]], axis=1).T
            boxes = np.stack(lengths_and_angles_to_box_vectors(*sizes), axis=1)
    if positions.ndim != 3 or positions.shape[1] != chosen.n_system:
        raise DataError(
            f"'{path}' holds positions of shape {positions.shape} and the topology {chosen.n_system} atoms; give the "
            "topology of this trajectory."
        )
    yield positions, boxes, times


def _check_frames(path: Path, frames: NDArray[np.float32], chosen: ChosenMolecule) -> None:
    """Refuse NaN, and bonds that no molecule has."""
    finite = np.isfinite(frames).all((1, 2))
    if not finite.all():
        raise NonFiniteError(
            f"Frame {int(np.argmin(finite))} of '{path}' has coordinates that aren't numbers; cut the trajectory there."
        )
    bonds = chosen.molecule.bonds
    for first in range(0, len(frames), 1000):
        block = frames[first : first + 1000]
        lengths = np.linalg.norm(block[:, bonds[:, 0]] - block[:, bonds[:, 1]], axis=-1)
        if lengths.max() > LONGEST_BOND:
            frame, bond = np.unravel_index(int(lengths.argmax()), lengths.shape)
            a, b = (int(chosen.atoms[atom]) for atom in bonds[bond])
            raise DataError(
                f"Frame {first + int(frame)} of '{path}' has a bond of {lengths.max():.2f} nm between atoms {a} and "
                f"{b}; either the box that cut the molecule isn't in the file (make it whole first), or the topology "
                "has its atoms in another order."
            )
