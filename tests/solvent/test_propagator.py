"""The switch of the solvent: reversible, volume preserving, and ending where it should."""

from functools import cache

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_unisim.solvent.propagator import SolventPropagator, Switched
from openmm_unisim.solvent.proposal import thermal_velocities
from openmm_unisim.solvent.protocol import SwitchingProtocol
from tests.solvent.toy_solutions import KT, bath_topology, draw_bath, harmonic_bath, water_box

REFERENCE = openmm.Platform.getPlatformByName("Reference")
SOLUTE = np.array([0, 1])
DETERMINISTIC = {"Threads": "1", "DeterministicForces": "true"}  # MD in water amplifies the last bit


def masses_of(system: openmm.System) -> np.ndarray:
    return np.array([system.getParticleMass(i)._value for i in range(system.getNumParticles())])


@cache
def warm_box(water: str = "tip3p") -> tuple[openmm.System, np.ndarray, np.ndarray]:
    """A water box after minimisation and a little MD: System, positions, box."""
    _, system, positions = water_box(water=water)
    integrator = openmm.LangevinMiddleIntegrator(300, 10, 0.001)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), DETERMINISTIC)
    context.setPositions(positions)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=100)
    context.setVelocitiesToTemperature(300, 1)
    integrator.step(200)
    state = context.getState(positions=True)
    box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)
    return system, np.array(state.getPositions(asNumpy=True)._value), np.array(box)


@pytest.mark.parametrize("kind", ["straight", "path", "discharge", "decouple"])
def test_a_reversed_switch_undoes_a_switch_in_a_box_of_rigid_water(kind: str) -> None:
    system, positions, box = warm_box()
    propagator = SolventPropagator(system, SOLUTE, SwitchingProtocol(kind, 0.01, 0.002), REFERENCE)
    start = positions[SOLUTE]
    middle = start + np.array([[0, 0.03, 0], [0.01, 0, 0]])
    end = start + np.array([[0, 0.05, 0], [0, -0.05, 0.02]])
    track = np.array([start, middle, end] if kind == "path" else [start, end])
    velocities = thermal_velocities(masses_of(system), 300.0, 1, 0)
    there = propagator.switch(positions, velocities, box, track)
    np.testing.assert_array_equal(there.positions[SOLUTE], end)
    assert np.abs(there.positions - positions)[2:].max() > 1e-3
    back = propagator.switch(there.positions, -there.velocities, box, track[::-1])
    np.testing.assert_allclose(back.positions, positions, atol=1e-9)
    assert back.kinetic_after == pytest.approx(there.kinetic_before, abs=1e-6)
    water = np.linalg.norm(there.positions[2::3] - there.positions[3::3], axis=1)
    np.testing.assert_allclose(water, 0.09572, atol=1e-7)


def test_a_switch_in_water_with_virtual_sites_is_reversible_too() -> None:
    """OpenMM places virtual sites between steps only: forces asked for within a step would see stale ones."""
    system, positions, box = warm_box("tip4pew")
    propagator = SolventPropagator(system, SOLUTE, SwitchingProtocol("straight", 0.02, 0.002), REFERENCE)
    track = np.array([positions[SOLUTE], positions[SOLUTE] + 0.02])
    velocities = thermal_velocities(masses_of(system), 300.0, 1, 0)
    there = propagator.switch(positions, velocities, box, track)
    back = propagator.switch(there.positions, -there.velocities, box, track[::-1])
    np.testing.assert_allclose(back.positions, positions, atol=1e-9)


def total_energy(system: openmm.System) -> openmm.Context:
    return openmm.Context(system, openmm.VerletIntegrator(0.001), REFERENCE)


def energy_change(context: openmm.Context, start: np.ndarray, switched: Switched) -> float:
    energies = []
    for positions in (start, switched.positions):
        context.setPositions(positions)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    return energies[1] - energies[0] + switched.kinetic_after - switched.kinetic_before


