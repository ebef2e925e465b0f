"""Getters, setters and their validation, with the units of OpenMM's own integrators."""

import math

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_unisim import ConfigError, ModelDomainError, UniSimIntegrator, load_plugin
from tests.plugin.systems import free_atoms, jumper, random_positions


@pytest.fixture
def integrator(toys) -> UniSimIntegrator:
    return UniSimIntegrator(toys["guided"], free_atoms(3)[0], 300 * unit.kelvin)


@pytest.fixture
def plain(toys) -> openmm.Integrator:
    """The C++ integrator without its Python layer."""
    return load_plugin().UniSimIntegrator(str(toys["guided"]), 300.0)


def test_defaults_come_from_openmm_and_from_the_model(integrator) -> None:
    assert integrator.getStepSize() == 1.0 * unit.picosecond
    assert integrator.getLagTime() == 1.0 * unit.picosecond
    assert integrator.getTemperature() == 300.0 * unit.kelvin
    assert integrator.getNumSubsteps() == 4
    assert integrator.getTimeGrid() == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert integrator.getGuidanceScale() == 1.0
    assert integrator.getGuidanceForceGroups() == -1
    assert integrator.getIntegrationForceGroups() == -1
    assert integrator.getAcceptanceMode() == UniSimIntegrator.AcceptAll
    assert integrator.getConstraintTolerance() == 1e-5
    assert integrator.getRandomNumberSeed() == 0
    assert integrator.getRandomizesVelocities() is True
    assert integrator.getNumThreads() == 0
    assert integrator.getParticles() == ()
    assert integrator.getAtomicNumbers() == (1, 1, 1)
    assert integrator.getBonds() == ()
    assert integrator.getModelMetadata("environment") == "analytic"
    counters = (integrator.getNumProposed(), integrator.getNumAccepted(), integrator.getNumNaN())
    assert counters == (0, 0, 0)
    assert integrator.getLastLogAcceptance() == 0.0


def test_setters(integrator) -> None:
    integrator.setTemperature(310 * unit.kelvin)
    assert integrator.getTemperature() == 310.0 * unit.kelvin
    integrator.setNumSubsteps(9)
    assert integrator.getNumSubsteps() == 9
    integrator.setNumSubsteps(0)
    assert integrator.getNumSubsteps() == 4
    integrator.setGuidanceScale(0.25)
    assert integrator.getGuidanceScale() == 0.25
    integrator.setGuidanceForceGroups(0b101)
    assert integrator.getGuidanceForceGroups() == 0b101
    integrator.setAcceptanceMode(UniSimIntegrator.MetropolisHastings)
    assert integrator.getAcceptanceMode() == UniSimIntegrator.MetropolisHastings
    integrator.setParticles(np.array([2, 0]))
    assert integrator.getParticles() == (2, 0)
    integrator.setAtomicNumbers(np.array([6, 1]))
    assert integrator.getAtomicNumbers() == (6, 1)
    integrator.setBonds(np.array([[0, 2]]))
    assert integrator.getBonds() == ((0, 2),)
    integrator.setRandomizesVelocities(False)
    assert integrator.getRandomizesVelocities() is False
    integrator.setRandomNumberSeed(-3)
    assert integrator.getRandomNumberSeed() == -3
    integrator.setConstraintTolerance(1e-6)
    assert integrator.getConstraintTolerance() == 1e-6
    integrator.setStepSize(1000 * unit.femtoseconds)
    assert integrator.getStepSize() == 1.0 * unit.picosecond


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_temperature_must_be_positive_and_finite(integrator, plain, value: float) -> None:
    with pytest.raises(openmm.OpenMMException, match="Temperature must be positive and finite"):
        plain.setTemperature(value)
    with pytest.raises(ConfigError, match="temperature"):
        integrator.setTemperature(value)
    assert integrator.getTemperature() == 300.0 * unit.kelvin


def test_temperature_has_a_unit_of_temperature(integrator) -> None:
    with pytest.raises(ConfigError, match="can't be expressed in kelvin"):
        integrator.setTemperature(1.0 * unit.picosecond)


@pytest.mark.parametrize("value", [0.002, 2.0, math.nan])
def test_step_size_is_the_lag_time(integrator, plain, value: float) -> None:
    with pytest.raises(openmm.OpenMMException, match=r"lag time, 1 ps, and can't be"):
        plain.setStepSize(value)
    if not math.isnan(value):
        with pytest.raises(openmm.OpenMMException, match=r"lag time, 1 ps, and can't be"):
            integrator.setStepSize(value * unit.picosecond)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_guidance_scale_is_not_negative(integrator, value: float) -> None:
    with pytest.raises(openmm.OpenMMException, match="guidance scale can't be negative"):
        integrator.setGuidanceScale(value)


def test_guidance_of_a_model_without_guidance(toys) -> None:
    integrator = UniSimIntegrator(toys["ou"], free_atoms(3)[0], 300)
    integrator.setGuidanceScale(0.0)
    with pytest.raises(openmm.OpenMMException, match="has no guidance"):
        integrator.setGuidanceScale(1.0)


