"""What another environment would add to the energy of stored frames: eps of the tilt (docs/theory.md, section 9)."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ..errors import ConfigError, DataError, NonFiniteError
from ..system import ENVIRONMENTS, Molecule, create_system, get_platform, load_molecule
from .molecule_list import listed
from .molecule_source import load_entry

__all__ = ["EnvironmentEnergy", "ForceEnergy", "molecule_of_frames"]


def molecule_of_frames(attributes: dict[str, Any], parameters: Path) -> Molecule:
    """The molecule that a data file names.

    Parameters
    ----------
    attributes : dict
        Of the file: `molecule`, what was asked for, or `name` (files of `train finetune` have that one only).
    parameters : Path
        Folder of small molecules' Amber files (`load_entry`).

    Raises
    ------
    DataError
        If it is unnamed or unknown, or has other atoms than the frames.
    """
    entries = {entry.name: entry for entry in listed()}
    name = str(attributes.get("molecule") or attributes.get("name") or "")
    if not name:
        raise DataError("These frames don't say which molecule they are of; give files of this program.")
    molecule = load_entry(entries[name], parameters) if name in entries else load_molecule(name)
    if molecule.atomic_numbers.tolist() != list(attributes["atomic_numbers"]):
        raise DataError(f"'{name}' has other atoms now than these frames; restore the structure.")
    return molecule


class EnvironmentEnergy:
    """W = U_target - U_source of a molecule, of which both force fields' common terms are left out.

    Parameters
    ----------
    molecule : Molecule
    source, target : str
        Environments of `create_system`.
    platform : str
        OpenMM's name.
    """

    def __init__(self, molecule: Molecule, source: str, target: str, platform: str = "Reference") -> None:
        if source == target or {source, target} - set(ENVIRONMENTS):
            raise ConfigError(
                f"There is nothing to learn between the environments '{source}' and '{target}'; the data's own and the "
                f"target must be two of {', '.join(ENVIRONMENTS)}."
            )
        self.molecule, self.source, self.target = molecule, source, target
        self._terms = []
        for environment, sign in ((target, 1.0), (source, -1.0)):
            system = create_system(molecule, environment)
            groups = _groups_of_environment(system)
            if groups:
                context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform(platform))
                self._terms.append((context, groups, sign))

    def __call__(self, positions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Energies of frames.

        Parameters
        ----------
        positions : ndarray, shape (n_frames, n_atoms, 3), nm

        Returns
        -------
        ndarray, shape (n_frames,), kJ/mol
        """
        energies = np.zeros(len(positions))
        for context, groups, sign in self._terms:
            for k, frame in enumerate(positions):
                context.setPositions(frame.astype(np.float64))
                found = context.getState(energy=True, groups=groups).getPotentialEnergy()
                energies[k] += sign * found.value_in_unit(unit.kilojoule_per_mole)
        if not np.isfinite(energies).all():
            raise NonFiniteError(
                f"Frame {int(np.argmin(np.isfinite(energies)))} of '{self.molecule.name}' has no finite energy in "
                f"environment '{self.target}'; look at the file."
            )
        return energies


class ForceEnergy:
    """W of single Forces, such as a restraint or a field, alone on a molecule's particles.

    Parameters
    ----------
    molecule : Molecule
    forces : sequence of openmm.Force
    platform : str
        OpenMM's name.
    """

    def __init__(
        self, molecule: Molecule, forces: Sequence[openmm.Force], platform: str = "Reference"
    ) -> None:
        system = openmm.System()
        for _ in molecule.atomic_numbers:
            system.addParticle(1.0)
        for force in forces:
            system.addForce(copy.deepcopy(force))
        self.molecule = molecule
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform(platform))

    def __call__(self, positions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Energies of frames, shape (n_frames,), kJ/mol; `positions`, shape (n_frames, n_atoms, 3), in nm."""
        energies = np.empty(len(positions))
        for k, frame in enumerate(positions):
            self._context.setPositions(frame.astype(np.float64))
            found = self._context.getState(energy=True).getPotentialEnergy()
            energies[k] = found.value_in_unit(unit.kilojoule_per_mole)
        if not np.isfinite(energies).all():
            raise NonFiniteError(
                f"Frame {int(np.argmin(np.isfinite(energies)))} of '{self.molecule.name}' has no finite energy in the "
                "given forces; look at the file and at the forces."
            )
        return energies


def _groups_of_environment(system: openmm.System) -> set[int]:
    """Force groups that belong to the environment: those beside group 0."""
    return {force.getForceGroup() for force in system.getForces()} - {0}