@pytest.mark.parametrize("kind", ["discharge", "decouple"])
def test_scaled_interactions_are_whole_at_both_ends(kind: str) -> None:
    """A solute that stays: the work of a slow enough scaling is small beside that of scaling for good.

    Over eight draws of velocities the works were 9 to 16 (discharge), 3 to 10 (decouple) and within 1.2 (none) kJ/mol.
    """
    system, positions, box = warm_box()
    protocol = SwitchingProtocol(kind, 0.1, 0.001)
    propagator = SolventPropagator(system, SOLUTE, protocol, REFERENCE)
    track = np.array([positions[SOLUTE]] * 2)
    velocities = thermal_velocities(masses_of(system), 300.0, 1, 0)
    work = energy_change(
        total_energy(system), positions, propagator.switch(positions, velocities, box, track)
    )
    assert abs(work) < 30
    plain = SolventPropagator(system, SOLUTE, SwitchingProtocol("straight", 0.1, 0.001), REFERENCE)
    work = energy_change(total_energy(system), positions, plain.switch(positions, velocities, box, track))
    assert abs(work) < 2.5  # kT; the shadow work of velocity Verlet alone


def works(distance: float, n: int, forward: bool, generator: np.random.Generator) -> np.ndarray:
    """Work of `n` switches that move solute atom 0 by `distance`, the bath in equilibrium at the start, in kT."""
    n_bath, stiffness = 4, 2000.0
    system = harmonic_bath(n_bath, stiffness)
    ends = np.array([[[0.0, 0, 0], [0.05, 0, 0]], [[distance, 0, 0], [0.05, 0, 0]]])
    track = ends if forward else ends[::-1]
    propagator = SolventPropagator(system, SOLUTE, SwitchingProtocol("straight", 0.04, 0.004), REFERENCE)
    context = total_energy(system)
    values = []
    for number in range(n):
        positions = draw_bath(track[0], n_bath, stiffness, generator)
        velocities = thermal_velocities(masses_of(system), 300.0, 5 + forward, number)
        switched = propagator.switch(positions, velocities, np.eye(3), track)
        values.append(energy_change(context, positions, switched) / KT)
    return np.array(values)


def test_the_mean_exponential_of_the_work_is_the_free_energy() -> None:
    """Jarzynski and Crooks: the bath's free energy is the same everywhere, so only the solute's own spring is left."""
    generator = np.random.default_rng(3)
    distance = -0.04
    free = 0.5 * 1500.0 * ((0.05 - distance) ** 2 - 0.05**2) / KT
    forward = works(distance, 300, True, generator) - free
    backward = works(distance, 300, False, generator) + free
    for w in (forward, backward):
        e = np.exp(-w)
        assert w.mean() > 0.2  # far from reversible
        assert abs(e.mean() - 1) < 4 * e.std() / np.sqrt(len(e))
    # Crooks, integrated: <1/(1+e^w)> agrees in both directions
    f, b = 1 / (1 + np.exp(forward)), 1 / (1 + np.exp(backward))
    assert abs(f.mean() - b.mean()) < 4 * np.sqrt(f.var() / len(f) + b.var() / len(b))


def test_a_null_switch_with_a_coarse_step_keeps_the_mean_exponential_one() -> None:
    """Shadow work counts as work: at a step near the bath's stability limit the identity still holds."""
    generator = np.random.default_rng(4)
    system = harmonic_bath(4, 2000.0)
    propagator = SolventPropagator(system, SOLUTE, SwitchingProtocol("straight", 0.5, 0.1), REFERENCE)
    context, track = total_energy(system), np.array([[[0.0, 0, 0], [0.05, 0, 0]]] * 2)
    values = []
    for number in range(400):
        positions = draw_bath(track[0], 4, 2000.0, generator)
        velocities = thermal_velocities(masses_of(system), 300.0, 9, number)
        switched = propagator.switch(positions, velocities, np.eye(3), track)
        values.append(energy_change(context, positions, switched) / KT)
    w = np.array(values)
    assert w.std() > 0.2
    assert abs(np.exp(-w).mean() - 1) < 4 * np.exp(-w).std() / np.sqrt(len(w))


def test_topologies_of_the_toys_agree_with_their_systems() -> None:
    assert bath_topology(4).getNumAtoms() == harmonic_bath(4).getNumParticles()
