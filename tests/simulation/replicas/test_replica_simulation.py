"""Copies: each is the run that it would be alone, is reported by itself, and hurts no other."""

from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import JumpReporter, ReplicaSimulation, RestrainedRefinement, UniSimIntegrator
from openmm_unisim.errors import ConfigError, NonFiniteError, QualityError
from openmm_unisim.export.metadata import GUIDANCE_SOURCES
from openmm_unisim.simulation.noise import standard_normals
from openmm_unisim.system import create_system, load_molecule
from tests.plugin.conftest import toys  # noqa: F401  (a fixture)
from tests.plugin.systems import add_wells, free_atoms, jumper, trajectory, velocities_of
from tests.simulation.replicas.systems import ATOMS, PLATFORM, copies_of, run, starts
from tests.toy_models import nan_threshold


def test_a_copy_is_the_integrators_run_of_its_seed(toys):  # noqa: F811
    frames = run(copies_of(toys["ou"], 3), 5)
    for copy in range(3):
        topology, system = free_atoms(ATOMS)
        add_wells(system, 6235.8)
        alone, _ = jumper(toys["ou"], topology, system, starts(3)[copy], seed=7 + copy)
        np.testing.assert_allclose(frames[:, copy], trajectory(alone, 5), rtol=0, atol=1e-13)


