"""Labels by OpenMM: ff14SB for peptides, GAFF2 for small molecules, in vacuum or native OBC2."""

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ...provenance import package_versions
from ...system import Molecule, create_system, get_platform
from .source import Labels

__all__ = ["OpenMMSource"]


class OpenMMSource:
    """Energies and forces of a molecule's own force field.

    Parameters
    ----------
    molecule : Molecule
    environment : {"vacuum", "obc2"}
    name : str
        As in files.
    """

    def __init__(self, molecule: Molecule, environment: str, name: str) -> None:
        self.name = name
        version = package_versions(("openmm",))["openmm"]
        self.reference = (
            f"{molecule.force_field}, {environment}, no cutoff; OpenMM {version}, Reference platform"
        )
        system = create_system(molecule, environment)
        # Reference: double precision, and the fastest below 50 atoms
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform("Reference"))

    def __call__(self, positions: NDArray[np.floating]) -> Labels:
        """Label frames (see `LabelSource`)."""
        energies = np.empty(len(positions))
        forces = np.empty(positions.shape)
        for index, frame in enumerate(positions):
            self._context.setPositions(np.asarray(frame, dtype=np.float64))
            state = self._context.getState(energy=True, forces=True)
            energies[index] = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            found = state.getForces(asNumpy=True)
            forces[index] = found.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        return energies, forces
