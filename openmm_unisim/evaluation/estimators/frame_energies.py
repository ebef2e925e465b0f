"""Energies and forces of frames, term by term, with OpenMM."""

import copy
from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ...errors import ConfigError
from ...system import get_platform
from .distributions import FloatArray

XH_BONDS = "HarmonicBondForce (X-H)"
_MOST_GROUPS = 32


@dataclass(frozen=True)
class FrameEnergies:
    """Of frames under one System; NaN or infinite where atoms overlap.

    Attributes
    ----------
    potential : ndarray, shape (n_frames,), kJ/mol
    force_rms : ndarray, shape (n_frames,), kJ/(mol nm)
        Root mean square over the components of the forces on all massive particles.
    terms : dict of ndarray, shape (n_frames,), kJ/mol
        By class of the force; harmonic bonds with hydrogen apart (`XH_BONDS`).
    """

    potential: FloatArray
    force_rms: FloatArray
    terms: dict[str, FloatArray]


def split_xh_bonds(system: openmm.System, is_hydrogen: NDArray[np.bool_]) -> openmm.System:
    """A copy of `system` whose harmonic bonds with hydrogen are in a force named `XH_BONDS`; the same energy.

    Parameters
    ----------
    system : openmm.System
    is_hydrogen : ndarray of bool, shape (n_atoms,)
    """
    result = copy.deepcopy(system)
    apart = openmm.HarmonicBondForce()
    apart.setName(XH_BONDS)
    for force in result.getForces():
        force.setName(type(force).__name__)
        if not isinstance(force, openmm.HarmonicBondForce):
            continue
        apart.setUsesPeriodicBoundaryConditions(force.usesPeriodicBoundaryConditions())
        for index in range(force.getNumBonds()):
            first, second, length, strength = force.getBondParameters(index)
            if is_hydrogen[first] or is_hydrogen[second]:
                apart.addBond(first, second, length, strength)
                force.setBondParameters(index, first, second, length, 0.0)
    if apart.getNumBonds():
        result.addForce(apart)
    return result


def frame_energies(
    positions: NDArray[np.floating],
    system: openmm.System,
    is_hydrogen: NDArray[np.bool_],
    platform: str = "Reference",
) -> FrameEnergies:
    """Energies of each term and forces of each frame.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        Finite.
    system : openmm.System
        Left as it is.
    is_hydrogen : ndarray of bool, shape (n_atoms,)
    platform : str
    """
    if system.getNumParticles() != positions.shape[1]:
        raise ConfigError(
            f"the System has {system.getNumParticles()} particles and the frames {positions.shape[1]} atoms; give the "
            "System of this molecule."
        )
    grouped = split_xh_bonds(system, is_hydrogen)
    names = list(dict.fromkeys(force.getName() for force in grouped.getForces()))
    if len(names) > _MOST_GROUPS:
        raise ConfigError(
            f"the System has {len(names)} kinds of forces; OpenMM tells {_MOST_GROUPS} groups apart."
        )
    for force in grouped.getForces():
        force.setForceGroup(names.index(force.getName()))
    massive = np.array(
        [grouped.getParticleMass(i).value_in_unit(unit.dalton) > 0 for i in range(grouped.getNumParticles())]
    )
    context = openmm.Context(grouped, openmm.VerletIntegrator(0.001), get_platform(platform))
    terms = np.empty((len(names), len(positions)))
    force_rms = np.empty(len(positions))
    for index, frame in enumerate(np.asarray(positions, dtype=np.float64)):
        context.setPositions(frame)
        forces = context.getState(getForces=True).getForces(asNumpy=True)
        values = forces.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)[massive]
        force_rms[index] = np.sqrt(np.mean(values**2))
        for group in range(len(names)):
            energy = context.getState(getEnergy=True, groups={group}).getPotentialEnergy()
            terms[group, index] = energy.value_in_unit(unit.kilojoule_per_mole)
    return FrameEnergies(terms.sum(axis=0), force_rms, dict(zip(names, terms)))
