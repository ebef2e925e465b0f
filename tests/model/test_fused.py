"""The fused operators against their plain twins: values, first derivatives, NaN, empty tables, scripting."""

import pytest
import torch

from openmm_unisim.errors import PluginError
from openmm_unisim.model.attention import EquivariantAttention
from openmm_unisim.model.config import TrunkConfig
from openmm_unisim.model.fused import use_fused
from openmm_unisim.model.graph import NeighbourTable, full_table

from .molecules import SMALL

try:
    from openmm_unisim._plugin import load_operators

    load_operators()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

RELATIVE = {torch.float32: 1e-5, torch.float64: 1e-13}
SIZES = {"hidden": 40, "heads": 4, "edge_features": 7}  # ten channels a head: no multiple of any vector


def padded_table(n_atoms: int = 13, slots: int = 6, seed: int = 5) -> NeighbourTable:
    """A general table with padded slots, an atom without neighbours, and no symmetry."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(n_atoms, (n_atoms, slots), generator=generator)
    mask = torch.rand(n_atoms, slots, generator=generator) < 0.7
    mask[3] = False
    return NeighbourTable(torch.where(mask, index, torch.arange(n_atoms).unsqueeze(1)), mask, 0)


TABLES = {"block": lambda: full_table(3, 5, torch.device("cpu")), "padded": padded_table}


def layer_of(dtype=torch.float64, **changes) -> EquivariantAttention:
    config = TrunkConfig(**{**SMALL, **SIZES, **changes})
    return EquivariantAttention(config, torch.Generator().manual_seed(1)).to(dtype)


def arguments(layer: EquivariantAttention, table: NeighbourTable, dtype=torch.float64) -> list:
    """What `aggregate` takes; large filters, too."""
    generator = torch.Generator().manual_seed(2)
    n, slots = table.index.shape

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    features = 5 * normal(n, slots, layer.key_filter.in_features)
    envelope = torch.rand(n, slots, dtype=torch.float64, generator=generator).to(dtype)
    return [normal(n, layer.hidden), normal(n, 3, layer.hidden), table, features,
            normal(n, slots, 3, layer.edge_vectors), envelope]  # fmt: skip


def largest_relative(found, expected) -> float:
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_values_agree(table, width, smooth, dtype):
    layer = layer_of(dtype, edge_vectors=width, vector_envelope=smooth)
    given = arguments(layer, TABLES[table](), dtype)
    with torch.no_grad():
        for found, expected in zip(layer.aggregate_fused(*given), layer.aggregate(*given)):
            assert largest_relative(found, expected) < RELATIVE[dtype]


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("table", TABLES)
def test_first_derivatives_agree(table, width, smooth):
    """Of weights and of every input, in float64; the arguments' gradients and the parameters' alike."""
    layer = layer_of(edge_vectors=width, vector_envelope=smooth)
    given = arguments(layer, TABLES[table]())
    inputs = [x.requires_grad_() for x in given if type(x) is torch.Tensor]
    used = [p for name, p in layer.named_parameters() if name.split(".")[0] not in ("norm", "output", "mix")]

    def gradients(function):
        y, big = function(*given)
        generator = torch.Generator().manual_seed(3)
        loss = sum((x * torch.randn(x.shape, dtype=x.dtype, generator=generator)).sum() for x in (y, big))
        return torch.autograd.grad(loss, inputs + used)

    for found, expected in zip(gradients(layer.aggregate_fused), gradients(layer.aggregate)):
        assert largest_relative(found, expected) < 1e-12


def test_gradcheck():
    """Against finite differences, so that twin and operator can't be wrong together."""
    layer = layer_of(hidden=4, heads=2, edge_features=2, edge_vectors=2, vector_envelope=True)
    given = arguments(layer, full_table(1, 3, torch.device("cpu")))
    inputs = [given[k].requires_grad_() for k in (0, 1, 3, 4, 5)]

    def function(scalars, vectors, features, arrows, envelope):
        return layer.aggregate_fused(scalars, vectors, given[2], features, arrows, envelope)

    assert torch.autograd.gradcheck(function, inputs)


def test_second_derivatives_are_refused():
    layer = layer_of()
    given = arguments(layer, full_table(1, 3, torch.device("cpu")))
    y, _ = layer.aggregate_fused(given[0].requires_grad_(), *given[1:])
    with pytest.raises(RuntimeError, match=r"first derivatives only.*use_fused"):
        torch.autograd.grad(y.sum(), given[0], create_graph=True)


def test_nan_and_infinity_come_out_again():
    layer = layer_of(torch.float32)
    for position, value in ((0, float("nan")), (3, float("nan")), (5, float("nan")), (3, float("inf"))):
        given = arguments(layer, full_table(2, 4, torch.device("cpu")), torch.float32)
        given[position][1] = value
        with torch.no_grad():
            y, big = layer.aggregate_fused(*given)
        assert not bool(y[1].isfinite().any())
        assert bool(y[4:].isfinite().all()) and bool(big[4:].isfinite().all())  # the other molecule


def test_large_filters_stay_finite():
    layer = layer_of(torch.float32)
    given = arguments(layer, full_table(1, 4, torch.device("cpu")), torch.float32)
    given[3] *= 1e4
    with torch.no_grad():
        found, expected = layer.aggregate_fused(*given), layer.aggregate(*given)
    assert largest_relative(found[0], expected[0]) < 1e-5


@pytest.mark.parametrize("shape", [(0, 0), (4, 0), (0, 3)])
def test_empty_tables(shape):
    layer = layer_of()
    table = NeighbourTable(torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool), 0)
    given = arguments(layer, table)
    y, big = layer.aggregate_fused(given[0].requires_grad_(), *given[1:])
    assert y.shape == (shape[0], layer.hidden) and big.shape == (shape[0], 3, layer.hidden)
    assert not y.any() and not big.any()
    (y.sum() + big.sum()).backward()
    assert not layer.query.weight.grad.any()


def test_errors_name_the_cause():
    layer = layer_of()
    given = arguments(layer, padded_table())
    table = given[2]
    outside = NeighbourTable(table.index + 100, table.mask, 0)
    with pytest.raises(RuntimeError, match="index outside the atoms"):
        layer.aggregate_fused(*given[:2], outside, *given[3:])
    with pytest.raises(RuntimeError, match="shapes don't agree"):
        layer.aggregate_fused(*given[:3], given[3][:, :2], *given[4:])
    wide = layer_of(edge_vectors=4)
    with pytest.raises(RuntimeError, match="1 to 3 vectors per edge"):
        wide.aggregate_fused(*arguments(wide, table))


def test_the_number_of_torch_threads_changes_nothing():
    layer = layer_of(torch.float32)
    given = arguments(layer, full_table(40, 8, torch.device("cpu")), torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            layer.zero_grad()
            y, big = layer.aggregate_fused(*given)
            (y.sum() + big.sum()).backward()
            results.append((y, big, layer.key.weight.grad, layer.value_filter.weight.grad))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results):
        assert largest_relative(one, two) < 1e-5


def test_the_switch_and_what_is_scripted():
    layer = layer_of()
    given = arguments(layer, padded_table())
    plain = torch.jit.script(layer)
    assert use_fused(layer, True) is layer and layer.fused
    fused = torch.jit.script(layer)
    assert "openmm_unisim::attend" in str(fused.inlined_graph)
    assert "openmm_unisim::" not in str(plain.inlined_graph)
    with torch.no_grad():
        for found, expected in zip(fused(*given), plain(*given)):
            assert largest_relative(found, expected) < 1e-13
    assert not use_fused(layer, False).fused
