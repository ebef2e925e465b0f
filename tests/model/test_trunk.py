"""The trunk's building blocks, with several vectors per edge, against plain loops; layouts; scripting."""

import pytest
import torch
from torch.nn.functional import silu

from openmm_unisim.errors import UnknownElementError
from openmm_unisim.model.attention import EquivariantAttention
from openmm_unisim.model.config import TrunkConfig
from openmm_unisim.model.embedding import AtomEmbedding, ElementIndex
from openmm_unisim.model.graph import NeighbourTable, full_table
from openmm_unisim.model.heads import GatedVectorHead
from openmm_unisim.model.radial import ExpNormRadial, cosine_envelope
from openmm_unisim.model.transformer import Trunk

from .molecules import SMALL, random_molecules, random_rotation, shake

W = 3


def config(**changes):
    return TrunkConfig(**{**SMALL, "edge_vectors": W, "edge_features": 5, **changes})


def inputs(table, seed=0, width=W):
    """Random scalars, vectors, edge features, edge vectors, envelope for a table; float64."""
    generator = torch.Generator().manual_seed(seed)
    n, slots = table.index.shape

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    edges = (
        normal(n, slots, 5),
        normal(n, slots, 3, width),
        torch.rand(n, slots, generator=generator).double(),
    )
    return normal(n, 16), normal(n, 3, 16), *edges


def loop_attention(layer, x, vectors, table, features, arrows, envelope, smooth):
    """Spec section 4.4, atom by atom and head by head."""
    heads, size, hidden = layer.heads, layer.head_size, layer.hidden
    normed = layer.norm(x)
    query, key, value = layer.query(normed), layer.key(normed), layer.value(normed)
    y, big_y = torch.zeros_like(x), torch.zeros_like(vectors)
    for i in range(len(x)):
        for k in range(table.index.shape[1]):
            if not table.mask[i, k]:
                continue
            j = int(table.index[i, k])
            key_filter = silu(layer.key_filter(features[i, k]))
            value_filter = silu(layer.value_filter(features[i, k]))
            for h in range(heads):
                own = slice(h * size, (h + 1) * size)
                a = silu((query[i, own] * key[j, own] * key_filter[own]).sum()) * envelope[i, k]
                part = slice(h * layer.parts * size, (h + 1) * layer.parts * size)
                split = (value[j, part] * value_filter[part]).view(layer.parts, size)
                y[i, own] += split[0] * a
                message = vectors[j][:, own] * split[1]
                for w in range(arrows.shape[-1]):
                    message = message + arrows[i, k, :, w, None] * split[2 + w]
                big_y[i, :, own] += message * (envelope[i, k] if smooth else 1.0)
    v1, v2, v3 = layer.mix(vectors).split(hidden, -1)
    o1, o2, o3 = layer.output(y).split(hidden, -1)
    return x + (v1 * v2).sum(1) * o2 + o3, vectors + v3 * o1[:, None] + big_y


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("width", [1, W])
def test_attention_is_the_specification(smooth, width):
    table = random_molecules(1, (7, 5)).table()
    layer = shake(EquivariantAttention(config(edge_vectors=width, vector_envelope=smooth)), 1)
    values = inputs(table, width=width)
    with torch.no_grad():
        ours = layer(*values[:2], table, *values[2:])
        expected = loop_attention(layer, *values[:2], table, *values[2:], smooth)
    torch.testing.assert_close(ours, expected)


def test_embedding_is_the_specification():
    molecules = random_molecules(2)
    table = molecules.table()
    module = shake(AtomEmbedding(config(extra_scalars=2)), 2)
    _, _, features, _, envelope = inputs(table)
    extra = torch.rand(
        len(molecules.z_index), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )
    with torch.no_grad():
        ours = module(molecules.z_index, extra, table, features, envelope)
        for i in range(len(extra)):
            own = torch.cat([module.element.weight[molecules.z_index[i]], extra[i]])
            near = torch.zeros(16, dtype=torch.float64)
            for k in range(table.index.shape[1]):
                j = int(table.index[i, k])
                if table.mask[i, k] and j != i:
                    other = module.neighbour_element.weight[molecules.z_index[j]]
                    near += module.edge(features[i, k]) * envelope[i, k] * other
            weights = torch.softmax(module.expansion_weight(torch.cat([own, near])), 0)
            expanded = weights @ module.expansion[molecules.z_index[i]]
            torch.testing.assert_close(ours[i], module.combine(torch.cat([own, expanded, near])))


def test_block_table_equals_general_table():
    block = full_table(3, 4, torch.device("cpu"))
    general = NeighbourTable(block.index, block.mask, 0)
    trunk = shake(Trunk(config()), 3)
    embedding = shake(AtomEmbedding(config()), 3)
    values = [value.requires_grad_() for value in inputs(block)]
    weight = inputs(block, 9)[1]
    z_index, extra = torch.arange(12) % 5, torch.ones(12, 1, dtype=torch.float64)
    results = []
    for table in (block, general):
        embedded = embedding(z_index, extra, table, values[2], values[4])
        scalars, vectors = trunk(embedded + values[0], values[1], table, *values[2:])
        gradients = torch.autograd.grad((vectors * weight).sum() + scalars.square().sum(), values)
        results.append([scalars, vectors, *gradients])
    torch.testing.assert_close(results[0], results[1])


