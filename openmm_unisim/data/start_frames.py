"""Starts of MD taken from another trajectory of the molecule: hot, or of another environment.

A walker started there meets conformations that equilibrium MD of its length may never reach. Its pairs are valid
draws of the end given the start, which is what the conditioned form learns, but they aren't equilibrium pairs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm
from numpy.typing import NDArray

from ..errors import DataError
from ..provenance import sha256_of_file
from ..system import Molecule
from . import trajectory_file

__all__ = ["StartFrames"]


@dataclass
class StartFrames:
    """Frames to start from.

    Attributes
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
    seed : int
        Which frames are drawn, and velocities, follow from it and the number of the restart.
    sha256 : str
        Of the file.
    """

    positions: NDArray[np.floating]
    seed: int
    sha256: str

    @classmethod
    def read(cls, path: Path, molecule: Molecule, seed: int) -> "StartFrames":
        """Read them.

        Raises
        ------
        DataError
            If the file is missing, of another molecule, or empty.
        """
        trajectory = trajectory_file.read(path)
        if trajectory.attributes["atomic_numbers"] != molecule.atomic_numbers.tolist():
            raise DataError(
                f"'{path}' has other atoms than '{molecule.name}'; start from its own trajectory."
            )
        if len(trajectory.positions) == 0:
            raise DataError(f"'{path}' has no frames to start from yet; generate it first.")
        return cls(trajectory.positions, seed, sha256_of_file(path))

    def restart(self, context: openmm.Context, equilibration_time: float, number: int) -> None:
        """Put restart `number` of a walker into a Context, with new velocities, and equilibrate for a time (ps)."""
        generator = np.random.default_rng([self.seed, number])
        frame = self.positions[generator.integers(len(self.positions))]
        integrator = context.getIntegrator()
        context.setPositions(frame.astype(np.float64))
        context.setVelocitiesToTemperature(integrator.getTemperature(), int(generator.integers(1, 2**31 - 1)))
        integrator.step(round(equilibration_time / _in_ps(integrator.getStepSize())))


def _in_ps(value: openmm.unit.Quantity) -> float:
    return float(value.value_in_unit(openmm.unit.picosecond))
