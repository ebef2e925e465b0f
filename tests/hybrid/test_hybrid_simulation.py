"""`HybridSimulation`: what a cycle does, time, counts, reporters, checkpoints, velocities, refusals."""

import copy
import csv
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import (
    ConfigError,
    GHMCIntegrator,
    HybridSimulation,
    Relaxation,
    UniSimIntegrator,
)
from openmm_unisim.simulation.quality import QualityLimits
from tests.hybrid.systems import alanine, hybrid_of, relaxed
from tests.plugin.systems import (
    BOLTZMANN,
    add_wells,
    free_atoms,
    platform_names,
    positions_of,
    random_positions,
    velocities_of,
)

PLATFORMS = platform_names("Reference", "CPU")
MODES = ("accept", "metropolis", "relax")
REFERENCE = openmm.Platform.getPlatformByName("Reference")


def wells(n: int = 4, stiffness: float = 500.0) -> tuple[app.Topology, openmm.System]:
    topology, system = free_atoms(n)
    add_wells(system, stiffness)
    return topology, system


def settings_of(mode: str) -> dict:
    """With clashes allowed: the atoms of these tests are points."""
    relaxation = Relaxation(mdSteps=3, limits=QualityLimits(clash_fraction=0.0))
    return {"afterJump": mode, "relaxation": relaxation if mode == "relax" else None}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("mode", MODES)
def test_a_cycle_is_md_and_jumps_and_both_advance_the_clock(toys, platform: str, mode: str) -> None:
    simulation = hybrid_of(toys["ou"], *wells(), random_positions(4), platform, mdSteps=7, numJumps=2,
                           **settings_of(mode))  # fmt: skip
    step = simulation.mdIntegrator.getStepSize()._value
    simulation.step(12)
    counts = simulation.getCounts()
    assert (simulation.currentStep, counts.cycles, counts.md_steps, counts.jumps) == (12, 12, 84, 24)
    assert counts.accepted + sum(counts.rejected.values()) == 24
    assert (counts.accepted == 24) == (mode != "metropolis")
    assert simulation.getMDTime()._value == pytest.approx(84 * step)
    assert simulation.getJumpTime() == 24 * unit.picosecond
    assert simulation.context.getTime()._value == pytest.approx(84 * step + 24)
    assert simulation.integrator.getStepSize()._value == pytest.approx(7 * step + 2)
    assert counts.relaxation_steps == (72 if mode == "relax" else 0)
    assert simulation.context.getStepCount() == 84 + 24 + counts.relaxation_steps
    record = simulation.lastCycle
    assert record.cycle == 12 and record.time_ps == simulation.context.getTime()._value


def test_either_part_may_be_absent_but_not_both(toys) -> None:
    topology, system = wells()
    simulation = hybrid_of(toys["ou"], topology, system, random_positions(4), mdSteps=0)
    simulation.step(3)
    assert simulation.context.getTime() == 3 * unit.picosecond
    simulation = hybrid_of(toys["ou"], topology, system, random_positions(4), mdSteps=5, numJumps=0)
    simulation.step(3)
    assert simulation.getCounts().jumps == 0 and np.isnan(simulation.lastCycle.jump_energy_kj_mol)
    with pytest.raises(ConfigError, match="make no cycle"):
        hybrid_of(toys["ou"], topology, system, random_positions(4), mdSteps=0, numJumps=0)


@pytest.mark.parametrize("n", [1, 25])
def test_every_reporter_of_openmm_works_in_cycles(toys, tmp_path: Path, n: int) -> None:
    simulation = hybrid_of(toys["ou"], *wells(), random_positions(4), mdSteps=5)
    length = simulation.integrator.getStepSize()._value
    simulation.reporters += [
        app.XTCReporter(str(tmp_path / "t.xtc"), 5),
        app.DCDReporter(str(tmp_path / "t.dcd"), 5),
        app.PDBReporter(str(tmp_path / "t.pdb"), 25),
        app.CheckpointReporter(str(tmp_path / "t.chk"), 10),
        app.CheckpointReporter(str(tmp_path / "t.xml"), 10, writeState=True),
        app.StateDataReporter(
            str(tmp_path / "log.csv"), 5, step=True, time=True, potentialEnergy=True, kineticEnergy=True,
            temperature=True, speed=True, progress=True, remainingTime=True, totalSteps=25,
        ),
    ]  # fmt: skip
    for _ in range(25 // n):
        simulation.step(n)
    with open(tmp_path / "log.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Step"] for row in rows] == ["5", "10", "15", "20", "25"]
    assert [float(row["Time (ps)"]) for row in rows] == pytest.approx([5 * length * k for k in range(1, 6)])
    trajectory = mdtraj.load_xtc(
        str(tmp_path / "t.xtc"), top=mdtraj.Topology.from_openmm(simulation.topology)
    )
    assert np.allclose(trajectory.time, 5 * length * np.arange(1, 6))
    assert np.allclose(trajectory.xyz[-1], positions_of(simulation), atol=1e-3)
    other = hybrid_of(toys["ou"], *wells(), random_positions(4), mdSteps=5)
    other.loadCheckpoint(str(tmp_path / "t.chk"))
    assert other.currentStep == 20
    other.step(5)
    assert np.array_equal(positions_of(other), positions_of(simulation))
    assert other.getCounts() == simulation.getCounts()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("mode", MODES)
