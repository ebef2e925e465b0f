"""Energy heads on the conditioned trunk: the field at x_t = x_0, its two forms, and its weights' names."""

import pytest
import torch

from openmm_unisim._plugin import operators_are_built
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import ConditionedField
from openmm_unisim.model.energy_field import EnergyField, PairEnergyField
from openmm_unisim.training.force_loss import forces

from ..conditioned_models import CONFIG

BONDS = torch.tensor([[0, 1], [1, 2], [2, 3], [1, 4]])
Z_INDEX = torch.tensor([0, 4, 4, 6, 0])


@pytest.fixture
def field() -> EnergyField:
    field = EnergyField(CONFIG, ["mmff94", "denoising"], torch.Generator().manual_seed(3)).double()
    generator = torch.Generator().manual_seed(4)
    for parameter in field.parameters():  # filters start as zero: let them count
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return field


@pytest.fixture
def molecule():
    adjacency = adjacency_matrix(BONDS, 5)
    return Z_INDEX, adjacency.double(), bond_distance(adjacency)


def positions(copies: int = 3) -> torch.Tensor:
    line = torch.tensor([[0, 0, 0], [1.1, 0, 0], [1.6, 1.4, 0], [2.6, 1.8, 0.9], [1.5, -0.7, 0.8]]).double()
    noise = torch.randn(copies, 5, 3, generator=torch.Generator().manual_seed(5)).double()
    return line + 0.1 * noise


def energies(field: EnergyField, molecule, head: str = "mmff94"):
    return lambda x, t: field.energies(x, t, *molecule, head)


def test_edges_at_rest_are_those_of_the_field_where_start_and_present_agree(field, molecule):
    x, t = positions(2), torch.tensor([0.0, 1.0]).double()
    _, reference = field.describe(*molecule)
    width = torch.sqrt(field.sigma**2 * (1 - t) + field.stiff_variance)
    pairs = field.pairs(molecule[2], reference.detach(), field.time_features(t), width)
    table = field.table(x)
    for mine, whole in zip(field.resting_edges(field, x, table, pairs), field.edges(x, x, t, table, pairs)):
        torch.testing.assert_close(mine, whole)
    still = torch.zeros(10, 3).double()
    again = field.refinement.edges(x, x, still, table, pairs)
    for mine, whole in zip(field.resting_edges(field.refinement, x, table, pairs), again):
        torch.testing.assert_close(mine, whole)


def test_energies_are_invariant_and_forces_sum_to_nothing(field, molecule):
    x, t = positions(), torch.ones(3).double()
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double())
    call = energies(field, molecule)
    torch.testing.assert_close(call(x @ rotation + 7.0, t), call(x, t))
    torch.testing.assert_close(forces(call, x @ rotation, t), forces(call, x, t) @ rotation)
    assert float(forces(call, x, t).sum(1).abs().max()) < 1e-10
    assert not torch.allclose(call(x, t), call(x, 0 * t))
    assert not torch.allclose(call(x, t), energies(field, molecule, "denoising")(x, t))


@pytest.mark.skipif(not operators_are_built(), reason="operators aren't built")
def test_operators_over_pairs_give_the_same_energies_forces_and_gradients(field, molecule):
    x, t = positions(), torch.tensor([0.0, 1.0, 1.0]).double()
    fast = PairEnergyField(field)
    results = []
    for network in (field, fast):
        call = energies(network, molecule)
        value = call(x, t)
        wanted = [w for w in field.parameters() if w.requires_grad]
        gradients = torch.autograd.grad(value.sum(), wanted, materialize_grads=True)
        results.append((value, forces(call, x, t), torch.cat([g.flatten() for g in gradients])))
    for plain, operators in zip(*results):
        torch.testing.assert_close(operators, plain, rtol=1e-9, atol=1e-9)


def test_a_vector_field_takes_over_everything_but_the_heads(field):
    own = {name: value.shape for name, value in field.state_dict().items()}
    wanted = {name: value.shape for name, value in ConditionedField(CONFIG).state_dict().items()}
    assert wanted.items() <= own.items()
    assert {name.split(".")[0] for name in own.keys() - wanted.keys()} == {"energy_heads"}


def test_what_energies_dont_depend_on_is_not_trained(field, molecule):
    value = energies(field, molecule)(positions(), torch.ones(3).double()).sum()
    value.backward()
    unread = {id(weight) for weight in field.untouched()}
    for name, weight in field.named_parameters():
        assert weight.requires_grad == (id(weight) not in unread), name
        elsewhere = "length_" in name or name.startswith("energy_heads.denoising") or ".second.bias" in name
        assert elsewhere or (weight.grad is not None) == weight.requires_grad, name