@pytest.mark.parametrize("acceptance", ["all", "quality", "metropolis"])
def test_a_copy_does_not_depend_on_how_many_there_are(toys, acceptance):  # noqa: F811
    whole = run(copies_of(toys["ou"], 4, acceptance=acceptance), 6)
    alone = run(copies_of(toys["ou"], 1, starts(4)[2:3], firstReplica=2, acceptance=acceptance), 6)
    np.testing.assert_allclose(whole[:, 2], alone[:, 0], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(whole, run(copies_of(toys["ou"], 4, acceptance=acceptance), 6))
    assert np.abs(whole[:, 1] - whole[:, 2]).min() > 0


def test_metropolis_copies_are_the_integrators(toys):  # noqa: F811
    simulation = copies_of(toys["euler"], 3, acceptance="metropolis")
    frames = run(simulation, 25)
    for copy in range(3):
        topology, system = free_atoms(ATOMS)
        add_wells(system, 6235.8)
        mode = UniSimIntegrator.MetropolisHastings
        alone, integrator = jumper(
            toys["euler"], topology, system, starts(3)[copy], seed=7 + copy, acceptanceMode=mode
        )
        np.testing.assert_allclose(frames[:, copy], trajectory(alone, 25), rtol=0, atol=1e-12)
        counts = simulation.getCounts(copy)
        assert counts.accepted == integrator.getNumAccepted() and counts.proposed == 25
        assert counts.metropolis == 25 - counts.accepted and counts.nan == counts.broken == 0
        judged = integrator.getAcceptanceStatistics()
        assert judged["judged"] == 25 == counts.proposed
        assert counts.sum_acceptance / 25 == pytest.approx(judged["mean_acceptance"], abs=1e-3)
        assert simulation.getLastLogAcceptance(copy) == pytest.approx(integrator.getLastLogAcceptance())
    assert 0 < sum(simulation.getCounts(copy).accepted for copy in range(3)) < 75


@pytest.mark.parametrize("acceptance", ["all", "metropolis"])
def test_nan_in_one_copy_does_not_touch_the_others(toys, acceptance):  # noqa: F811
    """The toy fails where the first noise number is large; the others go on as if it hadn't."""
    simulation = copies_of(toys["nan"], 4, acceptance=acceptance)
    healthy = copies_of(toys["ou"], 4, acceptance=acceptance)
    failed = np.zeros(4, dtype=int)
    for jump in range(20):
        before = simulation.positions
        healthy.setPositions(before)
        healthy.currentStep = jump
        simulation.step(1)
        healthy.step(1)
        bad = standard_normals(7 + np.arange(4), jump, 0, 0)[:, 0] > nan_threshold(3)
        failed += bad
        np.testing.assert_array_equal(simulation.positions[bad], before[bad])
        np.testing.assert_array_equal(simulation.positions[~bad], healthy.positions[~bad])
    assert [simulation.getCounts(copy).nan for copy in range(4)] == failed.tolist() and failed.min() > 0
    assert np.isfinite(simulation.positions).all()


def test_all_copies_stuck_is_an_error_one_is_a_warning(toys):  # noqa: F811
    simulation = copies_of(toys["always_nan"], 2)
    with pytest.warns(UserWarning, match=r"Copy 0 gave 20 NaN.*stays where it is"):
        simulation.getCounts(0).consecutive_nan = 19
        simulation.step(1)
    with pytest.raises(NonFiniteError, match="All 2 copies gave 20 NaN"):
        simulation.step(30)
    np.testing.assert_array_equal(simulation.positions, starts(2))


def test_velocities_and_time_are_the_integrators(toys):  # noqa: F811
    simulation = copies_of(toys["ou"], 2)
    assert not simulation.getState(1, velocities=True).getVelocities(asNumpy=True)._value.any()
    simulation.step(3)
    topology, system = free_atoms(ATOMS)
    add_wells(system, 6235.8)
    alone, _ = jumper(toys["ou"], topology, system, starts(2)[1], seed=8)
    alone.step(3)
    state = simulation.getState(1, positions=True, velocities=True, energy=True)
    np.testing.assert_allclose(state.getVelocities(asNumpy=True)._value, velocities_of(alone), atol=1e-12)
    assert state.getTime()._value == pytest.approx(3.0) and state.getStepCount() == 3
    theirs = alone.context.getState(energy=True)
    assert state.getPotentialEnergy()._value == pytest.approx(theirs.getPotentialEnergy()._value)
    assert state.getKineticEnergy()._value == pytest.approx(theirs.getKineticEnergy()._value)
    assert simulation.getPotentialEnergies()[1] == pytest.approx(theirs.getPotentialEnergy()._value)


def test_openmms_reporters_write_one_file_a_copy(toys, tmp_path):  # noqa: F811
    simulation = copies_of(toys["ou"], 2, firstReplica=3)
    simulation.addReporters(lambda copy: app.DCDReporter(str(tmp_path / f"{copy}.dcd"), 2))
    simulation.addReporters(lambda copy: app.XTCReporter(str(tmp_path / f"{copy}.xtc"), 1))
    simulation.reporters[1].append(
        app.StateDataReporter(
            str(tmp_path / "log.csv"), 3, step=True, time=True, potentialEnergy=True, temperature=True
        )
    )
    simulation.addReporters(lambda copy: JumpReporter(tmp_path / f"{copy}.csv", 1))
    frames = run(simulation, 6)
    top = mdtraj.Topology.from_openmm(simulation.topology)
    for copy in range(2):
        xtc = mdtraj.load(str(tmp_path / f"{3 + copy}.xtc"), top=top)
        np.testing.assert_allclose(xtc.xyz, frames[:, copy], atol=6e-4)
        np.testing.assert_allclose(xtc.time, np.arange(1, 7))
        dcd = mdtraj.load(str(tmp_path / f"{3 + copy}.dcd"), top=top)
        np.testing.assert_allclose(dcd.xyz, frames[1::2, copy], atol=1e-6)
        assert len((tmp_path / f"{3 + copy}.csv").read_text(encoding="utf-8").splitlines()) == 7
    assert [
        line.split(",")[0] for line in (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    ] == ["3", "6"]


class Tuple:
    """A reporter of the old kind."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def describeNextReport(self, simulation):
        return (2 - simulation.currentStep % 2, True, False, False, False, None)

    def report(self, simulation, state):
        self.seen.append(simulation.currentStep)
        assert state.getPositions() is not None


def test_reporters_may_come_late_and_be_of_the_old_kind(toys):  # noqa: F811
    simulation = copies_of(toys["ou"], 1)
    simulation.step(3)
    reporter = Tuple()
    simulation.reporters[0].append(reporter)
    simulation.step(4)
    assert reporter.seen == [4, 6]


def test_energies_are_asked_for_by_those_who_need_them(toys, monkeypatch):  # noqa: F811
    calls = []
    for mode in ("all", "quality", "metropolis"):
        simulation = copies_of(toys["ou"], 2, acceptance=mode)
        seen: list[int] = []
        energy = simulation._shared._energy

        def counting(*arguments, seen=seen, energy=energy):
            seen.append(1)
            return energy(*arguments)

        monkeypatch.setattr(simulation._shared, "_energy", counting)
        simulation.step(3)
        calls.append(len(seen))
    assert calls == [0, 6, 6]


@pytest.fixture(scope="module")
def dipeptide():
    return load_molecule("ACE-ALA-NME")


def peptide(dipeptide, model, copies=2, refinement=None, **settings):
    constraints = settings.pop("constraints", None)
    system = create_system(dipeptide, "vacuum", constraints=constraints)
    if refinement is not None:
        refinement.addToSystem(system)
    settings = {"randomNumberSeed": 3, **settings}
    simulation = ReplicaSimulation(
        dipeptide.topology, system, model, copies, PLATFORM, refinement=refinement, **settings
    )
    simulation.setPositions(dipeptide.positions)
    return simulation


def test_the_quality_filter_refuses_and_counts(toys, dipeptide, tmp_path):  # noqa: F811
    simulation = peptide(dipeptide, toys["ou"], acceptance="quality")
    simulation.step(2)  # this toy knows no bonds
    np.testing.assert_array_equal(simulation.positions[1], dipeptide.positions)
    counts = simulation.getCounts(1)
    assert counts.broken == counts.bond == counts.proposed == 2 and counts.accepted == counts.nan == 0
    everything = peptide(dipeptide, toys["ou"], acceptance="all")
    everything.step(2)
    assert everything.getCounts(1).accepted == 2


def test_broken_starts_are_refused_by_the_filter(toys, dipeptide):  # noqa: F811
    simulation = peptide(dipeptide, toys["ou"], acceptance="quality")
    mirrored = np.array([dipeptide.positions, dipeptide.positions * [1, 1, -1]])
    with pytest.raises(QualityError, match=r"Copy 1 starts broken \(1 stereocentre"):
        simulation.setPositions(mirrored)


def test_constraints_are_kept(toys, dipeptide):  # noqa: F811
    simulation = peptide(dipeptide, toys["constant"], constraints=app.HBonds)
    simulation.minimizeEnergy()
    simulation.step(2)
    system = simulation.system
    for index in range(system.getNumConstraints()):
        first, second, length = system.getConstraintParameters(index)
        distance = np.linalg.norm(simulation.positions[:, first] - simulation.positions[:, second], axis=1)
        np.testing.assert_allclose(distance, length._value, rtol=1e-4)


def test_refinement_acts_on_each_copy_where_its_jump_ended(toys, dipeptide):  # noqa: F811
    rough = dipeptide.positions + 0.004 * standard_normals(1, 0, 0, np.arange(22))
    plain = peptide(dipeptide, toys["constant"])
    refined = peptide(dipeptide, toys["constant"], refinement=RestrainedRefinement(dipeptide.topology))
    for simulation in (plain, refined):
        simulation.setPositions(np.array([rough, rough + 4.0]))
        simulation.step(1)
    assert (refined.getPotentialEnergies() < plain.getPotentialEnergies() - 20.0).all()
    heavy = [atom.index for atom in dipeptide.topology.atoms() if atom.element.symbol != "H"]
    moved = np.linalg.norm(refined.positions - plain.positions, axis=2)[:, heavy]
    assert 0 < moved.max() < 0.05
    assert refined._refinement.counts.refined == 2
    assert refined.getPotentialEnergies() == pytest.approx(refined._shared.energies(refined.positions))


def test_what_makes_no_sense_is_refused_by_name(toys, dipeptide):  # noqa: F811
    with pytest.raises(ConfigError, match="exclude each other"):
        peptide(
            dipeptide,
            toys["ou"],
            acceptance="metropolis",
            refinement=RestrainedRefinement(dipeptide.topology),
        )
    with pytest.raises(ConfigError, match="numReplicas = 0 must be"):
        copies_of(toys["ou"], 0)
    with pytest.raises(ConfigError, match=r"numReplicas = 1\.5 must be a whole number"):
        copies_of(toys["ou"], 1.5)
    with pytest.raises(ConfigError, match="Acceptance 'some' is unknown"):
        copies_of(toys["ou"], 1, acceptance="some")
    with pytest.raises(ConfigError, match="neither a name, nor a file"):
        copies_of(3, 1)
    simulation = copies_of(toys["ou"], 2)
    with pytest.raises(ConfigError, match=r"shape \(3, 3, 3\)"):
        simulation.setPositions(starts(3))
    bad = starts(2)
    bad[1, 0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="Copy 1 starts with NaN"):
        simulation.setPositions(bad)
    topology, system = free_atoms(ATOMS)
    with pytest.raises(ConfigError, match="have no positions yet"):
        ReplicaSimulation(topology, system, toys["ou"], 2, PLATFORM).step(1)
    system.addForce(openmm.AndersenThermostat(300, 1))
    with pytest.raises(ConfigError, match="has a AndersenThermostat"):
        ReplicaSimulation(topology, system, toys["ou"], 2, PLATFORM)


def test_an_integrator_brings_its_settings(toys):  # noqa: F811
    topology, system = free_atoms(ATOMS)
    add_wells(system, 6235.8)
    mode = UniSimIntegrator.MetropolisHastings
    given = UniSimIntegrator(
        toys["euler"], topology, 310 * unit.kelvin, 6, acceptanceMode=mode, randomNumberSeed=7
    )
    simulation = ReplicaSimulation(topology, system, given, 2, PLATFORM)
    assert simulation.acceptance == "metropolis" and simulation.getRandomNumberSeed() == 7
    simulation.setPositions(starts(2))
    same = copies_of(toys["euler"], 2, acceptance="metropolis", temperature=310 * unit.kelvin, numSubsteps=6)
    np.testing.assert_array_equal(run(simulation, 4), run(same, 4))
    with pytest.raises(ConfigError, match="are the integrator's"):
        copies_of(UniSimIntegrator(toys["ou"], topology, 300.0), 1, numSubsteps=5)
    with pytest.raises(ConfigError, match="is in another mode"):
        copies_of(
            UniSimIntegrator(toys["ou"], topology, 300.0), 1, acceptance="metropolis", randomNumberSeed=0
        )
    partial = UniSimIntegrator(toys["ou"], topology, 300.0, particles=[0, 1])
    with pytest.raises(ConfigError, match="Particle 2 is no virtual site and doesn't jump"):
        ReplicaSimulation(topology, system, partial, 1, PLATFORM)


def test_forces_guide_each_copy(toys):  # noqa: F811
    frames = run(copies_of(toys["guided"], 2), 3)
    topology, system = free_atoms(ATOMS)
    add_wells(system, 6235.8)
    alone, _ = jumper(toys["guided"], topology, system, starts(2)[1], seed=8)
    np.testing.assert_allclose(frames[:, 1], trajectory(alone, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("source", ["none", "resample", "openmm"])
@pytest.mark.parametrize("limit", [0.0, 20.0])
def test_sources_of_guidance_are_the_integrators(toys, source, limit):  # noqa: F811
    topology, system = free_atoms(ATOMS)
    add_wells(system, 6235.8)
    made = []
    for seed in (7, 8):
        integrator = UniSimIntegrator(toys["guided"], topology, 300.0, randomNumberSeed=seed)
        integrator.setGuidanceSource(GUIDANCE_SOURCES.index(source))
        integrator.setNumResampled(3)
        integrator.setGuidanceForceLimit(limit)
        made.append(integrator)
    simulation = ReplicaSimulation(topology, system, made[0], 2, PLATFORM)
    simulation.setPositions(starts(2))
    alone = app.Simulation(topology, system, made[1], PLATFORM)
    alone.context.setPositions(starts(2)[1])
    np.testing.assert_allclose(run(simulation, 3)[:, 1], trajectory(alone, 3), rtol=0, atol=1e-12)


def test_virtual_sites_follow(toys):  # noqa: F811
    topology, system = free_atoms(2)
    topology.addAtom("M", None, topology.addResidue("SIT", next(topology.chains())))
    system.addParticle(0.0)
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    simulation = ReplicaSimulation(topology, system, toys["ou"], 2, PLATFORM, randomNumberSeed=1)
    simulation.setPositions(starts(2))
    simulation.step(2)
    np.testing.assert_allclose(
        simulation.positions[:, 2], simulation.positions[:, :2].mean(axis=1), atol=1e-12
    )


def test_a_seed_of_zero_is_drawn_and_told(toys):  # noqa: F811
    first, second = copies_of(toys["ou"], 1, randomNumberSeed=0), copies_of(toys["ou"], 1, randomNumberSeed=0)
    assert first.getRandomNumberSeed() != second.getRandomNumberSeed() > 0
    again = copies_of(toys["ou"], 1, randomNumberSeed=first.getRandomNumberSeed())
    np.testing.assert_array_equal(run(first, 2), run(again, 2))


def test_shipped_model_copies_are_the_integrators_runs(dipeptide, tmp_path: Path):
    """The fused operators treat copies one by one: a copy is the C++ run of its seed to float32's rounding."""
    simulation = peptide(dipeptide, "ala2", 3)
    simulation.minimizeEnergy()
    start = simulation.positions[0]
    simulation.step(1)
    system = create_system(dipeptide, "vacuum")
    alone, _ = jumper("ala2", dipeptide.topology, system, start, seed=5)
    alone.step(1)
    theirs = alone.context.getState(positions=True).getPositions(asNumpy=True)._value
    np.testing.assert_allclose(simulation.positions[2], theirs, atol=2e-4)


def test_energies_follow_the_contexts_parameters(toys):  # noqa: F811
    """A Metropolis test compares energies of one Hamiltonian."""
    simulation = copies_of(toys["ou"], 2, acceptance="metropolis")
    simulation.step(1)
    before = simulation.getPotentialEnergies()
    simulation.context.setParameter("k", 2.0 * simulation.context.getParameter("k"))
    np.testing.assert_allclose(simulation.getPotentialEnergies(), 2.0 * before, rtol=1e-6)
