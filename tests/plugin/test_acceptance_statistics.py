"""Statistics of acceptance ratios: against the twin, over checkpoints and States, and as users see them."""

import math

import numpy as np
import pytest

from openmm_unisim import UniSimIntegrator
from openmm_unisim.acceptance import AcceptanceCounts, describe_acceptance
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.exactness import PathMetropolis
from openmm_unisim.simulation.reference import ReferenceJump
from tests.plugin.systems import BOLTZMANN, add_wells, free_atoms, jumper, random_positions

STIFFNESS = 1.0 * BOLTZMANN * 300.0 / (0.02**2 / (1.0 - 0.7**2))
EXACT = {"acceptanceMode": UniSimIntegrator.MetropolisHastings}


def start(toys, name: str = "ou", **settings):
    topology, system = free_atoms(3)
    add_wells(system, STIFFNESS)
    return jumper(toys[name], topology, system, random_positions(3, spread=0.05), seed=31, **settings)


def test_they_are_those_of_the_twin(toys) -> None:
    simulation, integrator = start(toys, **EXACT)
    jump = ReferenceJump(toys["ou"], atomic_numbers=[1] * 3, temperature=300.0)
    energy = lambda x: 0.5 * STIFFNESS * (x**2).sum(axis=(1, 2))  # noqa: E731
    chain = JumpChain(
        jump, random_positions(3, spread=0.05)[None], 31, acceptance=PathMetropolis(jump, energy)
    )
    ratios = [frame.log_acceptance[0] for frame in chain.run(40)]
    simulation.step(40)
    found, expected = integrator.getAcceptanceStatistics(), chain.judged.describe()
    assert found["judged"] == 40 and found["histogram"] == expected["histogram"]
    assert found["mean_acceptance"] == pytest.approx(np.minimum(1, np.exp(ratios)).mean(), abs=1e-6)
    assert found["quantiles"]["0.5"] == pytest.approx(np.median(ratios), abs=1.0)
    assert found["edges"] == expected["edges"]


def test_proposals_that_are_not_finite_are_judged_too(toys) -> None:
    simulation, integrator = start(toys, "nan", **EXACT)
    simulation.step(20)
    found = integrator.getAcceptanceStatistics()
    assert found["judged"] == 20 and found["histogram"][0] >= integrator.getNumNaN() > 0


def test_jumps_that_are_not_judged_do_not_count(toys) -> None:
    simulation, integrator = start(toys)
    simulation.step(3)
    found = integrator.getAcceptanceStatistics()
    assert found["judged"] == 0 and math.isnan(found["mean_acceptance"])
    assert math.isnan(found["quantiles"]["0.5"]) and sum(found["histogram"]) == 0


def test_checkpoints_and_states_hold_them(toys, tmp_path) -> None:
    simulation, integrator = start(toys, **EXACT)
    simulation.step(12)
    saved = integrator.getAcceptanceStatistics()
    checkpoint = simulation.context.createCheckpoint()
    simulation.saveState(str(tmp_path / "state.xml"))
    for load in (
        lambda: simulation.context.loadCheckpoint(checkpoint),
        lambda: simulation.loadState(str(tmp_path / "state.xml")),
    ):
        integrator.resetCounters()
        assert integrator.getAcceptanceStatistics()["judged"] == 0
        load()
        assert integrator.getAcceptanceStatistics() == saved


def test_quantiles_of_the_bins() -> None:
    counts = AcceptanceCounts()
    counts.add([-100.0, -np.inf, np.nan, -2.5, -2.5, -2.5, 20.0, 0.0])
    found = counts.describe()
    assert found["judged"] == 8
    assert found["quantiles"] == {
        "0.05": -np.inf,
        "0.25": -np.inf,
        "0.5": -3 + 1 / 3,
        "0.75": -2.0,
        "0.95": np.inf,
    }
    assert found["quantile_resolution"] == 1.0
    assert describe_acceptance(0, 0.0, [0.0], [0, 0])["quantiles"]["0.5"] != 0.0
    assert found["mean_acceptance"] == pytest.approx((3 * math.exp(-2.5) + 2) / 8)
