"""Pairs drawn by weight."""

import pytest
import torch

from openmm_unisim.data.pairs import PairSampler, PairSource
from openmm_unisim.data.weighted_pairs import WeightedPairSampler


@pytest.fixture
def sampler() -> PairSampler:
    """Two walkers of three atoms in a row; the second is no equilibrium."""
    generator = torch.Generator().manual_seed(0)
    row = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [3.0, 0.5, 0]])
    walkers = [row + 0.1 * torch.randn(n, 3, 3, generator=generator) for n in (6, 4)]
    numbers, bonds = torch.tensor([6, 6, 8]), torch.tensor([[0, 1], [1, 2]])
    return PairSampler(PairSource("x", walkers, numbers, bonds, 1.0, {}, {}, [True, False]), 2.0)


def test_every_pair_is_listed_each_way_that_it_may_be_drawn(sampler):
    first, second = sampler.directed()
    found = set(zip(first.tolist(), second.tolist()))
    forth = {(0, 2), (1, 3), (2, 4), (3, 5), (6, 8), (7, 9)}
    assert found == forth | {(b, a) for a, b in forth if a < 6}
    assert sampler.walkers == [0, 1]


def test_means_over_drawn_pairs_are_those_over_all(sampler):
    first, _ = sampler.directed()
    weights = torch.linspace(0.0, 6.0, len(first), dtype=torch.float64) ** 2
    weights = weights / weights.mean()
    weighted = WeightedPairSampler(sampler, weights)
    drawn = weighted.draw(40_000, torch.Generator().manual_seed(1))
    assert float(drawn.weight.max()) <= 2.0 and float(drawn.baseline.max()) <= 2.0
    assert float(drawn.weight.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(drawn.baseline.mean()) == pytest.approx(1.0, abs=0.02)
    length = torch.stack([(frame[0] - frame[2]).norm() for frame in sampler.frames])[first].double()
    of_drawn = (drawn.pair.start[:, 0] - drawn.pair.start[:, 2]).norm(dim=1)
    assert float((drawn.weight * of_drawn).mean()) == pytest.approx(
        float((weights * length).mean()), rel=0.02
    )
    assert float((drawn.baseline * of_drawn).mean()) == pytest.approx(float(length.mean()), rel=0.02)
    tilted = weighted.draw_by_weight(40_000, torch.Generator().manual_seed(2)).start
    mean = (tilted[:, 0] - tilted[:, 2]).norm(dim=1).mean()
    assert float(mean) == pytest.approx(float((weights * length).mean()), rel=0.01)