def test_from_a_checkpoint_it_goes_on_to_the_last_bit(toys, tmp_path: Path, platform: str, mode: str) -> None:
    molecule, system = alanine()
    arguments = (toys["gentle"], molecule.topology, system, relaxed(molecule, system), platform)
    simulation = hybrid_of(*arguments, mdSteps=10, **settings_of(mode))
    simulation.step(3)
    simulation.saveCheckpoint(str(tmp_path / "c.chk"))
    simulation.saveState(str(tmp_path / "c.xml"))
    simulation.step(4)
    other = hybrid_of(*arguments, mdSteps=10, **settings_of(mode), randomNumberSeed=99)
    other.loadCheckpoint(str(tmp_path / "c.chk"))
    other.step(4)
    assert np.array_equal(positions_of(other), positions_of(simulation))
    assert np.array_equal(velocities_of(other), velocities_of(simulation))
    assert other.getCounts() == simulation.getCounts()
    assert other.jumpIntegrator.getNumProposed() == 7
    third = hybrid_of(*arguments, mdSteps=10, **settings_of(mode), randomNumberSeed=99)
    third.loadState(str(tmp_path / "c.xml"))
    third.step(4)  # the thermostat's noise is another, counts and clock are the same
    assert third.getCounts().cycles == 7 and third.getCounts().seed == 5
    assert third.context.getTime() == simulation.context.getTime()


def test_the_same_seed_is_the_same_trajectory_and_another_is_another(toys) -> None:
    def run(seed: int) -> np.ndarray:
        simulation = hybrid_of(toys["ou"], *wells(), random_positions(4), mdSteps=5, randomNumberSeed=seed)
        simulation.step(3)
        return positions_of(simulation)

    assert np.array_equal(run(3), run(3)) and not np.array_equal(run(3), run(4))
    assert not np.array_equal(run(0), run(0))


@pytest.mark.parametrize("mode", MODES)
def test_an_ordinary_simulation_is_taken_over(toys, mode: str) -> None:
    topology, system = wells()
    system.setDefaultPeriodicBoxVectors([3, 0, 0], [0, 3, 0], [0, 0, 3])
    jump = UniSimIntegrator(toys["ou"], topology, 300, 3, particles=[0, 2], randomNumberSeed=8)
    simulation = app.Simulation(topology, system, jump, REFERENCE)
    simulation.context.setPositions(random_positions(4))
    simulation.context.setParameter("k", 321.0)
    simulation.step(2)
    hybrid = HybridSimulation.fromSimulation(simulation, mdSteps=4, **settings_of(mode))
    assert np.array_equal(positions_of(hybrid), positions_of(simulation))
    assert hybrid.context.getTime() == 2 * unit.picosecond and hybrid.currentStep == 0
    assert hybrid.context.getParameter("k") == 321.0
    taken = hybrid.jumpIntegrator
    assert (taken.getNumSubsteps(), list(taken.getParticles()), taken.getRandomNumberSeed()) == (3, [0, 2], 8)
    assert hybrid.context.getPlatform().getName() == "Reference"
    hybrid.step(2)
    assert simulation.context.getTime() == 2 * unit.picosecond  # left as it was


def test_the_md_of_an_ordinary_simulation_and_its_velocities_are_kept(toys) -> None:
    topology, system = wells()
    simulation = app.Simulation(topology, system, openmm.VerletIntegrator(0.003), REFERENCE)
    simulation.context.setPositions(random_positions(4))
    simulation.context.setVelocitiesToTemperature(300, 4)
    jump = UniSimIntegrator(toys["ou"], topology, 300)
    hybrid = HybridSimulation.fromSimulation(simulation, jump, mdSteps=20)
    assert isinstance(hybrid.mdIntegrator, openmm.VerletIntegrator)
    hybrid.integrator.make_md_steps(20)
    simulation.step(20)
    assert np.array_equal(positions_of(hybrid), positions_of(simulation))
    with pytest.raises(ConfigError, match="VerletIntegrator makes no jumps"):
        HybridSimulation.fromSimulation(simulation)


