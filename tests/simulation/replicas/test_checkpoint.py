"""Checkpoints of all copies: what follows is bit for bit what would have followed."""

import io

import numpy as np
import pytest

from openmm_unisim import ReplicaSimulation
from openmm_unisim.errors import CheckpointError
from tests.plugin.conftest import toys  # noqa: F401  (a fixture)
from tests.plugin.systems import add_wells, free_atoms
from tests.simulation.replicas.systems import ATOMS, PLATFORM, copies_of, run, starts


def stiffer_wells():
    """Topology and System of other wells than those of `copies_of`."""
    topology, system = free_atoms(ATOMS)
    add_wells(system, 9000.0)
    return topology, system


@pytest.mark.parametrize("acceptance", ["all", "quality", "metropolis"])
def test_a_checkpoint_continues_bit_for_bit(toys, acceptance, tmp_path):  # noqa: F811
    simulation = copies_of(toys["nan"], 3, acceptance=acceptance)
    simulation.step(4)
    simulation.saveCheckpoint(tmp_path / "replicas.chk")
    rest = run(simulation, 5)
    other = copies_of(toys["nan"], 3, starts(3, seed=9), acceptance=acceptance, randomNumberSeed=99)
    other.loadCheckpoint(str(tmp_path / "replicas.chk"))
    assert other.currentStep == 4
    np.testing.assert_array_equal(run(other, 5), rest)
    for copy in range(3):
        assert other.getCounts(copy) == simulation.getCounts(copy)
        assert other.getLastLogAcceptance(copy) == simulation.getLastLogAcceptance(copy)
    assert other.createCheckpoint() == simulation.createCheckpoint()


def test_streams_are_files_too(toys):  # noqa: F811
    simulation = copies_of(toys["ou"], 2)
    simulation.step(1)
    stream = io.BytesIO()
    simulation.saveCheckpoint(stream)
    stream.seek(0)
    other = copies_of(toys["ou"], 2)
    other.loadCheckpoint(stream)
    np.testing.assert_array_equal(other.positions, simulation.positions)


def test_checkpoints_that_do_not_fit_are_refused_by_name(toys):  # noqa: F811
    data = copies_of(toys["ou"], 2).createCheckpoint()
    for name, other in (
        ("numReplicas", copies_of(toys["ou"], 3)),
        ("firstReplica", copies_of(toys["ou"], 2, firstReplica=1)),
        ("model", copies_of(toys["euler"], 2)),
        ("temperature", copies_of(toys["ou"], 2, temperature=310.0)),
        ("numSubsteps", copies_of(toys["ou"], 2, numSubsteps=7)),
        ("acceptance", copies_of(toys["ou"], 2, acceptance="quality")),
    ):
        with pytest.raises(CheckpointError, match=f"made with {name} ="):
            other.setCheckpoint(data)
    elsewhere = copies_of(toys["ou"], 2)
    elsewhere.context.setParameter("k", 10.0)
    with pytest.raises(CheckpointError, match="made with parameters ="):
        elsewhere.setCheckpoint(data)
    other_field = ReplicaSimulation(*stiffer_wells(), toys["ou"], 2, PLATFORM, randomNumberSeed=7)
    other_field.setPositions(starts(2))
    with pytest.raises(CheckpointError, match="made with system ="):
        other_field.setCheckpoint(data)
    simulation = copies_of(toys["ou"], 2)
    for broken in (b"", b"rubbish", data[: len(data) // 2]):
        with pytest.raises(CheckpointError, match="no checkpoint of replicas"):
            simulation.setCheckpoint(broken)