def test_negative_substeps_indices_and_elements(integrator, plain) -> None:
    with pytest.raises(ModelDomainError, match="number of substeps can't be negative"):
        integrator.setNumSubsteps(-1)
    with pytest.raises(openmm.OpenMMException, match="number of threads can't be negative"):
        integrator.setNumThreads(-1)
    with pytest.raises(openmm.OpenMMException, match="number of threads can't be above 1024"):
        integrator.setNumThreads(100000)
    with pytest.raises(openmm.OpenMMException, match="particle index can't be negative"):
        integrator.setParticles([0, -1])
    with pytest.raises(openmm.OpenMMException, match="atomic number must be positive"):
        integrator.setAtomicNumbers([0])
    with pytest.raises(openmm.OpenMMException, match="must join two different particles"):
        integrator.setBonds([(1, 1)])
    with pytest.raises(openmm.OpenMMException, match="no acceptance mode 7"):
        plain.setAcceptanceMode(7)
    with pytest.raises(openmm.OpenMMException, match="number of a jump can't be negative"):
        plain.setJumpIndex(-1)


@pytest.mark.parametrize(
    ("setter", "name"),
    [
        ("setProposalBatchSize", "proposal batch size"),
        ("setNumResampled", "number of resampled jumps"),
        ("setNumSubsteps", "number of substeps"),
        ("setNumThreads", "number of threads"),
        ("setRandomNumberSeed", "random number seed"),
    ],
)
def test_counts_are_whole_numbers(integrator, setter: str, name: str) -> None:
    for value in (2.5, "2", None):
        with pytest.raises(ConfigError, match=f"^{name} = {value!r} must be a whole number.$"):
            getattr(integrator, setter)(value)
    with pytest.raises(ConfigError, match=f"^{name} = {2**31} must lie between"):
        getattr(integrator, setter)(2**31)
    getattr(integrator, setter)(np.int64(2))
    assert getattr(integrator, setter.replace("set", "get"))() == 2


def test_unknown_metadata_is_named(integrator) -> None:
    with pytest.raises(openmm.OpenMMException, match="lacks the metadata colour"):
        integrator.getModelMetadata("colour")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda i: i.setGuidanceForceGroups({32}), "groups holds 32, and force groups are numbered 0 to 31"),
        (lambda i: i.setGuidanceForceGroups({-1}), "groups holds -1"),
        (lambda i: i.setGuidanceForceGroups({1.5}), "must be a whole number"),
        (lambda i: i.setGuidanceForceGroups("0"), "must be bit flags"),
        (lambda i: i.setGuidanceForceGroups(2**32), "must be 32 bit flags"),
        (lambda i: i.setParticles("012"), "must be a sequence of whole numbers"),
        (lambda i: i.setParticles([0.5]), "an entry of particles = 0.5 must be a whole number"),
        (lambda i: i.setParticles(3), "must be a sequence of whole numbers"),
        (lambda i: i.setAtomicNumbers(["1"]), "an entry of atomicNumbers = '1'"),
        (lambda i: i.setBonds([(0, 1, 2)]), "must be pairs"),
        (lambda i: i.setBonds(None), "bonds = None must be pairs"),
        (lambda i: i.setAcceptanceMode("exact"), "acceptance mode = 'exact' must be a whole number"),
        (lambda i: i.setGuidanceSource("openmm"), "guidance source = 'openmm' must be a whole number"),
        (lambda i: i.setNumSubsteps(2**31), "must lie between"),
        (lambda i: i.setGuidanceScale("1"), "guidance scale"),
        (lambda i: i.setJumpIndex(1.5), "jump index = 1.5 must be a whole number"),
        (lambda i: i.setJumpIndex(2**63), "must lie between"),
        (lambda i: i.step(1.5), "number of jumps = 1.5 must be a whole number"),
        (lambda i: i.step("1"), "must be a whole number"),
    ],
)
def test_values_of_the_wrong_kind_are_named(integrator, wrong, message: str) -> None:
    before = openmm.XmlSerializer.serialize(integrator)
    with pytest.raises(ConfigError, match=message):
        wrong(integrator)
    assert openmm.XmlSerializer.serialize(integrator) == before


def test_numbers_of_numpy_are_taken(integrator) -> None:
    integrator.setParticles(np.array([0, 2]))
    assert integrator.getParticles() == (0, 2)
    integrator.setGuidanceForceGroups(np.array([1, 3]).tolist())
    assert integrator.getGuidanceForceGroups() == 0b1010
    integrator.setGuidanceForceGroups(np.int64(5))
    assert integrator.getGuidanceForceGroups() == 5
    integrator.setGuidanceForceGroups({31})
    assert integrator.getGuidanceForceGroups() == -(2**31)


def test_steps_of_numpy_are_taken(toys) -> None:
    topology, system = free_atoms(3)
    _simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3))  # keeps the Context
    integrator.step(np.int64(2))
    assert integrator.getNumProposed() == 2


@pytest.mark.parametrize("topology", [None, "molecule.pdb"])
def test_no_topology(toys, topology) -> None:
    with pytest.raises(ConfigError, match=r"must be an openmm\.app\.Topology"):
        UniSimIntegrator(toys["ou"], topology, 300)


@pytest.mark.parametrize("particles", ["abc", [1.5], 2])
def test_particles_that_are_no_indices(toys, particles) -> None:
    with pytest.raises(ConfigError, match=r"must be a (whole number|sequence of whole numbers)"):
        UniSimIntegrator(toys["ou"], free_atoms(3)[0], 300, particles=particles)


def test_numbers_that_no_memory_holds(integrator) -> None:
    with pytest.raises(ModelDomainError, match="number of substeps can't be above 100000"):
        integrator.setNumSubsteps(2**31 - 1)
    with pytest.raises(openmm.OpenMMException, match="number of resampled jumps can't be above 100000"):
        integrator.setNumResampled(2**31 - 1)


@pytest.mark.parametrize("model", [None, 3, ["ala2"]])
def test_no_model(model) -> None:
    with pytest.raises(ConfigError, match="must be a registered name or a path"):
        UniSimIntegrator(model, free_atoms(3)[0], 300)
