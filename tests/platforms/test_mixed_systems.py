"""Mixed systems of openmm-ml: a potential in torch for the solute, a force field for the rest"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import openmmml
import pytest
import torch
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from tests.platforms.systems import Setup, check_molecule, dipeptide, jumps, solution, two_dipeptides
from tests.platforms.test_forces import log_acceptance
from tests.plugin.systems import make_platform, positions_of, tolerance

GROUP, N = 4, 22  # force group of the potential; atoms of alanine dipeptide
STIFF, WEAK = 2000.0, 300.0  # kJ/mol/nm^2; guidance multiplies forces at a rough prediction
NAME = "unisim-tests-network"


class ElasticNetwork(torch.nn.Module):
    """Springs between all atoms within three bonds, kJ/mol from nm, in the place of ANI or MACE, which are large."""

    def __init__(self, pairs: np.ndarray, lengths: np.ndarray, stiffness: float):
        super().__init__()
        self.register_buffer("pairs", torch.tensor(pairs))
        self.register_buffer("lengths", torch.tensor(lengths))
        self.stiffness = stiffness

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        distances = (positions[self.pairs[:, 0]] - positions[self.pairs[:, 1]]).norm(dim=1)
        return 0.5 * self.stiffness * ((distances - self.lengths) ** 2).sum()


def network(stiffness: float) -> ElasticNetwork:
    """Around the shape of the thermalised dipeptide; stiffness in kJ/mol/nm^2."""
    setup = dipeptide()
    apart = np.full((N, N), 9)
    for bond in setup.topology.bonds():
        apart[bond.atom1.index, bond.atom2.index] = apart[bond.atom2.index, bond.atom1.index] = 1
    for middle in range(N):
        apart = np.minimum(apart, apart[:, [middle]] + apart[[middle]])
    pairs = np.argwhere(np.triu(apart <= 3, 1))
    lengths = np.linalg.norm(setup.positions[pairs[:, 0]] - setup.positions[pairs[:, 1]], axis=1)
    return ElasticNetwork(pairs, lengths, stiffness)


class NetworkPotential(openmmml.mlpotential.MLPotentialImpl):
    """As openmm-ml's own potentials: a model in torch within a `PythonForce`."""

    def __init__(self, model: ElasticNetwork):
        self.model = model

    def addForces(
        self,
        topology: app.Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,
        **args,
    ) -> None:
        def compute(state: openmm.State) -> tuple[float, np.ndarray]:
            positions = torch.tensor(state.getPositions(asNumpy=True)._value, requires_grad=True)
            energy = self.model(positions)
            energy.backward()
            return energy.item(), -positions.grad.numpy()

        force = openmm.PythonForce(compute)
        force.setForceGroup(forceGroup)
        force.setUsesPeriodicBoundaryConditions(system.usesPeriodicBoundaryConditions())
        if atoms is not None:
            force.setParticles(list(atoms))
        system.addForce(force)

    def getMLLongRange(self) -> bool:
        return False


class NetworkFactory(openmmml.mlpotential.MLPotentialImplFactory):
    """Its arguments are those of `MLPotential`."""

    def createImpl(self, name: str, **args: Any) -> NetworkPotential:
        return NetworkPotential(network(args["stiffness"]))


openmmml.MLPotential.registerImplFactory(NAME, NetworkFactory())


def mixed(setup: Setup, stiffness: float) -> openmm.System:
    """The solute by the network, all else by the System's force field, as openmm-ml makes it."""
    potential = openmmml.MLPotential(NAME, stiffness=stiffness)
    return potential.createMixedSystem(
        setup.topology, setup.copy_system(), setup.solute, forceGroup=GROUP, removeConstraints=False
    )


def by_hand(system: openmm.System, stiffness: float) -> openmm.System:
    """A mixed System with OpenMM's own springs in the place of its `PythonForce`."""
    kinds = [type(force) for force in system.getForces()]
    assert kinds.count(openmm.PythonForce) == 1
    system.removeForce(kinds.index(openmm.PythonForce))
    model, force = network(stiffness), openmm.CustomBondForce(f"0.5*{stiffness}*(r-length)^2")
    force.addPerBondParameter("length")
    for pair, length in zip(model.pairs.tolist(), model.lengths.tolist(), strict=True):
        force.addBond(*pair, [length])
    force.setForceGroup(GROUP)
    system.addForce(force)
    return system


def guided(model: Path, system: openmm.System, platform: str, scale: float) -> np.ndarray:
    """Positions (nm) of the solute after a jump in water that the forces of the potential's group guide."""
    setup = solution()
    integrator = UniSimIntegrator(
        model, setup.topology, 300 * unit.kelvin, particles=setup.solute, randomNumberSeed=7
    )
    integrator.setGuidanceSource(UniSimIntegrator.OpenMMGuidance)
    integrator.setGuidanceScale(scale)
    integrator.setGuidanceForceGroups({GROUP})
    simulation = app.Simulation(setup.topology, system, integrator, *make_platform(platform))
    simulation.context.setPositions(setup.positions)
    simulation.step(1)
    assert (integrator.getNumAccepted(), integrator.getNumNaN()) == (1, 0)
    return positions_of(simulation)[setup.solute]


@pytest.mark.feature("openmm-ml mixed system: its potential as guide (source `openmm`)")
def test_guidance_in_a_mixed_system(toys, platform: str) -> None:
    """The jump is that of the same potential in OpenMM's own Force, and another than without."""
    system = mixed(solution(), WEAK)
    found = guided(toys["guided"], system, platform, 1.0)
    without = guided(toys["guided"], system, platform, 0.0)
    assert np.abs(found - without).max() > 0.005
    other = guided(toys["guided"], by_hand(system, WEAK), platform, 1.0)
    assert np.abs(found - other).max() < tolerance(platform)


@pytest.mark.feature("openmm-ml mixed system: free jumps in water")
def test_jumps_in_a_mixed_system(platform: str) -> None:
    """The solute jumps, the water stays, and the energy is one."""
    setup = solution()
    simulation, integrator = jumps(setup, platform, system=mixed(setup, STIFF))
    simulation.step(2)
    assert (integrator.getNumAccepted(), integrator.getNumNaN()) == (2, 0)
    check_molecule(setup, simulation)
    water = np.setdiff1d(np.arange(setup.topology.getNumAtoms()), setup.solute)
    assert np.abs(positions_of(simulation) - setup.positions)[water].max() < tolerance(platform)
    assert np.isfinite(simulation.context.getState(energy=True).getPotentialEnergy()._value)


@pytest.mark.feature("openmm-ml mixed system: Metropolis acceptance")
def test_metropolis_in_a_mixed_system(platform: str) -> None:
    """Beside a second molecule, of the force field: the acceptance ratio is that of the same potential by hand."""
    setup = replace(two_dipeptides(), solute=list(range(N)))
    found = [log_acceptance(setup, mixed(setup, STIFF), platform)]
    found.append(log_acceptance(setup, by_hand(mixed(setup, STIFF), STIFF), platform))
    assert np.isfinite(found).all() and found[0] == pytest.approx(found[1], abs=0.02)
    assert abs(found[0] - log_acceptance(setup, setup.system, platform)) > 0.05  # not the force field's
