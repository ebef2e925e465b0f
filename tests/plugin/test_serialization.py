"""XML, copies, pickles, checkpoints and States."""

import copy
import pickle  # openmm's own tests hold integrators to this protocol; nothing of ours is read from a pickle
import re

import numpy as np
import openmm
import pytest

from openmm_unisim import ConfigError, UniSimIntegrator
from tests.plugin.systems import add_wells, free_atoms, jumper, positions_of, random_positions, trajectory
from tests.toy_models import write_toy

N_ATOMS = 4


def make(model) -> UniSimIntegrator:
    """An integrator of which nothing is at its default."""
    integrator = UniSimIntegrator(model, free_atoms(N_ATOMS)[0], 310, 9, randomNumberSeed=77)
    integrator.setConstraintTolerance(1e-7)
    integrator.setIntegrationForceGroups(3)
    integrator.setGuidanceScale(0.5)
    integrator.setGuidanceForceGroups(6)
    integrator.setGuidanceForceLimit(500.0)
    integrator.setNumResampled(3)
    integrator.setProposalBatchSize(4)
    integrator.setAcceptanceMode(UniSimIntegrator.MetropolisHastings)
    integrator.setRandomizesVelocities(False)
    integrator.setNumThreads(3)
    integrator.setParticles([3, 1, 0])
    integrator.setAtomicNumbers([1, 6, 8])
    integrator.setBonds([(3, 1), (1, 0)])
    return integrator


GETTERS = (
    "ModelFile ModelHash LagTime StepSize ConstraintTolerance IntegrationForceGroups Temperature NumSubsteps "
    "GuidanceScale GuidanceForceGroups AcceptanceMode RandomizesVelocities RandomNumberSeed Particles "
    "AtomicNumbers Bonds NumThreads GuidanceSource GuidanceForceLimit NumResampled ProposalBatchSize"
).split()


def check_same(first: UniSimIntegrator, second: UniSimIntegrator) -> None:
    assert first is not second and first.this != second.this
    assert type(second) is UniSimIntegrator
    for name in GETTERS:
        assert getattr(first, "get" + name)() == getattr(second, "get" + name)(), name


def test_xml_round_trip(toys) -> None:
    integrator = make(toys["guided"])
    xml = openmm.XmlSerializer.serialize(integrator)
    plain = openmm.XmlSerializer.deserialize(xml)
    assert UniSimIntegrator.isinstance(plain)
    check_same(integrator, UniSimIntegrator.cast(plain))
    assert openmm.XmlSerializer.serialize(plain) == xml


def test_a_cast_integrator_survives_its_original(toys) -> None:
    plain = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(make(toys["guided"])))
    found = UniSimIntegrator.cast(plain)
    del plain
    assert found.getNumSubsteps() == 9
    with pytest.raises(ConfigError, match="no UniSimIntegrator"):
        UniSimIntegrator.cast(openmm.VerletIntegrator(0.001))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(toys, duplicate) -> None:
    integrator = make(toys["guided"])
    check_same(integrator, duplicate(integrator))


def test_copies_work_in_contexts(toys) -> None:
    topology, system = free_atoms(N_ATOMS)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(N_ATOMS))
    second = copy.deepcopy(integrator)
    context = openmm.Context(system, second, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(random_positions(N_ATOMS))
    del integrator
    simulation.step(2)
    second.step(2)
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    assert np.array_equal(positions, positions_of(simulation))
    assert context.getIntegrator() is second


def test_another_model_file_at_the_same_place_is_refused(tmp_path) -> None:
    path = write_toy(tmp_path / "model.unisim.pt", "ou")
    xml = openmm.XmlSerializer.serialize(UniSimIntegrator(path, free_atoms(2)[0], 300))
    write_toy(path, "ou", a=0.5)
    with pytest.raises(openmm.OpenMMException, match=r"not the one that is asked for \(its SHA-256 is"):
        openmm.XmlSerializer.deserialize(xml)
    path.write_bytes(b"no archive at all")  # the hash is compared before anything is interpreted
    with pytest.raises(openmm.OpenMMException, match=r"not the one that is asked for \(its SHA-256 is"):
        openmm.XmlSerializer.deserialize(xml)
    path.unlink()
    with pytest.raises(openmm.OpenMMException, match="can't be read"):
        openmm.XmlSerializer.deserialize(xml)


def test_unknown_version_and_foreign_xml_are_refused(toys) -> None:
    xml = openmm.XmlSerializer.serialize(make(toys["guided"]))
    with pytest.raises(openmm.OpenMMException, match="Unsupported version"):
        openmm.XmlSerializer.deserialize(xml.replace('version="4"', 'version="99"'))
    foreign = openmm.XmlSerializer.serialize(openmm.VerletIntegrator(0.001))
    with pytest.raises(openmm.OpenMMException, match="describes no UniSimIntegrator"):
        UniSimIntegrator.__new__(UniSimIntegrator).__setstate__(foreign)


def test_xml_from_before_guidance_sources_loads(toys) -> None:
    integrator = make(toys["guided"])
    xml = openmm.XmlSerializer.serialize(integrator).replace('version="4"', 'version="1"')
    for name in ("guidanceSource", "numResampled", "guidanceForceLimit", "proposalBatchSize"):
        xml = re.sub(rf' {name}="[^"]*"', "", xml)
    earlier = UniSimIntegrator.cast(openmm.XmlSerializer.deserialize(xml))
    assert earlier.getGuidanceSource() == UniSimIntegrator.OpenMMGuidance
    assert earlier.getGuidanceScale() == integrator.getGuidanceScale()
    assert earlier.getNumResampled() == 8


def test_copies_of_a_model_without_guidance_that_was_told_so(toys) -> None:
    integrator = UniSimIntegrator(toys["ou"], free_atoms(N_ATOMS)[0], 300)
    for source, scale in ((0, 0.0), (UniSimIntegrator.Resampling, 1.0), (0, 0.0)):
        integrator.setGuidanceSource(source)
        assert copy.copy(integrator).getGuidanceScale() == integrator.getGuidanceScale() == scale


def test_guidance_settings_survive_xml(toys) -> None:
    integrator = make(toys["guided"])
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    integrator.setNumResampled(5)
    integrator.setGuidanceForceLimit(321.5)
    integrator.setGuidanceForceGroups({1, 31})
    found = UniSimIntegrator.cast(
        openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(integrator))
    )
    assert found.getGuidanceSource() == UniSimIntegrator.Resampling and found.getGuidanceScale() == 0.5
    assert found.getNumResampled() == 5 and found.getGuidanceForceLimit()._value == 321.5
    assert found.getGuidanceForceGroups() & 0xFFFFFFFF == 2**31 + 2


