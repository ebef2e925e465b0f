"""Read a trajectory, whatever its container, into positions in nm and an mdtraj topology with bonds."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import mdtraj
import numpy as np
from mdtraj.formats.registry import FormatRegistry
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import DataError, StructureError
from ..foreign_trajectory import TIMED, cause_of, even_spacing


@dataclass(frozen=True)
class LoadedTrajectory:
    """Frames of one molecule.

    Attributes
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
    topology : mdtraj.Topology
        With bonds.
    frame_spacing_ps : float or None
        Time between frames; None where the file doesn't say.
    """

    positions: NDArray[np.float32]
    topology: mdtraj.Topology
    frame_spacing_ps: float | None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def sequence(self) -> str:
        """Residue names joined by hyphens, e.g. ``ACE-ALA-NME``."""
        return "-".join(residue.name for residue in self.topology.residues)


def load_topology(path: str | Path) -> tuple[mdtraj.Topology, NDArray[np.float32]]:
    """Topology of a PDB file (standard bonds and CONECT records) and its positions, (n_atoms, 3) nm."""
    try:
        pdb = app.PDBFile(str(path))
    except FileNotFoundError as error:
        raise StructureError(
            f"'{path}' doesn't exist; give the PDB file of the trajectory's topology."
        ) from error
    except Exception as error:  # OpenMM raises whatever its parser stumbles over
        raise StructureError(
            f"'{path}' can't be read as a PDB file ({cause_of(error)}); give a valid one."
        ) from error
    if pdb.topology.getNumAtoms() == 0:
        raise StructureError(f"'{path}' holds no atoms; give a PDB file of the molecule.")
    positions = pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return mdtraj.Topology.from_openmm(pdb.topology), positions.astype(np.float32)


def load_trajectory(path: str | Path, topology: mdtraj.Topology | None = None) -> LoadedTrajectory:
    """Read a trajectory.

    Parameters
    ----------
    path : str or Path
        ``.npz`` with ``positions`` in nm (and ``frame_spacing_ps``), an HDF5 file of `openmm-unisim
        generate` or of mdtraj, or anything else that mdtraj reads (XTC, DCD, PDB).
    topology : mdtraj.Topology, optional
        Needed for containers that hold none; must name the same atoms in the same order.

    Raises
    ------
    DataError
        If the file is absent, broken, empty or of another number of atoms.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "doesn't exist"
        raise DataError(f"'{path}' {what}; give the path of a trajectory.")
    try:
        positions, own_topology, spacing = _read(path, topology)
    except DataError:
        raise
    except Exception as error:  # mdtraj, numpy and h5py each have their own exceptions for broken files
        raise DataError(
            f"'{path}' can't be read as a trajectory ({cause_of(error)}); check that the file is whole and of this "
            "topology."
        ) from error
    topology = own_topology if topology is None else topology
    if topology is None:
        raise DataError(f"'{path}' holds no topology; give a PDB file with it.")
    if positions.ndim != 3 or positions.shape[1:] != (topology.n_atoms, 3) or len(positions) == 0:
        raise DataError(
            f"'{path}' holds positions of shape {positions.shape} and the topology {topology.n_atoms} atoms; "
            "give the topology of this trajectory."
        )
    return LoadedTrajectory(positions, topology, spacing)


Contents = tuple[NDArray[np.float32], mdtraj.Topology | None, float | None]


def _read(path: Path, topology: mdtraj.Topology | None) -> Contents:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path)
    if suffix in (".h5", ".hdf5"):
        return _read_hdf5(path)
    if suffix == ".pdb":
        loaded = mdtraj.load(str(path))
        return loaded.xyz, loaded.topology, None
    if topology is None:
        raise DataError(f"'{path}' holds no topology; give a PDB file with it.")
    if not any(path.name.lower().endswith(known) for known in FormatRegistry.loaders):
        raise DataError(
            f"'{path}' has a suffix that no reader knows; give XTC, DCD, PDB, .npz with positions in nm, or HDF5."
        )
    loaded = mdtraj.load(str(path), top=topology)
    return loaded.xyz, loaded.topology, even_spacing(loaded.time) if suffix in TIMED else None


def _read_npz(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as archive:
        if "positions" not in archive:
            raise DataError(
                f"'{path}' holds {sorted(archive.files)} and no 'positions'; give positions in nm."
            )
        spacing = float(archive["frame_spacing_ps"]) if "frame_spacing_ps" in archive else None
        if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
            raise DataError(
                f"'{path}' has frame_spacing_ps = {spacing:g}; it must be a positive number of ps."
            )
        return archive["positions"], None, spacing


def _read_hdf5(path: Path) -> Contents:
    """A training file of ours, or mdtraj's layout (read here since mdtraj needs PyTables for it)."""
    with h5py.File(path, "r") as file:
        if "coordinates" in file:
            times = file["time"][:] if "time" in file else np.zeros(1)
            return file["coordinates"][:], None, even_spacing(times)
    from ..data import trajectory_file

    contents = trajectory_file.read(path)
    return contents.positions, None, float(contents.attributes["frame_spacing_ps"])
