"""XML, copies, checkpoints and States"""

import copy
import pickle  # as openmm's own tests hold integrators to this protocol

import numpy as np
import openmm
import pytest
from openmm import app

from openmm_unisim import JumpWarning, UniSimIntegrator
from tests.platforms.systems import Setup, dipeptide, jumps, solution
from tests.plugin.systems import (
    add_wells,
    free_atoms,
    jumper,
    make_platform,
    positions_of,
    random_positions,
    trajectory,
)
from tests.toy_models import write_toy

COPIES = {
    "XML": lambda x: UniSimIntegrator.cast(
        openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(x))
    ),
    "`copy.copy`": copy.copy,
    "`copy.deepcopy`": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}


def counters(integrator: UniSimIntegrator) -> tuple:
    """All that a checkpoint has to hold."""
    return (
        integrator.getNumProposed(), integrator.getNumAccepted(), integrator.getNumNaN(), integrator.getJumpIndex(),
        integrator.getLastLogAcceptance(), integrator.getAcceptanceStatistics()["judged"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "way", [pytest.param(k, marks=pytest.mark.feature(f"integrator through {k}")) for k in COPIES]
)
def test_a_copy_makes_the_same_jump(platform: str, way: str) -> None:
    setup = dipeptide("obc2", "HBonds")
    simulation, integrator = jumps(setup, platform, numSubsteps=0)
    copied = COPIES[way](integrator)
    assert type(copied) is UniSimIntegrator and copied.getModelHash() == integrator.getModelHash()
    other = app.Simulation(setup.topology, setup.system, copied, *make_platform(platform))
    other.context.setPositions(setup.positions)
    simulation.step(1)
    other.step(1)
    assert np.array_equal(positions_of(other), positions_of(simulation))
    assert isinstance(other.context.getIntegrator(), UniSimIntegrator)


@pytest.mark.feature("System, integrator and State from XML files")
def test_everything_from_xml(toys, platform: str, tmp_path) -> None:
    """What a cluster's job script reads."""
    setup = dipeptide()
    simulation, integrator = jumps(setup, platform)
    simulation.step(1)
    simulation.saveState(str(tmp_path / "state.xml"))
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(setup.system), encoding="utf-8")
    (tmp_path / "integrator.xml").write_text(openmm.XmlSerializer.serialize(integrator), encoding="utf-8")
    simulation.step(1)
    system = openmm.XmlSerializer.deserialize((tmp_path / "system.xml").read_text(encoding="utf-8"))
    plain = openmm.XmlSerializer.deserialize((tmp_path / "integrator.xml").read_text(encoding="utf-8"))
    other = app.Simulation(setup.topology, system, UniSimIntegrator.cast(plain), *make_platform(platform))
    other.loadState(str(tmp_path / "state.xml"))
    other.step(1)
    assert np.abs(positions_of(other) - positions_of(simulation)).max() < 1e-6
    assert other.integrator.getNumProposed() == 2


@pytest.mark.feature("another model file in the place of the one that XML names", outcome="refused")
def test_another_model(platform: str, tmp_path) -> None:
    path = write_toy(tmp_path / "model.unisim.pt", "ou")
    topology, system = free_atoms(2)
    _, integrator = jumper(path, topology, system, random_positions(2), platform)
    xml = openmm.XmlSerializer.serialize(integrator)
    write_toy(path, "ou", a=0.5)
    with pytest.raises(openmm.OpenMMException, match="its SHA-256 is"):
        openmm.XmlSerializer.deserialize(xml)


@pytest.mark.feature("XML of an unknown version", outcome="refused")
def test_unknown_version(toys, platform: str) -> None:
    topology, system = free_atoms(2)
    _, integrator = jumper(toys["ou"], topology, system, random_positions(2), platform)
    xml = openmm.XmlSerializer.serialize(integrator)
    with pytest.raises(openmm.OpenMMException, match="Unsupported version"):
        openmm.XmlSerializer.deserialize(xml.replace('version="4"', 'version="99"'))


@pytest.mark.feature("checkpoint, to the last bit")
@pytest.mark.parametrize("where", ["molecule", "water"])
def test_checkpoint(platform: str, where: str) -> None:
    """Into a fresh Context with another seed."""
    setup = dipeptide() if where == "molecule" else solution()
    number = 3 if where == "molecule" else 1
    simulation, integrator = jumps(setup, platform)
    simulation.step(number)
    checkpoint, saved = simulation.context.createCheckpoint(), counters(integrator)
    rest = trajectory(simulation, number)
    other, fresh = jumps(setup, platform, seed=99)
    other.context.loadCheckpoint(checkpoint)
    assert counters(fresh) == saved
    assert np.array_equal(trajectory(other, number), rest) and counters(fresh) == counters(integrator)


