"""The operators' forms for any device against the CPU kernels; no other device is needed (see `elsewhere`)."""

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from openmm_unisim.errors import PluginError
from openmm_unisim.export.packed import PackedJump
from openmm_unisim.export.scripted import ConditionedJump
from openmm_unisim.model.attention import EquivariantAttention
from openmm_unisim.model.conditioned import TIME_CENTRES
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.fused import for_inference
from openmm_unisim.model.graph import NeighbourTable, full_table, published_table
from openmm_unisim.model.heads import GatedVectorHead
from openmm_unisim.model.inference import PackedHead, PackedLinear
from openmm_unisim.model.spread import SpreadHead
from openmm_unisim.model.vector_field import VectorField
from openmm_unisim.system import load_molecule

from .elsewhere import NAMESPACE, Elsewhere, Recorder, run_elsewhere
from .test_fused import TABLES, arguments, largest_relative, layer_of
from .test_inference import CONDITIONED, conditioned_field, generator

try:
    from openmm_unisim._plugin import load_operators

    load_operators()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

RELATIVE = {torch.float32: 1e-5, torch.float64: 1e-12}
OF_THE_CPU = {"near_pairs", "dense", "embed_pairs", "pair_layer", "pair_sum"}  # of model.pair_field
OPERATORS = {
    name.split("::")[1] for name in torch._C._dispatch_get_all_op_names() if name.startswith(NAMESPACE)
} - {*OF_THE_CPU, *(f"{name}_backward" for name in OF_THE_CPU)}
ON_THE_HOST = {"bond_graph", "published_table"}  # the sizes of their results depend on bonds and positions


def conditioned_calls(dtype: torch.dtype) -> list:
    """A step of the conditioned form."""
    molecule = load_molecule("ACE-ALA-NME")
    spread = SpreadHead(CONDITIONED.place_width, TIME_CENTRES, generator=generator(3)).to(dtype)
    numbers = torch.from_numpy(molecule.atomic_numbers)
    jump = ConditionedJump(conditioned_field(dtype), spread, 20.0, 3.0, True, numbers.unique())
    start = torch.from_numpy(molecule.positions) + 0.01 * torch.randn(2, 22, 3, generator=generator())
    now = start + 0.01 * torch.randn(start.shape, generator=generator(2))
    times = torch.tensor([[0.1, 0.6], [0.12, 0.7]], dtype=torch.float64)
    bonds, none = torch.from_numpy(molecule.bonds), torch.zeros(0)
    noise = torch.randn(start.shape, generator=generator(5)).to(dtype)
    with Recorder() as recorder:
        PackedJump(jump).step(
            now.to(dtype), start.to(dtype), numbers, bonds, times[0], times[1], 2.5, none, 0.0, none, noise
        )
    return recorder.calls


def published_calls(dtype: torch.dtype) -> list:
    """An evaluation of the published form, with padded slots, and a head that normalises vectors."""
    trunk = TrunkConfig(hidden=48, heads=4, layers=2, ffn=32, rbf=16, expand=4, vector_envelope=True)
    network = for_inference(VectorField(PublishedConfig(trunk=trunk), generator()).to(dtype))
    positions = 10 * torch.from_numpy(load_molecule("ACE-ALA-NME").positions).to(dtype)
    z, group = torch.arange(22) % 5, torch.zeros(22, dtype=torch.int64)
    table = published_table(positions, group, z == 0, group)
    head = PackedHead(GatedVectorHead(10, 14, 6, True, generator()).to(dtype))
    with Recorder() as recorder:
        torch.ops.openmm_unisim.published_table(positions, group, z == 0, 5.0, 3.0)
        network(positions, z, torch.full((22,), 0.3, dtype=dtype), table)
        head(torch.randn(5, 10, dtype=dtype), torch.randn(5, 3, 10, dtype=dtype))
    return recorder.calls


@pytest.fixture(scope="module", params=RELATIVE, ids=str)
def calls(request) -> tuple[torch.dtype, list]:
    """What both forms ask of the operators."""
    with torch.no_grad():
        return request.param, conditioned_calls(request.param) + published_calls(request.param)


def test_every_operator_has_a_form_for_any_device_and_the_cpu_keeps_its_loops() -> None:
    for name in OPERATORS:
        table = torch._C._dispatch_dump_table(f"{NAMESPACE}::{name}").splitlines()
        chosen = {line.split(":")[0]: line for line in table}
        assert "/any/" in chosen["XPU"] or name == "full_table"
        assert "/any/" not in chosen["CPU"] or name == "attend_radial"


def test_forms_agree_with_the_loops(calls) -> None:
    dtype, made = calls
    seen = {operator.overloadpacket.__name__ for operator, _, _ in made}
    assert seen == OPERATORS - {"attend", "attend_backward", "attend_radial", "full_table"}
    with torch.no_grad():
        for operator, args, expected in made:
            found = run_elsewhere(operator, *args)
            for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
                assert one.shape == other.shape and one.dtype == other.dtype
                one, other = (x.tril() if "step_factor" in str(operator) else x for x in (one, other))
                assert largest_relative(one.double(), other.double()) < RELATIVE[dtype], str(operator)