def test_hash_is_the_sha256_of_the_file(toys) -> None:
    import hashlib

    expected = hashlib.sha256(toys["ou"].read_bytes()).hexdigest()
    assert UniSimIntegrator(toys["ou"], free_atoms(2)[0], 300).getModelHash() == expected


def start(toys, platform: str, seed: int = 21):
    topology, system = free_atoms(N_ATOMS)
    add_wells(system, 100.0)
    return jumper(toys["nan"], topology, system, random_positions(N_ATOMS), platform, seed)


def counters(integrator: UniSimIntegrator) -> tuple:
    return (
        integrator.getNumProposed(),
        integrator.getNumAccepted(),
        integrator.getNumNaN(),
        integrator.getLastLogAcceptance(),
        integrator.getJumpIndex(),
    )


def test_checkpoint_continues_identically(toys, platform, tmp_path) -> None:
    simulation, integrator = start(toys, platform)
    simulation.step(7)
    simulation.saveCheckpoint(str(tmp_path / "a.chk"))
    saved = counters(integrator)
    rest = trajectory(simulation, 5)

    other, fresh = start(toys, platform, seed=99)
    other.loadCheckpoint(str(tmp_path / "a.chk"))
    assert counters(fresh) == saved
    assert np.array_equal(trajectory(other, 5), rest)
    assert counters(fresh) == counters(integrator)
    assert other.currentStep == 12


def test_state_continues_identically(toys, platform, tmp_path) -> None:
    simulation, integrator = start(toys, platform)
    while integrator.getLastLogAcceptance() > -np.inf:  # minus infinity must survive the XML, too
        simulation.step(1)
    simulation.saveState(str(tmp_path / "a.xml"))
    saved = counters(integrator)
    rest = trajectory(simulation, 5)

    other, fresh = start(toys, platform, seed=99)
    other.loadState(str(tmp_path / "a.xml"))
    assert counters(fresh) == saved
    assert np.abs(trajectory(other, 5) - rest).max() < 1e-12


def test_state_of_another_integrator_can_be_loaded(toys) -> None:
    topology, system = free_atoms(N_ATOMS)
    other = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    other.setPositions(random_positions(N_ATOMS))
    state = other.getState(positions=True, velocities=True, integratorParameters=True)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(N_ATOMS, seed=1))
    simulation.context.setState(state)
    assert np.array_equal(positions_of(simulation), random_positions(N_ATOMS))
    simulation.step(1)
    assert integrator.getNumAccepted() == 1


def test_foreign_and_truncated_checkpoints_are_refused(toys) -> None:
    simulation, _ = start(toys, "Reference")
    checkpoint = simulation.context.createCheckpoint()
    with pytest.raises(openmm.OpenMMException, match="truncated"):
        simulation.context.loadCheckpoint(checkpoint[:-12])
    index = checkpoint.rindex(b"UniSimC4")
    with pytest.raises(openmm.OpenMMException, match="not made by this version"):
        simulation.context.loadCheckpoint(checkpoint[:index] + b"UniSimC9" + checkpoint[index + 8 :])