@pytest.mark.parametrize(("make", "offset"), [
    (openmm.VerletIntegrator, 0.5),
    (lambda step: openmm.LangevinMiddleIntegrator(300, 1, step), 0.5),
    (lambda step: GHMCIntegrator(300, 1, step), 0.0),
])  # fmt: skip
def test_velocities_drawn_at_a_switch_have_the_temperature_at_the_positions_time(toys, make, offset) -> None:
    """Leap-frog integrators store velocities half a step earlier: far up a well, with a long step, this tells."""
    step, stiffness, mass = 0.04, 2000.0, 2.0
    topology, system = wells(50, stiffness)
    start = random_positions(50, spread=0.4)
    simulation = hybrid_of(toys["ou"], topology, system, start, mdIntegrator=make(step))
    energies = []
    for number in range(200):
        simulation._cycle.draw_velocities(simulation.getCounts(), number)
        now = velocities_of(simulation) - offset * step * stiffness * start / mass
        energies.append(0.5 * mass * (now**2).sum())
    expected, spread = 1.5 * 50 * BOLTZMANN * 300, np.std(energies) / np.sqrt(200)
    assert abs(np.mean(energies) - expected) < 4 * spread
    assert np.std(energies) == pytest.approx(expected * np.sqrt(2 / 150), rel=0.25)


def test_constraints_hold_for_positions_and_velocities_after_every_jump(toys) -> None:
    molecule, system = alanine(app.HBonds)
    start = relaxed(molecule, system)
    simulation = hybrid_of(toys["rough"], molecule.topology, system, start, mdSteps=5)
    assert simulation.mdIntegrator.getStepSize()._value == 0.004
    pairs = [system.getConstraintParameters(i) for i in range(system.getNumConstraints())]
    for _ in range(5):
        simulation.step(1)
        positions, velocities = positions_of(simulation), velocities_of(simulation)
        for first, second, length in pairs:
            arm = positions[first] - positions[second]
            assert np.linalg.norm(arm) == pytest.approx(length._value, rel=3e-5)
            rate = (velocities[first] - velocities[second]) @ arm / np.linalg.norm(arm)
            assert abs(rate) < 1e-3


def test_a_rejection_puts_positions_and_velocities_back(toys) -> None:
    molecule, system = alanine()
    start = relaxed(molecule, system)
    simulation = hybrid_of(toys["wild"], molecule.topology, system, start, mdSteps=0, afterJump="relax")
    before = positions_of(simulation), velocities_of(simulation)
    simulation.step(5)
    assert np.array_equal(positions_of(simulation), before[0])
    assert np.array_equal(velocities_of(simulation), before[1])
    counts = simulation.getCounts()
    assert counts.accepted == 0 and counts.bond + counts.chirality == 5 and counts.bond > 0
    assert simulation.lastCycle.reason in ("bond", "chirality")
    assert simulation.context.getTime() == 5 * unit.picosecond


def test_minimisation_and_short_md_mend_a_rough_jump(toys) -> None:
    molecule, system = alanine()
    start = relaxed(molecule, system)
    kept = []
    for relaxation in (Relaxation(), Relaxation(minimizationSteps=30, mdSteps=20)):
        simulation = hybrid_of(toys["rough"], molecule.topology, system, start, mdSteps=20,
                               afterJump="relax", relaxation=relaxation)  # fmt: skip
        simulation.jumpIntegrator.setNumSubsteps(9)
        simulation.step(12)
        kept.append(simulation.getCounts().accepted)
    assert kept[1] == 12 and kept[0] <= 12
    assert simulation.lastCycle.jump_energy_kj_mol > simulation.lastCycle.potential_energy_kj_mol


def test_an_energy_limit_and_nan_are_reasons_of_their_own(toys) -> None:
    topology, system = wells()
    limit = Relaxation(maxEnergyRise=0.0, limits=QualityLimits(clash_fraction=0.0))
    simulation = hybrid_of(toys["shift"], topology, system, np.zeros((4, 3)), mdSteps=0, afterJump="relax",
                           relaxation=limit)  # fmt: skip
    simulation.step(4)
    assert simulation.getCounts().rejected["energy"] == 4
    simulation = hybrid_of(toys["nan"], topology, system, random_positions(4), mdSteps=2, numJumps=3)
    simulation.step(20)
    assert 5 < simulation.getCounts().nan < 40 and np.isfinite(positions_of(simulation)).all()


def test_md_that_explodes_in_relaxation_is_a_rejection(toys) -> None:
    topology, system = wells(4, 1e7)
    md = openmm.LangevinMiddleIntegrator(300, 1.0, 0.02)  # far beyond stability
    simulation = hybrid_of(toys["ou"], topology, system, np.zeros((4, 3)), mdIntegrator=md, mdSteps=0,
                           afterJump="relax", relaxation=Relaxation(mdSteps=500))  # fmt: skip
    simulation.step(2)
    assert simulation.getCounts().rejected["nan"] == 2 and np.array_equal(
        positions_of(simulation), np.zeros((4, 3))
    )


