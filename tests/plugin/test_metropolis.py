"""The Metropolis-Hastings mode: against closed forms, against its Python twin, and what it refuses."""

import warnings

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_unisim import ModelDomainError, UniSimIntegrator
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.exactness import PathMetropolis
from openmm_unisim.simulation.reference import ReferenceJump
from tests.plugin.systems import (
    BOLTZMANN,
    add_springs,
    add_wells,
    free_atoms,
    jumper,
    positions_of,
    random_positions,
)

KT = BOLTZMANN * 300.0
A, S = 0.7, 0.02  # of the Ornstein-Uhlenbeck toy
STATIONARY_VARIANCE = S**2 / (1.0 - A**2)
EXACT = {"acceptanceMode": UniSimIntegrator.MetropolisHastings}


def test_a_perfect_model_is_always_accepted(toys, platform) -> None:
    """The toy's jump is reversible for springs of stiffness kT / variance, on any symmetric grid."""
    topology, system = free_atoms(4)
    add_springs(system, KT / STATIONARY_VARIANCE)
    start = random_positions(4, spread=np.sqrt(STATIONARY_VARIANCE))
    simulation, integrator = jumper(toys["ou"], topology, system, start, platform, numSubsteps=5, **EXACT)
    for _ in range(20):
        simulation.step(1)
        assert abs(integrator.getLastLogAcceptance()) < 1e-6
    assert integrator.getNumAccepted() == 20


def energy(stiffness: float):
    """Energy of harmonic wells, kJ/mol."""
    return lambda positions: 0.5 * stiffness * (positions**2).sum(axis=(1, 2))


@pytest.mark.parametrize("name", ["ou", "ou32", "euler", "guided"])
def test_decisions_are_those_of_the_twin(toys, platform, name: str) -> None:
    stiffness = 0.3 * KT / STATIONARY_VARIANCE
    topology, system = free_atoms(3)
    add_wells(system, stiffness)
    start = random_positions(3, spread=0.05)
    simulation, integrator = jumper(toys[name], topology, system, start, platform, seed=31, **EXACT)
    forces = (lambda points: -stiffness * points) if name == "guided" else None
    jump = ReferenceJump(toys[name], atomic_numbers=[1] * 3, temperature=300.0, forces=forces)
    chain = JumpChain(jump, start[None], 31, acceptance=PathMetropolis(jump, energy(stiffness)))
    for frame in chain.run(30):
        simulation.step(1)
        assert integrator.getLastLogAcceptance() == pytest.approx(frame.log_acceptance[0], abs=2e-3)
        assert np.abs(positions_of(simulation) - frame.positions[0]).max() < 1e-5
    assert integrator.getNumAccepted() == chain.accepted
    assert 0 < chain.accepted < 30


def test_a_wrong_model_samples_the_right_distribution(toys) -> None:
    """Wells about the origin, of another width than the toy's and with another centre: <x^2> = kT/k."""
    stiffness = 1.6 * KT / STATIONARY_VARIANCE
    topology, system = free_atoms(2)
    add_wells(system, stiffness)
    simulation, integrator = jumper(toys["ou"], topology, system, np.zeros((2, 3)), numSubsteps=2, **EXACT)
    integrator.setRandomizesVelocities(False)
    squares = []
    for _ in range(1500):
        simulation.step(1)
        squares.append(float((positions_of(simulation) ** 2).mean()) * stiffness / KT)
    blocks = np.array(squares).reshape(15, 100).mean(axis=1)
    assert abs(blocks.mean() - 1.0) < 5.0 * blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert blocks.std(ddof=1) < 0.5
    assert 0.05 < integrator.getNumAccepted() / 1500 < 0.95


def test_a_rejection_keeps_the_positions_and_advances_the_time(toys, platform) -> None:
    topology, system = free_atoms(3)
    add_wells(system, 1e6)
    start = random_positions(3, spread=1e-3)
    simulation, integrator = jumper(toys["ou"], topology, system, start, platform, **EXACT)
    start = positions_of(simulation)
    simulation.step(3)
    assert integrator.getNumAccepted() == 0
    assert np.array_equal(positions_of(simulation), start)
    assert simulation.context.getTime() == 3.0 * unit.picosecond
    assert integrator.getLastLogAcceptance() < -10.0


def test_nan_proposals_are_rejections_here_too(toys) -> None:
    topology, system = free_atoms(3)
    simulation, integrator = jumper(toys["nan"], topology, system, random_positions(3, spread=0.02), **EXACT)
    simulation.step(30)
    assert 0 < integrator.getNumNaN() < 30
    assert integrator.getNumProposed() == 30


def test_thermostats_are_refused_and_the_remover_of_motion_is_not(toys) -> None:
    """The latter changes velocities only, which a jump draws anew."""
    topology, system = free_atoms(3)
    system.addForce(openmm.CMMotionRemover())
    jumper(toys["ou"], topology, system, random_positions(3), **EXACT)
    system.addForce(openmm.AndersenThermostat(350.0, 1.0))
    with pytest.raises(
        openmm.OpenMMException, match="has a thermostat, AndersenThermostat, with a temperature"
    ):
        jumper(toys["ou"], topology, system, random_positions(3), **EXACT)
    jumper(toys["ou"], topology, system, random_positions(3))


