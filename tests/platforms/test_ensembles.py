"""Barostats, thermostats and momentum"""

import csv
import warnings

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import JumpWarning, UniSimIntegrator
from tests.platforms.systems import Setup, dipeptide, energy_of, jumps
from tests.plugin.boxes import water_box
from tests.plugin.systems import (
    free_atoms,
    jumper,
    make_platform,
    positions_of,
    random_positions,
    velocities_of,
)

HIGH = 20000.0  # bar: almost every move that shrinks the box is accepted
BAROSTATS = {
    "MonteCarloBarostat": lambda f: openmm.MonteCarloBarostat(HIGH, 300.0, f),
    "MonteCarloAnisotropicBarostat": lambda f: openmm.MonteCarloAnisotropicBarostat(
        openmm.Vec3(HIGH, HIGH, HIGH), 300.0, True, True, True, f
    ),
    "MonteCarloFlexibleBarostat": lambda f: openmm.MonteCarloFlexibleBarostat(HIGH, 300.0, f),
    "MonteCarloMembraneBarostat": lambda f: openmm.MonteCarloMembraneBarostat(
        HIGH,
        0.0,
        300.0,
        openmm.MonteCarloMembraneBarostat.XYIsotropic,
        openmm.MonteCarloMembraneBarostat.ZFree,
        f,
    ),
}
BAROSTAT_CLASSES = {name: getattr(openmm, name) for name in BAROSTATS}


def pressed(name: str, frequency: int) -> Setup:
    """A small box of four-site water with a solute, and a barostat."""
    box = water_box()
    barostat = BAROSTATS[name](frequency)
    barostat.setRandomNumberSeed(5)
    box.system.addForce(barostat)
    return Setup(box.topology, box.system, box.positions, box.solute)


def volumes(simulation: app.Simulation, number: int) -> list[float]:
    """After each of some jumps, nm^3."""
    found = []
    for _ in range(number):
        simulation.step(1)
        found.append(simulation.context.getState().getPeriodicBoxVolume()._value)
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=pytest.mark.feature(f"`{k}`, once a jump")) for k in BAROSTATS]
)
def test_a_barostat_acts_once_a_jump(toys, platform: str, name: str) -> None:
    """With a frequency of 2, in every second jump; molecules stay whole."""
    setup = pressed(name, 2)
    simulation, integrator = jumps(setup, platform, toys["shift"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JumpWarning)
        first = simulation.context.getState().getPeriodicBoxVolume()._value
        found = np.array([first, *volumes(simulation, 8)])
    changed = np.flatnonzero(np.diff(found) != 0.0) + 1  # jumps from 1
    assert len(changed) > 0 and (changed % 2 == 0).all(), found
    assert np.isfinite(energy_of(simulation)) and integrator.getNumAccepted() == 8
    water = np.array(
        [[atom.index for atom in r.atoms()][:2] for r in setup.topology.residues() if r.name == "HOH"]
    )
    positions = positions_of(simulation)
    lengths = [float(np.linalg.norm(positions[a] - positions[b])) for a, b in water]
    assert lengths == pytest.approx([0.09572] * len(water), abs=1e-4)


@pytest.mark.feature("a barostat's frequency other than 1", outcome="warned")
def test_a_barostat_that_acts_seldom_is_told_of(toys, platform: str) -> None:
    simulation, integrator = jumps(pressed("MonteCarloBarostat", 25), platform, toys["shift"])
    with pytest.warns(
        JumpWarning, match="MonteCarloBarostat acts once in 25 steps, and a step is a jump of 1 ps"
    ):
        simulation.step(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", JumpWarning)
        simulation.step(1)
    assert sum("acts once" in notice for notice in integrator.getNotices()) == 1


@pytest.mark.feature("a barostat of another temperature than the integrator's", outcome="warned")
@pytest.mark.parametrize("name", BAROSTATS)
def test_a_barostat_of_another_temperature_is_told_of(toys, platform: str, name: str) -> None:
    """The Context's parameter counts, which scripts set when they heat."""
    simulation, integrator = jumps(pressed(name, 1), platform, toys["shift"])
    assert not any(" is set to " in notice for notice in integrator.getNotices())
    simulation.context.setParameter(BAROSTAT_CLASSES[name].Temperature(), 310.0)
    with pytest.warns(JumpWarning, match=f"{name} is set to 310 K and the integrator to 300 K"):
        simulation.step(1)


@pytest.mark.feature("a barostat of MD's frequency within a `CompoundIntegrator`")
def test_a_barostat_beside_md_is_not_told_of(toys, platform: str) -> None:
    setup = pressed("MonteCarloBarostat", 25)
    compound = openmm.CompoundIntegrator()
    compound.addIntegrator(openmm.VerletIntegrator(0.001))
    compound.addIntegrator(
        UniSimIntegrator(toys["shift"], setup.topology, 300, particles=setup.solute, randomNumberSeed=1)
    )
    simulation = app.Simulation(setup.topology, setup.system, compound, *make_platform(platform))
    simulation.context.setPositions(setup.positions)
    compound.setCurrentIntegrator(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "MonteCarloBarostat", JumpWarning)
        simulation.step(1)


@pytest.mark.feature("a `CMMotionRemover`'s frequency other than 1", outcome="warned")
def test_a_motion_remover_that_acts_seldom_is_told_of(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    system.addForce(openmm.CMMotionRemover(100))
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(3), platform)
    with pytest.warns(JumpWarning, match="CMMotionRemover acts once in 100 steps"):
        simulation.step(1)


@pytest.mark.feature("barostats with Metropolis acceptance", outcome="refused")
@pytest.mark.parametrize("name", BAROSTATS)
def test_barostats_with_metropolis(toys, platform: str, name: str) -> None:
    topology, system = free_atoms(3)
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * 2.0))
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.5)
    for _ in range(3):
        force.addParticle(0.0, 0.1, 0.0)
    system.addForce(force)
    system.addForce(BAROSTATS[name](1))
    with pytest.raises(openmm.OpenMMException, match=f"at constant volume only, but the System has a {name}"):
        jumper(
            toys["ou"], topology, system, random_positions(3), platform,
            acceptanceMode=UniSimIntegrator.MetropolisHastings,
        )  # fmt: skip