def test_padded_slots_contribute_nothing():
    molecules = random_molecules(3)
    narrow, wide = molecules.table(), molecules.table(width=40)
    extra_slots = wide.index.shape[1] - narrow.index.shape[1]
    assert extra_slots > 0
    trunk = shake(Trunk(config()), 4)
    values = [value.requires_grad_() for value in inputs(narrow)]
    rubbish = inputs(wide, 8)[2:]
    padded = [torch.cat([v, r[:, -extra_slots:]], 1) for v, r in zip(values[2:], rubbish)]
    for tensor in padded:
        tensor.retain_grad()
    unpadded_result = trunk(*values[:2], narrow, *values[2:])
    result = trunk(*values[:2], wide, *padded)
    torch.testing.assert_close(result, unpadded_result)
    gradients = torch.autograd.grad(result[0].square().sum() + result[1].square().sum(), padded)
    for gradient in gradients:
        assert torch.all(gradient[~wide.mask] == 0)


@pytest.mark.parametrize("reflect", [False, True])
def test_trunk_with_many_edge_vectors_is_equivariant(reflect):
    table = random_molecules(5).table()
    trunk, head = shake(Trunk(config()), 5), shake(GatedVectorHead(16, 24, 6, True), 6)
    scalars, vectors, features, arrows, envelope = inputs(table)
    turn = random_rotation(1) * (-1.0 if reflect else 1.0)
    with torch.no_grad():
        plain = head(*trunk(scalars, vectors, table, features, arrows, envelope))
        turned_vectors = torch.einsum("ab,nbc->nac", turn, vectors)
        turned_arrows = torch.einsum("ab,nkbw->nkaw", turn, arrows)
        turned = head(*trunk(scalars, turned_vectors, table, features, turned_arrows, envelope))
    torch.testing.assert_close(turned[0], plain[0])
    torch.testing.assert_close(turned[1], torch.einsum("ab,nbc->nac", turn, plain[1]))


def test_scripted_blocks_equal_eager():
    table = random_molecules(6).table()
    block = full_table(2, 11, torch.device("cpu"))
    trunk = shake(Trunk(config()), 7)
    scripted = torch.jit.script(trunk)
    for each in (table, block):
        values = inputs(each)
        for _ in range(3):  # the profiling executor specialises after the first calls
            other = scripted(*values[:2], each, *values[2:])
        torch.testing.assert_close(other, trunk(*values[:2], each, *values[2:]))


def test_compiled_trunk_equals_eager_without_graph_breaks():
    table = full_table(2, 4, torch.device("cpu"))
    trunk, values = shake(Trunk(config()), 7), inputs(table)
    compiled = torch.compile(trunk, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        compiled(*values[:2], table, *values[2:]), trunk(*values[:2], table, *values[2:])
    )


def test_head_is_finite_where_vectors_vanish():
    head = shake(GatedVectorHead(16, 24, 4, True), 8)
    scalars = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    vectors = torch.zeros(3, 3, 16, dtype=torch.float64, requires_grad=True)
    out = head(scalars, vectors)
    first = torch.autograd.grad(out[0].sum() + out[1].sum(), vectors, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), vectors)[0]
    assert torch.isfinite(first).all() and torch.isfinite(second).all()
    assert torch.all(out[1] == 0)


def test_radial_basis():
    """Spec section 4.2, and zero value and slope at the cutoff."""
    radial = ExpNormRadial(6, 5.0).double()
    lowest = torch.exp(torch.tensor(-5.0)).item()
    torch.testing.assert_close(radial.means.detach(), torch.linspace(lowest, 1, 6).double())
    torch.testing.assert_close(radial.betas[0].item(), (2 / 6 * (1 - lowest)) ** -2, rtol=1e-6, atol=0.0)
    r = torch.tensor([0.0, 1.7, 4.9999999, 5.0, 9.0], dtype=torch.float64, requires_grad=True)
    envelope = cosine_envelope(r, 5.0)
    assert envelope[0] == 1 and envelope[3] == 0 and envelope[4] == 0
    slope = torch.autograd.grad(envelope.sum(), r)[0]
    assert slope[2].abs() < 1e-6 and torch.all(slope[3:] == 0)
    expected = envelope[1] * torch.exp(-radial.betas * (torch.exp(-r[1]) - radial.means) ** 2)
    torch.testing.assert_close(radial(r)[1], expected)
    assert not list(ExpNormRadial(6, 5.0, trainable=False).parameters())


def test_unknown_elements_are_named():
    for index in (ElementIndex(), torch.jit.script(ElementIndex())):
        assert index(torch.tensor([1, 6, 80])).tolist() == [0, 4, 28]
        for number in (2, 0, -1, 28, 119, 10**9):
            error = UnknownElementError if isinstance(index, ElementIndex) else torch.jit.Error
            with pytest.raises(error, match=f"Atom 1 has atomic number {number},"):
                index(torch.tensor([1, number]))


def test_starting_weights_come_from_the_generator():
    """Same seed, same weights; the global generator only fills what is then overwritten."""
    first, second, third = (
        Trunk(config(), torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.0.query.weight"], third["layers.0.query.weight"])
    for name, value in first.items():
        if name.endswith("bias"):
            assert torch.all(value == 0)
    bound = (6 / (16 + 16)) ** 0.5
    assert 0.8 * bound < first["layers.0.query.weight"].abs().max() <= bound


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of heads"):
        config(heads=3)
    with pytest.raises(ValueError, match="no embedding column"):
        config(extra_scalars=16)
