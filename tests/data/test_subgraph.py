"""Centres, environments, gradient regions and weights of subgraphs."""

import pytest
import torch

from openmm_unisim.data.subgraph import choose_centre, cut
from openmm_unisim.errors import ConfigError, NonFiniteError


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int) -> torch.Tensor:
    return 10.0 * torch.rand(n, 3, generator=generator(n), dtype=torch.float64)


def test_regions_are_balls_about_the_centre():
    positions = cloud(300)
    found = cut(positions, 17, 5.0, 2.5)
    far = (positions - positions[17]).norm(dim=1)
    assert torch.equal(found.atoms, torch.nonzero(far < 5.0).squeeze(1))
    assert torch.equal(found.gradient, far[found.atoms] < 2.5)
    assert found.centre == 17 and 0 < int(found.gradient.sum()) < len(found.atoms) < 300


def test_an_atom_exactly_at_a_radius_is_outside():
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    found = cut(line, 0, 2.0, 1.0)
    assert found.atoms.tolist() == [0, 1] and found.gradient.tolist() == [True, False]


def test_every_atom_counts_the_same_over_all_centres():
    positions = cloud(120)
    total = torch.zeros(120, dtype=torch.float64)
    for centre in range(120):
        found = cut(positions, centre, 6.0, 3.0)
        total[found.atoms] += found.weights
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("n_atoms", [1, 999, 1000, 1001, 2000])
def test_any_number_of_atoms_has_centres(n_atoms):
    """Multiples of 1,000 crash the published code; the lone atom of a last block is always its centre there."""
    source = generator()
    drawn = torch.tensor([choose_centre(n_atoms, source) for _ in range(4000)])
    assert 0 <= int(drawn.min()) and int(drawn.max()) < n_atoms
    tenths = torch.bincount(10 * drawn // n_atoms, minlength=10)
    if n_atoms > 1:  # binomial, 4,000 draws: 400 +- 19
        assert int((tenths - 400).abs().max()) < 5 * 19


def test_centres_resume_with_their_generator():
    source = generator()
    first = [choose_centre(5000, source) for _ in range(3)]
    state = source.get_state()
    rest = [choose_centre(5000, source) for _ in range(3)]
    resumed = generator(9)
    resumed.set_state(state)
    assert [choose_centre(5000, resumed) for _ in range(3)] == rest != first


def test_radii_and_positions_that_make_no_sense_are_errors():
    positions = cloud(10)
    for environment, gradient in ((8.0, 20.0), (5.0, 0.0), (5.0, -1.0)):
        with pytest.raises(ConfigError, match="gradient_radius"):
            cut(positions, 0, environment, gradient)
    positions[3, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="no subgraph can be cut"):
        cut(positions, 0, 5.0, 3.0)