@pytest.mark.feature("`AndersenThermostat`, once a jump")
@pytest.mark.parametrize("compound", [False, True])
def test_andersen_thermostat(toys, platform: str, compound: bool) -> None:
    """At 0 K it stops the particles it meets: as many as in the lag time, also where MD has had steps of 1 fs.

    OpenMM's GPU platforms meet about half of those that Reference does.
    """
    topology, system = free_atoms(1000)
    thermostat = openmm.AndersenThermostat(0.0, 1.0)
    thermostat.setRandomNumberSeed(3)
    system.addForce(thermostat)
    jump = UniSimIntegrator(toys["ou"], topology, 300)
    jump.setRandomizesVelocities(False)
    integrator = openmm.CompoundIntegrator() if compound else jump
    if compound:
        integrator.addIntegrator(openmm.VerletIntegrator(0.001))
        integrator.addIntegrator(jump)
    simulation = app.Simulation(topology, system, integrator, *make_platform(platform))
    simulation.context.setPositions(random_positions(1000))
    simulation.context.setVelocities(np.ones((1000, 3)))
    if compound:
        integrator.step(2)
        assert (velocities_of(simulation) != 0.0).mean() > 0.98
        integrator.setCurrentIntegrator(1)
    integrator.step(1)
    assert 0.3 < (velocities_of(simulation) == 0.0).mean() < 0.75


@pytest.mark.feature("`CMMotionRemover`")
def test_no_drift_of_the_centre_of_mass(platform: str) -> None:
    setup = dipeptide()
    assert any(isinstance(force, openmm.CMMotionRemover) for force in setup.system.getForces())
    simulation, _ = jumps(setup, platform)
    simulation.step(1)
    masses = np.array([setup.system.getParticleMass(k)._value for k in setup.solute])
    velocities = velocities_of(simulation)
    assert np.abs(masses @ velocities).max() < 1e-3 and np.abs(velocities).max() > 0.1


@pytest.mark.feature("`StateDataReporter`, `computeSystemTemperature()`")
def test_temperatures_agree(toys, platform: str, tmp_path) -> None:
    """OpenMM's own formula, the integrator's, and the bath's within five standard errors."""
    topology, system = free_atoms(400)
    for first in range(0, 400, 4):
        system.addConstraint(first, first + 1, 0.1)
    system.setParticleMass(399, 0.0)
    system.addForce(openmm.CMMotionRemover())
    start = random_positions(400)
    start[1::4] = start[::4] + np.array([0.1, 0, 0])
    simulation, integrator = jumper(toys["ou"], topology, system, start, platform, particles=range(399))
    log = tmp_path / "log.csv"
    what = dict(step=True, time=True, temperature=True, potentialEnergy=True, kineticEnergy=True, speed=True)
    simulation.reporters.append(app.StateDataReporter(str(log), 1, **what))
    simulation.step(2)
    found = integrator.computeSystemTemperature().value_in_unit(unit.kelvin)
    kinetic = simulation.context.getState(energy=True).getKineticEnergy()
    degrees = 3 * 399 - 100 - 3
    assert found == pytest.approx((2 * kinetic / degrees / unit.MOLAR_GAS_CONSTANT_R)._value, rel=1e-4)
    rows = list(csv.DictReader(log.open()))
    assert float(rows[-1]["Temperature (K)"]) == pytest.approx(found, rel=1e-4)
    assert [float(row["Time (ps)"]) for row in rows] == pytest.approx([1.0, 2.0])
    assert found == pytest.approx(300.0, rel=5 * np.sqrt(2 / degrees))


@pytest.mark.feature("`setVelocitiesToTemperature`, velocities kept (`setRandomizesVelocities(False)`)")
def test_velocities_that_are_the_users(toys, platform: str) -> None:
    topology, system = free_atoms(50)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(50), platform)
    integrator.setRandomizesVelocities(False)
    simulation.context.setVelocitiesToTemperature(300.0, 3)
    before = velocities_of(simulation)
    simulation.step(2)
    assert np.array_equal(velocities_of(simulation), before)