@pytest.mark.feature("checkpoint of a `CompoundIntegrator`, counters included")
def test_checkpoint_of_a_compound_integrator(toys, platform: str) -> None:
    found = []
    checkpoint = None
    for seed in (21, 99):
        topology, system = free_atoms(4)
        add_wells(system, 500.0)
        compound = openmm.CompoundIntegrator()
        compound.addIntegrator(openmm.VerletIntegrator(0.001))
        compound.addIntegrator(UniSimIntegrator(toys["nan"], topology, 300, randomNumberSeed=seed))
        simulation = app.Simulation(topology, system, compound, *make_platform(platform))
        simulation.context.setPositions(random_positions(4))
        compound.setCurrentIntegrator(1)
        if checkpoint is None:
            compound.step(5)
            checkpoint = simulation.context.createCheckpoint()
        else:
            simulation.context.loadCheckpoint(checkpoint)
        compound.step(3)
        compound.setCurrentIntegrator(0)
        compound.step(4)
        found.append((positions_of(simulation), counters(UniSimIntegrator.cast(compound.getIntegrator(1)))))
    assert np.array_equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]
    assert found[0][1][0] == 8


@pytest.mark.feature("State XML, counters included")
def test_state(toys, platform: str, tmp_path) -> None:
    topology, system = free_atoms(4)
    start = random_positions(4)
    simulation, integrator = jumper(toys["nan"], topology, system, start, platform, seed=21)
    while integrator.getNumNaN() == 0:  # minus infinity has to survive the XML, too
        simulation.step(1)
    simulation.saveState(str(tmp_path / "a.xml"))
    saved, rest = counters(integrator), trajectory(simulation, 4)
    other, fresh = jumper(toys["nan"], topology, system, start, platform, seed=99)
    other.loadState(str(tmp_path / "a.xml"))
    assert counters(fresh) == saved
    assert np.abs(trajectory(other, 4) - rest).max() < 1e-6 and counters(fresh) == counters(integrator)


@pytest.mark.feature("State of another integrator (MD before jumps)")
def test_state_of_md(platform: str) -> None:
    setup = dipeptide()
    md = openmm.Context(setup.system, openmm.VerletIntegrator(0.001), *make_platform(platform))
    md.setPositions(setup.positions)
    state = md.getState(positions=True, velocities=True, integratorParameters=True)
    simulation, integrator = jumps(
        Setup(setup.topology, setup.system, setup.positions + 1.0, setup.solute), platform
    )
    simulation.context.setState(state)
    assert np.abs(positions_of(simulation) - setup.positions).max() < 1e-5
    simulation.step(1)
    assert integrator.getNumAccepted() == 1


@pytest.mark.feature("a truncated checkpoint, or another integrator's", outcome="refused")
def test_bad_checkpoints(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(3), platform)
    checkpoint = simulation.context.createCheckpoint()
    with pytest.raises(openmm.OpenMMException):
        simulation.context.loadCheckpoint(checkpoint[:-12])
    other = openmm.Context(system, openmm.VerletIntegrator(0.001), *make_platform(platform))
    other.setPositions(random_positions(3))
    with pytest.raises(openmm.OpenMMException):
        simulation.context.loadCheckpoint(other.createCheckpoint())


@pytest.mark.feature("a checkpoint of another model", outcome="refused")
def test_a_checkpoint_of_another_model(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(3), platform)
    simulation.step(2)
    other, _ = jumper(toys["nan"], topology, system, random_positions(3), platform)
    with pytest.raises(openmm.OpenMMException, match="is not the model that the checkpoint was made with"):
        other.context.loadCheckpoint(simulation.context.createCheckpoint())


@pytest.mark.feature("jumps after a checkpoint that was refused halfway", outcome="refused")
@pytest.mark.parametrize("compound", [False, True])
def test_no_jump_from_half_a_checkpoint(toys, platform: str, compound: bool) -> None:
    """OpenMM has put positions and time into the Context when the integrator reads its part."""
    topology, system = free_atoms(3)
    jump = UniSimIntegrator(toys["ou"], topology, 300)
    integrator = openmm.CompoundIntegrator() if compound else jump
    if compound:
        integrator.addIntegrator(jump)
    simulation = app.Simulation(topology, system, integrator, *make_platform(platform))
    simulation.context.setPositions(random_positions(3))
    simulation.step(2)
    whole = simulation.context.createCheckpoint()
    place = whole.rindex(b"UniSimC4") + 8
    foreign = whole[:place] + b"0" * 64 + whole[place + 64 :]
    for mend in ("positions", "checkpoint", "state"):
        state = simulation.context.getState(positions=True, velocities=True)
        with pytest.raises(openmm.OpenMMException, match="is not the model"):
            simulation.context.loadCheckpoint(foreign)
        with pytest.raises(openmm.OpenMMException, match="A checkpoint was refused when its positions"):
            simulation.step(1)
        if mend == "positions":
            simulation.context.setPositions(random_positions(3))
        elif mend == "checkpoint":
            simulation.context.loadCheckpoint(whole)
        else:
            simulation.context.setState(state)
        simulation.step(1)


@pytest.mark.feature("a State of another model: positions are taken, counts are not", outcome="warned")
def test_a_state_of_another_model(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    simulation, _ = jumper(toys["shift"], topology, system, random_positions(3), platform)
    simulation.step(2)
    state = simulation.context.getState(positions=True, velocities=True, integratorParameters=True)
    other, integrator = jumper(toys["ou"], topology, system, random_positions(3) + 1.0, platform)
    other.context.setState(state)
    assert np.abs(positions_of(other) - positions_of(simulation)).max() < 1e-5
    assert integrator.getNumProposed() == 0
    with pytest.warns(JumpWarning, match="The State was made with another model"):
        other.step(1)
    assert integrator.getNumProposed() == 1
