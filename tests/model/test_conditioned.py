"""The conditioned field's optional parts: identity at the start, and what they see."""

import pytest
import torch

from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.interpolant.bridge import skip_scale
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import ConditionedConfig, ConditionedField
from openmm_unisim.model.embedding import AtomEmbedding
from openmm_unisim.model.global_filter import GlobalFilter
from openmm_unisim.system import load_molecule

SIZES = {
    "hidden": 40,
    "heads": 4,
    "layers": 2,
    "ffn": 16,
    "rbf": 6,
    "expand": 2,
    "edge_width": 8,
    "place_width": 8,
}
ADDED = {"filters": 5, "refine_layers": 1, "refine_rbf": 9}


@pytest.fixture(scope="module")
def molecule():
    loaded = load_molecule("ACE-ALA-NME")
    numbers = torch.from_numpy(loaded.atomic_numbers)
    adjacency = adjacency_matrix(torch.from_numpy(loaded.bonds), len(numbers))
    positions = torch.from_numpy(loaded.positions).float() * 10
    return positions, torch.tensor(vocabulary_lookup())[numbers], adjacency, bond_distance(adjacency)


def end_points(
    field: ConditionedField, molecule, seed: int = 0, turn: torch.Tensor | None = None
) -> torch.Tensor:
    """End points of three copies at three times, with `turn` applied to all inputs and undone on the output."""
    positions, z, adjacency, distance = molecule
    generator = torch.Generator().manual_seed(seed)
    start = positions + 0.05 * torch.randn(3, *positions.shape, generator=generator)
    start = start - start.mean(1, keepdim=True)
    now = start + 0.2 * torch.randn(start.shape, generator=generator)
    turn = torch.eye(3) if turn is None else turn
    t = torch.tensor([0.01, 0.3, 0.95])
    with torch.no_grad():
        return field(now @ turn, start @ turn, t, 20.0, z, adjacency, distance)[0] @ turn.T


def test_added_parts_start_as_the_identity_and_the_rest_keeps_its_names(molecule):
    plain = ConditionedField(ConditionedConfig(**SIZES), torch.Generator().manual_seed(1))
    added = ConditionedField(ConditionedConfig(**SIZES, **ADDED), torch.Generator().manual_seed(9))
    missing = added.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert {name.split(".")[0] for name in missing.missing_keys} == {"filters", "refinement"}
    assert torch.allclose(end_points(added, molecule), end_points(plain, molecule), atol=1e-6)


@pytest.mark.parametrize(
    "part", ["filters.0.second.weight", "filters.1.second.weight", "refinement.head.second.weight"]
)
def test_each_added_part_acts_and_is_equivariant(molecule, part):
    field = ConditionedField(ConditionedConfig(**SIZES, **ADDED), torch.Generator().manual_seed(1))
    before = end_points(field, molecule)
    weight = field.get_parameter(part)
    weight.data = 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    after = end_points(field, molecule)
    assert (after - before).abs().max() > 1e-4
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)))  # may reflect
    assert torch.allclose(end_points(field, molecule, turn=turn), after, atol=2e-4)


class Unprojected(ConditionedField):
    """Without P, which makes end points depend on x_0 however little the network knows of it."""

    def projected(self, prediction, initial):
        return prediction


@pytest.mark.parametrize("conditioned", [True, False])
def test_x0_is_withheld_from_the_network_where_that_is_asked_for(molecule, conditioned):
    """Its own part, end point less x_0 + a (x_t - x_0), is then the same for any x_0; the second pass acts, too."""
    config = ConditionedConfig(**SIZES, **ADDED, conditioned=conditioned)
    field = Unprojected(config, torch.Generator().manual_seed(1))
    for name in ("filters.0.second.weight", "refinement.head.second.weight"):
        torch.nn.init.normal_(field.get_parameter(name), std=0.3, generator=torch.Generator().manual_seed(2))
    positions, z, adjacency, distance = molecule
    generator, t = torch.Generator().manual_seed(0), torch.tensor([0.01, 0.3, 0.95])
    now = positions + 0.2 * torch.randn(3, *positions.shape, generator=generator)
    skip = skip_scale(t, field.sigma, field.displacement).view(-1, 1, 1)
    found = []
    for _ in range(2):
        start = positions + 0.2 * torch.randn(now.shape, generator=generator)
        with torch.no_grad():
            end, _ = field(now, start, t, 20.0, z, adjacency, distance)
        found.append(end - start - skip * (now - start))
    assert found[0].abs().max() > 1e-2
    assert torch.allclose(*found, atol=1e-5) != conditioned


def test_one_row_of_the_expansion_knows_nothing_of_the_surroundings():
    trunk = ConditionedConfig(**(SIZES | {"expand": 1})).trunk()
    embedding = AtomEmbedding(trunk, torch.Generator().manual_seed(1))
    seen = torch.randn(5, 2 * trunk.hidden, generator=torch.Generator().manual_seed(2))
    assert torch.equal(torch.softmax(embedding.expansion_weight(seen), 1), torch.ones(5, 1))


def test_the_filter_sees_the_sum_over_the_molecule():
    """One channel, identity weights: the signal is sum_i w_i . v_i / sqrt(n), the same for every atom of a copy."""
    layer = GlobalFilter(2, 1)
    layer.direction.weight.data = torch.tensor([[1.0, 0.0]])
    layer.first.weight.data = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    layer.second.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    vectors = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    observed = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    found = layer(torch.zeros(6, 2), vectors, observed, 2)
    signal = (observed * vectors[:, :, 0]).sum(1).view(2, 3).sum(1) / 3**0.5
    expected = torch.nn.functional.silu(signal).repeat_interleave(3)
    assert torch.allclose(found[:, 0], expected, atol=1e-6) and (found[:, 1] == 0).all()
