"""Jumps beside MD, minimisation and exchange"""

import warnings

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import (
    HybridSimulation,
    JumpWarning,
    UniSimIntegrator,
    UniSimReplicaExchangeSampler,
    notices,
)
from tests.platforms.systems import (
    CONSTRAINTS,
    check_molecule,
    constraint_errors,
    dipeptide,
    energy_of,
    jumps,
)
from tests.plugin.systems import (
    add_wells,
    can_minimize,
    free_atoms,
    jumper,
    make_platform,
    positions_of,
    random_positions,
    velocities_of,
)

KINDS = ("flexible", "HBonds")


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.feature(f"`CompoundIntegrator`, {k}")) for k in KINDS]
)
def test_md_goes_on_from_a_jump(platform: str, kind: str) -> None:
    """Velocities after a jump are those of the temperature and fit the constraints, so MD starts without a kick."""
    setup = dipeptide("obc2", kind)
    compound = openmm.CompoundIntegrator()
    compound.addIntegrator(
        openmm.LangevinMiddleIntegrator(300, 1.0, 0.001 if CONSTRAINTS[kind] is None else 0.002)
    )
    compound.addIntegrator(UniSimIntegrator("ala2", setup.topology, 300, randomNumberSeed=3))
    simulation = app.Simulation(setup.topology, setup.system, compound, *make_platform(platform))
    simulation.context.setPositions(setup.positions)
    simulation.context.setVelocitiesToTemperature(300, 1)
    for _ in range(2):
        compound.setCurrentIntegrator(0)
        simulation.step(10)
        compound.setCurrentIntegrator(1)
        simulation.step(1)
    velocities = velocities_of(simulation)
    compound.setCurrentIntegrator(0)
    simulation.step(1)
    assert np.abs(velocities_of(simulation) - velocities).max() < 1.0  # nm/ps: no stale or shifted momenta
    simulation.step(20)
    check_molecule(setup, simulation)
    if kind != "flexible":
        assert constraint_errors(setup.system, positions_of(simulation)).max() < 2e-5
    found = UniSimIntegrator.cast(compound.getIntegrator(1))
    assert found.getNumAccepted() == 2
    expected = 2 * found.getLagTime() + 41 * compound.getIntegrator(0).getStepSize()
    assert simulation.context.getTime() / expected == pytest.approx(1.0)


@pytest.mark.feature("`HybridSimulation`")
@pytest.mark.parametrize("after", ["accept", "metropolis"])
def test_hybrid_simulation(platform: str, after: str) -> None:
    setup = dipeptide()
    chosen, properties = make_platform(platform)
    hybrid = HybridSimulation(
        setup.topology, setup.system, UniSimIntegrator("ala2", setup.topology, 300), mdSteps=5, afterJump=after,
        randomNumberSeed=4, platform=chosen, platformProperties=properties,
    )  # fmt: skip
    hybrid.context.setPositions(setup.positions)
    hybrid.drawVelocities()
    hybrid.step(2)
    check_molecule(setup, hybrid)
    assert hybrid.getCounts().jumps == 2


@pytest.mark.feature("`minimizeEnergy` before and after jumps")
def test_minimisation(platform: str) -> None:
    if not can_minimize(platform):
        pytest.skip("OpenMM's minimizer crashes with PoCL, with any integrator")
    setup = dipeptide()
    simulation, integrator = jumps(setup, platform)
    simulation.minimizeEnergy(maxIterations=5)
    simulation.step(1)
    before = energy_of(simulation)
    simulation.minimizeEnergy(maxIterations=20)
    assert energy_of(simulation) < before
    simulation.step(1)
    check_molecule(setup, simulation)
    assert integrator.getNumAccepted() == 2


@pytest.mark.feature("`context.reinitialize(preserveState=True)`")
def test_reinitialize(toys, platform: str) -> None:
    topology, system = free_atoms(4)
    simulation, _ = jumper(toys["shift"], topology, system, random_positions(4), platform)
    simulation.step(1)
    simulation.context.reinitialize(preserveState=True)
    simulation.step(1)
    moved = positions_of(simulation) - random_positions(4)
    assert np.abs(moved - 2 * np.array([0.01, -0.02, 0.03])).max() < 1e-5