def test_exactness_is_told_and_what_breaks_it_refused(toys) -> None:
    molecule, system = alanine()
    arguments = (toys["gentle"], molecule.topology)
    exact = hybrid_of(*arguments, system, molecule.positions, afterJump="metropolis")
    assert exact.isExact() and isinstance(exact.mdIntegrator, GHMCIntegrator)
    assert exact.mdIntegrator.getStepSize()._value == 0.001
    assert "CMMotionRemover" not in {force.getName() for force in exact.system.getForces()}
    assert "CMMotionRemover" in {force.getName() for force in system.getForces()}
    assert not hybrid_of(*arguments, system, molecule.positions).isExact()
    with pytest.warns(UserWarning, match="LangevinMiddleIntegrator between Metropolis jumps"):
        langevin = openmm.LangevinMiddleIntegrator(300, 1, 0.001)
        plain = hybrid_of(
            *arguments, system, molecule.positions, afterJump="metropolis", mdIntegrator=langevin
        )
    assert not plain.isExact()
    with pytest.raises(ConfigError, match="flexible molecules, and this System has 12 constraints"):
        hybrid_of(*arguments, alanine(app.HBonds)[1], molecule.positions, afterJump="metropolis")
    pressed = copy.deepcopy(wells()[1])
    pressed.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    with pytest.raises(ConfigError, match="MonteCarloBarostat"):
        hybrid_of(toys["ou"], wells()[0], pressed, random_positions(4), afterJump="metropolis")


def test_exactness_ends_where_the_integrators_part(toys) -> None:
    topology, system = wells()

    def exact() -> HybridSimulation:
        return hybrid_of(toys["ou"], topology, system, random_positions(4), afterJump="metropolis")

    assert exact().isExact()
    hot, free, other = exact(), exact(), exact()
    hot.mdIntegrator.setTemperature(600.0)
    free.jumpIntegrator.setAcceptanceMode(UniSimIntegrator.AcceptAll)
    other.jumpIntegrator.setIntegrationForceGroups({1})
    assert not (hot.isExact() or free.isExact() or other.isExact())
    ghmc = GHMCIntegrator(300.0, 1.0, 0.001)
    ghmc.setIntegrationForceGroups({1})
    with pytest.raises(ConfigError, match="integrated with different force groups"):
        hybrid_of(
            toys["ou"], topology, system, random_positions(4), afterJump="metropolis", mdIntegrator=ghmc
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mdSteps": 10.7}, "mdSteps = 10.7 and numJumps = 1 must be whole numbers"),
        ({"afterJump": "hope"}, "afterJump 'hope' is unknown; choose one of accept, metropolis, relax"),
        ({"mdSteps": -1}, "mdSteps = -1"),
        ({"relaxation": Relaxation(mdSteps=1)}, "'accept' relaxes nothing"),
        ({"randomNumberSeed": 1.5}, "randomNumberSeed = 1.5 must be a whole number"),
        ({"randomNumberSeed": 2**31}, "randomNumberSeed = 2147483648 must lie"),
        ({"randomNumberSeed": -1}, "must lie in 0 to 2147483647"),
        ({"mdIntegrator": openmm.LangevinMiddleIntegrator(310, 1, 0.001)}, "MD has 310 K and the jumps have 300 K"),
        ({"mdIntegrator": "verlet"}, "mdIntegrator is a str"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(toys, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        hybrid_of(toys["ou"], *wells(), random_positions(4), **settings)


def test_an_integrator_from_openmms_xml_jumps(toys) -> None:
    """`XmlSerializer.deserialize` gives a plain `Integrator`."""
    topology, system = wells()
    xml = openmm.XmlSerializer.serialize(UniSimIntegrator(toys["ou"], topology, 300, randomNumberSeed=5))
    platform = openmm.Platform.getPlatformByName("Reference")
    plain = openmm.XmlSerializer.deserialize(xml)
    simulation = HybridSimulation(topology, system, plain, mdSteps=2, platform=platform)
    simulation.context.setPositions(random_positions(4))
    simulation.step(1)
    assert simulation.jumpIntegrator.getNumProposed() == 1


def test_other_integrators_are_refused_as_jumps(toys) -> None:
    topology, system = wells()
    with pytest.raises(ConfigError, match="jumpIntegrator is a VerletIntegrator"):
        HybridSimulation(topology, system, openmm.VerletIntegrator(0.001))
    with pytest.raises(ConfigError, match=r"minimizationSteps = -1 of a Relaxation"):
        Relaxation(minimizationSteps=-1)
