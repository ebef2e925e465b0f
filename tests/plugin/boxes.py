"""Boxes of four-site water with small solutes, made by hand: what depends on a periodic box and the order of atoms.

OpenMM's GPU platforms exchange the places of equal molecules only, so there are several equal solutes, of which some
jump; and they wrap molecules as a whole, so the ones that jump together cross the box at different times.
"""

from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app

SPACING = 0.31  # nm, of the lattice of water
N_SOLUTE, N_COPIES = 5, 4  # atoms of a solute; solutes, of which the second and the last jump
PULL_GROUP = 3
OXYGEN, HYDROGEN, SITE = (0.0, 0.0, 0.0), (0.09572, 0.0, 0.0), (0.786646558, 0.106676721, 0.106676721)
SECOND_HYDROGEN = (-0.0239987, 0.0926627, 0.0)
PARAMETERS = ((0.0, 0.316435, 0.680946), (0.52422, 1.0, 0.0), (0.52422, 1.0, 0.0), (-1.04844, 1.0, 0.0))


@dataclass
class Box:
    """Solutes between two halves of the water in the System's order, the first across an edge of the box."""

    topology: app.Topology
    system: openmm.System
    positions: NDArray[np.float64]  # shape (n_particles, 3), nm
    solute: list[int]  # what jumps
    water: list[int]
    molecules: NDArray[np.int64]  # shape (n_particles,), the molecule of each particle


def water_box(n_side: int = 4, constrain_solute: bool = False) -> Box:
    """n_side^3 waters on a lattice, and chains of five light atoms, bonded, or with every second bond constrained."""
    edge = n_side * SPACING
    topology, system = app.Topology(), openmm.System()
    system.setDefaultPeriodicBoxVectors([edge, 0, 0], [0, edge, 0], [0, 0, edge])
    topology.setPeriodicBoxVectors(np.eye(3) * edge)
    force, bonds = openmm.NonbondedForce(), openmm.HarmonicBondForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.48 * edge)
    chain, positions, molecules, solutes = topology.addChain(), [], [], []
    lattice = np.stack(np.meshgrid(*[np.arange(n_side)] * 3), axis=-1).reshape(-1, 3) * SPACING + SPACING / 2
    for molecule, centre in enumerate(lattice):
        if molecule == len(lattice) // 2:
            for copy in range(N_COPIES):
                solutes.append(_add_solute(topology, chain, system, force, bonds, constrain_solute))
                # not half a box apart, where rounding would decide which image is the nearest
                y = 0.97 * SPACING * copy
                positions += [(0.09 * k - 0.2, y, 0.01 * k) for k in range(N_SOLUTE)]
                molecules += [len(lattice) + copy] * N_SOLUTE
        positions += _add_water(topology, chain, system, force, centre)
        molecules += [molecule] * 4
    system.addForce(force)
    system.addForce(bonds)
    _add_pull(system, molecules)
    water = sorted(set(range(len(positions))).difference(*solutes))
    jumping = [*solutes[1], *solutes[-1]]
    return Box(topology, system, np.array(positions), jumping, water, np.array(molecules))


def _add_pull(system: openmm.System, molecules: list[int]) -> None:
    """Springs to the nearest corner of the box, of every particle, in PULL_GROUP: what may guide jumps."""
    pull = openmm.CustomExternalForce("200*(1+0.1*mod)*periodicdistance(x, y, z, 0.03, 0, 0)^2")
    pull.addPerParticleParameter("mod")
    pull.setForceGroup(PULL_GROUP)
    for particle in range(system.getNumParticles()):
        pull.addParticle(particle, [particle - molecules.index(molecules[particle])])
    system.addForce(pull)


def _add_water(topology, chain, system, force, centre) -> list:
    residue = topology.addResidue("HOH", chain)
    hydrogen = app.Element.getBySymbol("H")
    for name, element in (
        ("O", app.Element.getBySymbol("O")),
        ("H1", hydrogen),
        ("H2", hydrogen),
        ("M", None),
    ):
        topology.addAtom(name, element, residue)
    first = system.getNumParticles()
    for mass, parameters in zip((15.9994, 1.008, 1.008, 0.0), PARAMETERS):
        system.addParticle(mass)
        force.addParticle(*parameters)
    system.addConstraint(first, first + 1, 0.09572)
    system.addConstraint(first, first + 2, 0.09572)
    system.addConstraint(first + 1, first + 2, 0.15139)
    system.setVirtualSite(first + 3, openmm.ThreeParticleAverageSite(first, first + 1, first + 2, *SITE))
    for a in range(4):
        for b in range(a):
            force.addException(first + b, first + a, 0.0, 1.0, 0.0)
    atoms = [np.array(atom) + centre for atom in (OXYGEN, HYDROGEN, SECOND_HYDROGEN)]
    return [*atoms, sum(weight * atom for weight, atom in zip(SITE, atoms))]


def _add_solute(topology, chain, system, force, bonds, constrained: bool) -> list[int]:
    residue = topology.addResidue("SOL", chain)
    first = system.getNumParticles()
    for k in range(N_SOLUTE):
        topology.addAtom(f"H{k}", app.Element.getBySymbol("H"), residue)
        system.addParticle(2.0)
        force.addParticle(0.1 * (k - 2), 0.05, 0.01)
    for k in range(N_SOLUTE - 1):
        if constrained and k % 2 == 0:
            system.addConstraint(first + k, first + k + 1, 0.0905539)
        else:
            bonds.addBond(first + k, first + k + 1, 0.09, 1000.0)
        force.addException(first + k, first + k + 1, 0.0, 1.0, 0.0)
    return list(range(first, first + N_SOLUTE))


def drifting(box: Box) -> tuple[openmm.CustomIntegrator, NDArray[np.float64]]:
    """An integrator that moves each molecule by its own vector in every step, without forces; the vectors, nm."""
    drift = np.random.default_rng(3).uniform(-4e-3, 4e-3, (box.molecules.max() + 1, 3))[box.molecules]
    integrator = openmm.CustomIntegrator(0.001)
    integrator.addPerDofVariable("drift", 0.0)
    integrator.addComputePerDof("x", "x+drift")
    integrator.setPerDofVariableByName("drift", drift)
    return integrator, drift