def test_forms_read_nothing_on_the_host_and_stay_on_the_device(calls) -> None:
    """On the meta device reading a number is an error, and so is an array of the CPU beside one of it."""

    def away(x):
        return x.to("meta") if isinstance(x, torch.Tensor) else x

    with torch.no_grad():
        for operator, args, expected in calls[1]:
            if operator.overloadpacket.__name__ in ON_THE_HOST:
                continue
            found = run_elsewhere(operator, *tree_map(away, args))
            for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
                assert one.device.type == "meta" and one.shape == other.shape and one.dtype == other.dtype
        index, mask = torch.ops.openmm_unisim.full_table(3, 4, device="meta")
    assert index.device.type == mask.device.type == "meta" and index.shape == mask.shape == (12, 4)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_attend_and_its_derivatives(table, width, smooth) -> None:
    layer = layer_of(edge_vectors=width, vector_envelope=smooth)
    given = arguments(layer, TABLES[table]())
    inputs = [x.requires_grad_() for x in given if type(x) is torch.Tensor]
    parameters = [layer.query.weight, layer.value.weight, layer.key_filter.weight, layer.value_filter.bias]

    def run() -> list[torch.Tensor]:
        y, big = layer.aggregate_fused(*given)
        gradients = torch.autograd.grad(y.square().sum() + big.sin().sum(), inputs + parameters)
        return [y, big, *gradients]

    expected = run()
    with Elsewhere() as mode:
        found = run()
    assert mode.seen == {"attend", "attend_backward"}
    for one, other in zip(found, expected):
        assert largest_relative(one, other) < 1e-12


@pytest.mark.parametrize("shape", [(0, 0), (4, 0), (0, 3)])
def test_attend_of_empty_tables(shape) -> None:
    layer = layer_of()
    table = NeighbourTable(torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool), 0)
    given = arguments(layer, table)
    with Elsewhere():
        y, big = layer.aggregate_fused(given[0].requires_grad_(), *given[1:])
        (y.sum() + big.sum()).backward()
    assert y.shape == (shape[0], layer.hidden) and big.shape == (shape[0], 3, layer.hidden)
    assert not y.any() and not big.any()


def test_nan_in_padded_slots_stays_there() -> None:
    layer = layer_of()
    given = arguments(layer, TABLES["padded"]())
    padded = ~given[2].mask
    for k in (4, 5):
        given[k][padded] = float("nan")
    with torch.no_grad():
        expected, found = layer.aggregate_fused(*given), run_elsewhere(layer.aggregate_fused, *given)
    for one, other in zip(found, expected):
        assert largest_relative(one, other) < 1e-12


def test_half_weights() -> None:
    packed = PackedLinear(torch.nn.Linear(33, 70), half=True)
    x = torch.randn(2, 9, 33, generator=generator())
    with torch.no_grad():
        assert torch.allclose(run_elsewhere(packed, x), packed(x), rtol=1e-5, atol=1e-5)
        with pytest.raises(RuntimeError, match="weights of another type than its arrays"):
            run_elsewhere(torch.ops.openmm_unisim.linear, x.double(), packed.panels, packed.bias.double())


def test_tabulated_layers_in_half() -> None:
    trunk = TrunkConfig(hidden=48, heads=4, layers=2, ffn=32, rbf=16, expand=4)
    network = for_inference(VectorField(PublishedConfig(trunk=trunk), generator()), half=True)
    positions = 10 * torch.from_numpy(load_molecule("ACE-ALA-NME").positions).float()
    z, group = torch.arange(22) % 5, torch.zeros(22, dtype=torch.int64)
    given = (positions, z, torch.full((22,), 0.3), published_table(positions, group, z == 0, group))
    with torch.no_grad():
        expected, found = network(*given), run_elsewhere(network, *given)
    for one, other in zip(found, expected):
        assert largest_relative(one, other) < 2e-3  # where a rounding to bfloat16 falls the other way


def test_errors_name_the_cause() -> None:
    packed = PackedLinear(torch.nn.Linear(3, 4))
    with pytest.raises(RuntimeError, match=r"no derivatives; call it within torch.no_grad\(\)"):
        run_elsewhere(packed, torch.randn(2, 3, requires_grad=True))
    with (
        torch.no_grad(),
        pytest.raises(RuntimeError, match="packed for other sizes; prepare the module again"),
    ):
        run_elsewhere(packed, torch.randn(2, 5))
    layer = layer_of(edge_vectors=4)
    assert isinstance(layer, EquivariantAttention)
    given = arguments(layer, full_table(1, 3, torch.device("cpu")))
    with torch.no_grad(), pytest.raises(RuntimeError, match="1 to 3 vectors per edge"):
        run_elsewhere(layer.aggregate_fused, *given)
