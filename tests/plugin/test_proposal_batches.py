"""Several jumps proposed at once: the chain is the one without batches, whatever happens between the steps."""

import numpy as np
import openmm
import pytest

from openmm_unisim import UniSimIntegrator
from tests.plugin.systems import BOLTZMANN, add_wells, free_atoms, jumper, positions_of, random_positions

KT = BOLTZMANN * 300.0
STIFFNESS = 1.0 * KT / (0.02**2 / (1.0 - 0.7**2))  # of wells that accept about half of the toy's jumps
EXACT = {"acceptanceMode": UniSimIntegrator.MetropolisHastings}


def start(toys, number: int, name: str = "ou", platform: str = "Reference"):
    topology, system = free_atoms(3)
    add_wells(system, STIFFNESS)
    simulation, integrator = jumper(
        toys[name], topology, system, random_positions(3, spread=0.05), platform, seed=31, **EXACT
    )
    integrator.setProposalBatchSize(number)
    return simulation, integrator


def chain(simulation, integrator, steps: int) -> tuple[np.ndarray, list[float]]:
    frames, ratios = [], []
    for _ in range(steps):
        simulation.step(1)
        frames.append(positions_of(simulation))
        ratios.append(integrator.getLastLogAcceptance())
    return np.array(frames), ratios


@pytest.mark.parametrize("name", ["ou", "ou32", "guided", "nan"])
def test_the_chain_is_the_one_without_batches(toys, platform, name: str) -> None:
    """Every rejected proposal is a step that repeats the state: nothing is recorded once a batch."""
    found = {}
    for number in (1, 4):
        simulation, integrator = start(toys, number, name, platform)
        frames, ratios = chain(simulation, integrator, 30)
        counts = (integrator.getNumProposed(), integrator.getNumAccepted(), integrator.getNumNaN())
        found[number] = frames, ratios, counts
        assert simulation.context.getTime()._value == 30.0
    assert found[1][2] == found[4][2] and 0 < found[1][2][1] < 30
    assert np.abs(found[1][0] - found[4][0]).max() < 1e-5
    assert np.allclose(found[1][1], found[4][1], atol=2e-3)


def test_rejected_steps_need_no_new_paths(toys) -> None:
    calls = {}
    for number in (1, 8):
        simulation, integrator = start(toys, number)
        simulation.context.setPositions(np.zeros((3, 3)))
        simulation.context.setParameter("k", 1e7)  # nothing is accepted
        simulation.step(8)
        calls[number] = integrator.getTimings()["model_calls"]
        assert integrator.getNumAccepted() == 0
    n = integrator.getNumSubsteps()
    assert calls == {1: 8 * (n + 1), 8: n + 8}


def same_after(toys, change) -> None:
    """`change(simulation, integrator)` in the middle of a batch gives the chain that it gives without batches."""
    found = []
    for number in (1, 6):
        simulation, integrator = start(toys, number)
        first, _ = chain(simulation, integrator, 5)
        change(simulation, integrator)
        second, _ = chain(simulation, integrator, 8)
        found.append(np.concatenate([first, second]))
    assert np.abs(found[0] - found[1]).max() < 1e-9


def test_another_state_drops_what_was_proposed(toys) -> None:
    same_after(toys, lambda s, i: s.context.setPositions(random_positions(3, spread=0.03, seed=4)))
    same_after(toys, lambda s, i: s.context.setParameter("k", 0.5 * STIFFNESS))
    same_after(toys, lambda s, i: i.setNumSubsteps(7))
    same_after(toys, lambda s, i: i.setJumpIndex(100))
    same_after(toys, lambda s, i: i.setAcceptanceMode(UniSimIntegrator.AcceptAll))
    with pytest.warns(UserWarning, match="outside the 250 to 350 K"):
        same_after(toys, lambda s, i: i.setTemperature(360))


def test_checkpoints_hold_no_proposals_and_need_none(toys) -> None:
    simulation, integrator = start(toys, 5)
    simulation.step(3)
    checkpoint = simulation.context.createCheckpoint()
    expected, _ = chain(simulation, integrator, 12)
    simulation.context.loadCheckpoint(checkpoint)
    assert np.abs(chain(simulation, integrator, 12)[0] - expected).max() < 1e-9
    other, fresh = start(toys, 2)
    other.context.loadCheckpoint(checkpoint)
    assert np.abs(chain(other, fresh, 12)[0] - expected).max() < 1e-9


def test_the_number_is_a_setting(toys) -> None:
    _, integrator = start(toys, 6)
    xml = openmm.XmlSerializer.serialize(integrator)
    found = UniSimIntegrator.cast(openmm.XmlSerializer.deserialize(xml))
    assert found.getProposalBatchSize() == 6
    earlier = xml.replace('version="4"', 'version="2"').replace(' proposalBatchSize="6"', "")
    assert UniSimIntegrator.cast(openmm.XmlSerializer.deserialize(earlier)).getProposalBatchSize() == 1
    with pytest.raises(openmm.OpenMMException, match="0 jumps can't be proposed at once"):
        integrator.setProposalBatchSize(0)


TARGET = np.array([0.7, 0.2, 0.1])
PROPOSAL = np.array([0.2, 0.3, 0.5])  # independent of the state, and wrong


def three_states(m: int, batches: int, whole: bool, generator: np.random.Generator) -> np.ndarray:
    """Recorded shares of a three-state chain with batches of m proposals; `whole`: one frame a batch."""
    weight, state, seen = TARGET / PROPOSAL, 0, np.zeros(3)
    for _ in range(batches):
        proposed = generator.choice(3, size=m, p=PROPOSAL)
        uniform = generator.random(m)
        for candidate, u in zip(proposed, uniform):
            accepted = u < weight[candidate] / weight[state]
            state = int(candidate) if accepted else state
            seen[state] += not whole
            if accepted:
                break
        seen[state] += whole
    return seen / seen.sum()


def test_one_frame_a_batch_would_be_biased() -> None:
    """Why each decision is a step: the chain of batches, recorded once each, has another distribution."""
    generator = np.random.default_rng(1)
    assert np.abs(three_states(3, 20000, False, generator) - TARGET).max() < 0.015
    assert three_states(3, 20000, True, generator)[0] < TARGET[0] - 0.05