@pytest.mark.parametrize("name", ["noiseless_end", "constant"])
def test_substeps_without_density_are_refused(toys, name: str) -> None:
    topology, system = free_atoms(3)
    start = random_positions(3)
    simulation, _ = jumper(toys[name], topology, system, start, **EXACT)
    with pytest.raises(openmm.OpenMMException, match=r"has no density \(nan\) in substep"):
        simulation.step(1)
    assert np.array_equal(positions_of(simulation), start)


def test_barostats_are_refused(toys) -> None:
    topology, system = free_atoms(3)
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    for _ in range(3):
        force.addParticle(0.0, 0.1, 0.0)
    system.addForce(force)
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    with pytest.raises(openmm.OpenMMException, match="constant volume only, but the System has a MonteCarlo"):
        jumper(toys["ou"], topology, system, random_positions(3), **EXACT)


def test_constraints_among_jumping_particles_are_refused(toys) -> None:
    topology, system = free_atoms(4)
    system.addConstraint(0, 1, 0.1)
    with pytest.raises(
        openmm.OpenMMException, match=r"jumping particles with constraints \(between 0 and 1\)"
    ):
        jumper(toys["ou"], topology, system, random_positions(4), **EXACT)
    simulation, integrator = jumper(
        toys["ou"], topology, system, random_positions(4), particles=[2, 3], **EXACT
    )
    simulation.step(1)
    assert integrator.getNumProposed() == 1


def test_every_barostat_is_refused(toys) -> None:
    axes = openmm.Vec3(1, 1, 1)
    for barostat in (
        openmm.MonteCarloAnisotropicBarostat(axes, 300.0, True, True, True),
        openmm.MonteCarloFlexibleBarostat(1.0, 300.0),
        openmm.MonteCarloMembraneBarostat(1.0, 0.0, 300.0, 0, 0),
    ):
        topology, system = free_atoms(3)
        force = openmm.NonbondedForce()
        force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
        for _ in range(3):
            force.addParticle(0.0, 0.1, 0.0)
        system.addForce(force)
        system.addForce(barostat)
        with pytest.raises(
            openmm.OpenMMException, match=f"has a {barostat.getName()}; use the acceptance mode"
        ):
            jumper(toys["ou"], topology, system, random_positions(3), **EXACT)


def test_virtual_sites_cannot_jump_but_follow(toys) -> None:
    """As a jumping particle one is refused by name; left out, it follows its atoms and its energy counts."""
    topology, system = free_atoms(3)
    system.setParticleMass(2, 0.0)
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    force = openmm.CustomExternalForce("1000*x^2")
    force.addParticle(2, [])
    system.addForce(force)
    start = random_positions(3, spread=0.02)
    with pytest.raises(
        openmm.OpenMMException, match="Particle 2 is a virtual site, which can't jump by itself"
    ):
        jumper(toys["ou"], topology, system, start, **EXACT)
    simulation, integrator = jumper(toys["ou"], topology, system, start, particles=[0, 1], **EXACT)
    simulation.step(10)
    assert 0 < integrator.getNumAccepted()
    found = positions_of(simulation)
    assert np.abs(found[2] - found[:2].mean(axis=0)).max() < 1e-12


def test_the_mode_is_checked_when_it_is_switched_on(toys) -> None:
    topology, system = free_atoms(4)
    system.addConstraint(0, 1, 0.1)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(4))
    integrator.setAcceptanceMode(UniSimIntegrator.MetropolisHastings)
    with pytest.raises(openmm.OpenMMException, match="with constraints"):
        simulation.step(1)


def test_another_temperature_is_a_warning_in_this_mode_only(toys) -> None:
    topology, system = free_atoms(3)
    with pytest.raises(ModelDomainError, match="outside the 250 to 350 K"):
        UniSimIntegrator(toys["ou"], topology, 500)
    with pytest.warns(UserWarning, match="outside the 250 to 350 K"):
        integrator = UniSimIntegrator(toys["ou"], topology, 500, **EXACT)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(random_positions(3, spread=0.02))
    integrator.step(1)
    integrator.setAcceptanceMode(UniSimIntegrator.AcceptAll)
    with pytest.raises(openmm.OpenMMException, match="is made for 250 to 350 K"):
        integrator.step(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        integrator.setTemperature(320)
    integrator.step(1)


def test_infinite_energy_before_the_jump_is_an_error(toys) -> None:
    topology, system = free_atoms(2)
    force = openmm.CustomExternalForce("1/(x*x)")
    force.addParticle(0, [])
    system.addForce(force)
    simulation, _ = jumper(toys["ou"], topology, system, np.zeros((2, 3)), **EXACT)
    with pytest.raises(openmm.OpenMMException, match="potential energy before the jump"):
        simulation.step(1)
