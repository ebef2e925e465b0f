"""Forces of a training-data file: not stored, since they follow from the positions and the recorded force field."""

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ..errors import DataError
from ..system import Molecule, create_system, get_platform, load_molecule
from .trajectory_file import Trajectory

__all__ = ["recomputed_forces"]


def recomputed_forces(
    trajectory: Trajectory, stride: int = 1, platform: str = "Reference", molecule: Molecule | None = None
) -> NDArray[np.float32]:
    """Forces of the frames under the force field and environment that the file names.

    Parameters
    ----------
    trajectory : Trajectory
        As from `trajectory_file.read`.
    stride : int
        Every `stride`-th frame.
    platform : str
        OpenMM's name.
    molecule : Molecule, optional
        Of frames that name a listed small molecule (`molecule_source.load_entry` gives it).

    Returns
    -------
    ndarray, shape (ceil(n_frames / stride), n_atoms, 3), kJ/mol/nm

    Raises
    ------
    DataError
        If what the file names (a sequence, or the path of a structure) isn't the molecule of the frames any more.
    """
    attributes = trajectory.attributes
    molecule = molecule or load_molecule(attributes["molecule"])
    if list(molecule.atomic_numbers) != list(attributes["atomic_numbers"]):
        raise DataError(
            f"'{attributes['molecule']}' has other atoms now than these frames; restore the structure."
        )
    system = create_system(molecule, attributes["environment"])
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform(platform))
    frames = trajectory.positions[::stride]
    forces = np.empty(frames.shape, dtype=np.float32)
    for row, positions in zip(forces, frames):
        context.setPositions(positions.astype(float))
        found = context.getState(forces=True).getForces(asNumpy=True)
        row[:] = found.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return forces