@pytest.mark.feature("`UniSimReplicaExchangeSampler`")
def test_replica_exchange(toys, platform: str) -> None:
    topology, system = free_atoms(4)
    add_wells(system, 500.0)
    simulation, _ = jumper(
        toys["ou"], topology, system, random_positions(4), platform,
        acceptanceMode=UniSimIntegrator.MetropolisHastings,
    )  # fmt: skip
    states = [{"temperature": kelvin * unit.kelvin} for kelvin in (280.0, 300.0, 320.0)]
    sampler = UniSimReplicaExchangeSampler(states, simulation, 1)
    sampler.simulate(3)
    assert sampler.jumpsProposed.sum() == 9 and sampler.exchangeAttempts.sum() > 0


@pytest.mark.feature(
    "OpenMM's own `ReplicaExchangeSampler`: its replicas share their noise", outcome="warned"
)
def test_openmms_own_sampler(toys, platform: str) -> None:
    """It puts the number of the next jump back with each replica's State."""
    topology, system = free_atoms(4)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(4), platform)
    states = [{"temperature": kelvin * unit.kelvin} for kelvin in (290.0, 310.0)]
    sampler = app.ReplicaExchangeSampler(states, simulation, 1)
    with pytest.warns(JumpWarning, match="had the noise of an earlier one"):
        sampler.simulate(1)


@pytest.mark.feature("`step(n)` and intervals of an MD script: they count jumps", outcome="warned")
def test_many_steps_at_once(toys, platform: str, monkeypatch) -> None:
    monkeypatch.setattr(notices, "_reminded", [])
    topology, system = free_atoms(2)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(2), platform)
    with pytest.warns(JumpWarning, match="A step of a UniSimIntegrator is a jump of 1 ps: step"):
        simulation.step(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error", JumpWarning)
        simulation.step(20)  # once a process


@pytest.mark.feature("notices of an integrator within a `CompoundIntegrator`", outcome="warned")
def test_notices_within_a_compound_integrator(toys, platform: str) -> None:
    """OpenMM steps the integrator there; each notice is told once, and warnings made errors stop the jumps."""
    topology, system = free_atoms(3)
    add_wells(system, 10.0)
    system.addForce(openmm.CMMotionRemover(10))  # meant for the steps of MD

    def simulation() -> app.Simulation:
        compound = openmm.CompoundIntegrator()
        compound.addIntegrator(UniSimIntegrator(toys["ou"], topology, 300))
        made = app.Simulation(topology, system, compound, *make_platform(platform))
        made.context.setPositions(random_positions(3))
        return made

    told = simulation()
    with pytest.warns(JumpWarning, match="don't feel these Forces: CustomExternalForce") as heard:
        told.step(1)
    assert [warning.filename for warning in heard] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error", JumpWarning)
        told.step(1)
        stopped = simulation()
        with pytest.raises(openmm.OpenMMException, match="don't feel these Forces"):
            stopped.step(1)
    jump = UniSimIntegrator.cast(stopped.integrator.getIntegrator(0))
    assert jump.getNumProposed() == 0


@pytest.mark.feature("notices as errors (`-W error`): no jump is made", outcome="warned")
def test_warnings_as_errors(toys, platform: str) -> None:
    """Also of an integrator that OpenMM's XML gave back, which OpenMM steps."""
    topology, system = free_atoms(3)
    add_wells(system, 10.0)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3), platform)
    plain = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(integrator))
    other = app.Simulation(topology, system, plain, *make_platform(platform))
    other.context.setPositions(random_positions(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error", JumpWarning)
        with pytest.raises(JumpWarning, match="don't feel these Forces"):
            simulation.step(1)
        with pytest.raises(openmm.OpenMMException, match="don't feel these Forces"):
            other.step(1)
    assert integrator.getNumProposed() == UniSimIntegrator.cast(plain).getNumProposed() == 0
    simulation.step(1)
    assert integrator.getNumProposed() == 1


@pytest.mark.feature("`setStepSize` of an MD script", outcome="refused")
def test_step_size(toys, platform: str) -> None:
    topology, system = free_atoms(2)
    _, integrator = jumper(toys["ou"], topology, system, random_positions(2), platform)
    with pytest.raises(openmm.OpenMMException, match="lag time, 1 ps, and can't be"):
        integrator.setStepSize(2 * unit.femtoseconds)
