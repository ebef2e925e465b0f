"""Modules packed for inference against those they replace; radial tables; operators on whole molecules."""

import pytest
import torch

from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.errors import PluginError
from openmm_unisim.geometry import remove_rigid_motion
from openmm_unisim.interpolant.covariance import posterior_precision, restraints
from openmm_unisim.model.attention import EquivariantAttention
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import ConditionedConfig, ConditionedField
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.fused import for_inference
from openmm_unisim.model.graph import full_table, published_table
from openmm_unisim.model.heads import GatedVectorHead
from openmm_unisim.model.inference import PackedAttention, PackedHead, PackedLinear, pack_panels
from openmm_unisim.model.radial import ExpNormRadial
from openmm_unisim.model.radial_table import RadialTable
from openmm_unisim.model.vector_field import VectorField
from openmm_unisim.system import load_molecule

from .molecules import SMALL
from .test_fused import RELATIVE, SIZES, TABLES, arguments, largest_relative

try:
    from openmm_unisim._plugin import load_operators

    load_operators()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

RADIAL = {torch.float32: 1e-5, torch.float64: 1e-5}  # of tabulated functions, in any type
CONDITIONED = ConditionedConfig(
    hidden=40, heads=4, layers=2, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8, filters=5, refine_layers=1,
    refine_rbf=9,
)  # fmt: skip


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def molecule():
    """Positions (angstrom, double), vocabulary indices, bonds."""
    loaded = load_molecule("ACE-ALA-NME")
    z = torch.tensor(vocabulary_lookup())[torch.from_numpy(loaded.atomic_numbers)]
    return 10 * torch.from_numpy(loaded.positions), z, torch.from_numpy(loaded.bonds)


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (22, 64, 96), (13, 33, 100), (0, 4, 4)])
def test_linear(shape, dtype):
    rows, inner, columns = shape
    linear = torch.nn.Linear(inner, columns).to(dtype)
    x = torch.randn(rows, inner, dtype=dtype, generator=generator())
    packed = PackedLinear(linear)
    assert packed(x).shape == (rows, columns)
    assert torch.allclose(packed(x), linear(x), rtol=RELATIVE[dtype], atol=10 * RELATIVE[dtype])
    assert packed(x.view(1, rows, inner)).shape == (1, rows, columns)


def test_linear_without_bias_and_of_another_type():
    linear = torch.nn.Linear(6, 9, bias=False)
    x = torch.randn(3, 2, 6, generator=generator())
    assert torch.allclose(PackedLinear(linear)(x), linear(x), atol=1e-6)
    with pytest.raises(RuntimeError, match="packed for other sizes; prepare the module again"):
        PackedLinear(linear).double()(x.double())


def test_panels_are_padded_with_zeros():
    panels = pack_panels(torch.ones(5, 3))
    assert panels.shape == (1, 3, 32)
    assert bool((panels[:, :, :5] == 1).all()) and not panels[:, :, 5:].any()


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("width, smooth", [(1, False), (2, True), (3, True)])
@pytest.mark.parametrize("table", TABLES)
def test_attention_layer(table, width, smooth, dtype):
    config = TrunkConfig(**{**SMALL, **SIZES, "edge_vectors": width, "vector_envelope": smooth})
    layer = EquivariantAttention(config, generator()).to(dtype)
    layer.norm.weight.mul_(1.3)
    layer.norm.bias.add_(0.2)
    given = arguments(layer, TABLES[table](), dtype)
    before = [x.clone() for x in given[:2]]
    for found, expected in zip(PackedAttention(layer)(*given), layer(*given)):
        assert largest_relative(found, expected) < RELATIVE[dtype]
    assert all(torch.equal(x, y) for x, y in zip(given, before))


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("normed", [False, True])
def test_head(normed, dtype):
    head = GatedVectorHead(10, 14, 6, normed, generator()).to(dtype)
    scalars = torch.randn(5, 10, dtype=dtype, generator=generator(2))
    vectors = torch.randn(5, 3, 10, dtype=dtype, generator=generator(3))
    for found, expected in zip(PackedHead(head)(scalars, vectors), head(scalars, vectors)):
        assert largest_relative(found, expected) < RELATIVE[dtype]


@pytest.mark.parametrize("activate", [False, True])
@pytest.mark.parametrize("dtype", RADIAL)
def test_radial_table_error(dtype, activate):
    """At distances that the construction didn't look at, self-loops and lengths beyond the cutoff among them."""
    radial = ExpNormRadial(64, 5.0).to(dtype)
    radial.means.add_(0.01 * torch.randn(64, generator=generator()).to(dtype))
    linear = torch.nn.Linear(64, 24).to(dtype)
    table = RadialTable(radial, linear.weight, linear.bias, 5.0, activate)
    assert table.error <= 1e-5 and table.knots.dtype == dtype
    r = torch.cat(
        [6 * torch.rand(4000, dtype=dtype, generator=generator(4)), torch.tensor([0.0, 5.0, 99.0]).to(dtype)]
    )
    expected = linear.double()(radial.double()(r.double()))
    expected = torch.nn.functional.silu(expected) if activate else expected
    index, weights = torch.arange(len(r)).unsqueeze(1), torch.ones(len(r), 1, dtype=dtype)
    ones = torch.ones(len(r), 24, dtype=dtype)
    shape = (table.spacing, table.decay, table.slope)
    found = torch.ops.openmm_unisim.radial_sum(ones, index, r.unsqueeze(1), weights, table.knots, *shape)
    assert largest_relative(found.double(), expected) < RADIAL[dtype]


@pytest.mark.parametrize("dtype", RADIAL)
@pytest.mark.parametrize("smooth", [False, True])
def test_published_vector_field(molecule, smooth, dtype):
    """The whole network; two molecules in a batch, with padded slots."""
    trunk = TrunkConfig(hidden=48, heads=4, layers=2, ffn=32, rbf=16, expand=4, vector_envelope=smooth)
    plain = VectorField(PublishedConfig(trunk=trunk), generator()).to(dtype).eval()
    packed = for_inference(VectorField(PublishedConfig(trunk=trunk), generator()).to(dtype))
    positions, z, _ = molecule
    both = torch.cat([positions, 1.1 * positions + 2]).to(dtype)
    group = torch.arange(2).repeat_interleave(len(z))
    table = published_table(both, group, (z == 0).repeat(2), torch.zeros_like(group))
    given = (both, z.repeat(2), torch.full((2 * len(z),), 0.3, dtype=dtype), table)
    for found, expected in zip(packed(*given), plain(*given)):
        assert largest_relative(found, expected) < 2e-5
    both[3] = float("nan")
    assert not bool(packed(*given)[0][3].isfinite().any())


def conditioned_field(dtype: torch.dtype) -> ConditionedField:
    """A field in which no part is silent: filter and refinement start as zero."""
    network = ConditionedField(CONDITIONED, generator())
    noise = generator(4)
    for weight in [network.refinement.head.second.weight, *(f.second.weight for f in network.filters)]:
        weight.copy_(0.1 * torch.randn(weight.shape, generator=noise))
    return network.to(dtype)


@pytest.mark.parametrize("dtype", RELATIVE)
def test_conditioned_field(molecule, dtype):
    positions, z, bonds = molecule
    adjacency = adjacency_matrix(bonds, len(z))
    start = (positions + 0.05 * torch.randn(3, *positions.shape, generator=generator(5))).to(dtype)
    now = start + 0.2 * torch.randn(start.shape, generator=generator(6)).to(dtype)
    t = torch.tensor([0.01, 0.3, 0.95], dtype=dtype)
    given = (now, start, t, 20.0, z, adjacency.to(dtype), bond_distance(adjacency))
    packed = for_inference(conditioned_field(dtype))
    (found, lengths), (expected, same) = packed(*given), conditioned_field(dtype)(*given)
    assert (
        largest_relative(found - start, expected - start) < {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    )
    assert torch.allclose(lengths, same, atol=1e-5)
    now[1, 4] = float("nan")
    assert bool(packed(*given)[0].isnan()[1].all())


def test_bond_graph_and_full_table(molecule):
    _, z, bonds = molecule
    adjacency, distance, pairs, apart, centres = torch.ops.openmm_unisim.bond_graph(bonds, len(z))
    expected = adjacency_matrix(bonds, len(z))
    assert torch.equal(adjacency, expected) and torch.equal(distance, bond_distance(expected))
    for found, restrained in zip((pairs, apart, centres), restraints(distance)):
        assert torch.equal(found, restrained)
    alone = torch.ops.openmm_unisim.bond_graph(torch.zeros(0, 2, dtype=torch.int64), 2)
    assert alone[1].tolist() == [[0, 4], [4, 0]] and alone[4].shape == (0, 4)
    with pytest.raises(RuntimeError, match="index outside the atoms"):
        torch.ops.openmm_unisim.bond_graph(bonds, 5)
    table = full_table(3, 4, torch.device("cpu"))
    index, mask = torch.ops.openmm_unisim.full_table(3, 4)
    assert torch.equal(index, table.index) and torch.equal(mask, table.mask)


def test_rigid_motion_and_precision(molecule):
    positions, z, bonds = molecule
    start = positions + 0.05 * torch.randn(2, *positions.shape, dtype=torch.float64, generator=generator(5))
    end = start + 0.3 * torch.randn(start.shape, dtype=torch.float64, generator=generator(6))
    operators = torch.ops.openmm_unisim
    assert torch.allclose(
        operators.remove_rigid_motion(end, start), remove_rigid_motion(end, start), atol=1e-12
    )
    quantities = restraints(bond_distance(adjacency_matrix(bonds, len(z))))
    count = len(quantities.pairs) + len(quantities.centres)
    variances = 0.01 + torch.rand(2, count, dtype=torch.float64, generator=generator(7))
    rest = 0.01 + torch.rand(2, len(z), dtype=torch.float64, generator=generator(8))
    t = torch.tensor([0.0, 0.4], dtype=torch.float64)
    expected = posterior_precision(end, start, quantities, variances, rest, t, 0.3)
    found = operators.posterior_precision(
        end, start, quantities.pairs, quantities.centres, variances, rest, t, 0.3, 4e-6
    )
    assert largest_relative(found, expected) < 1e-13
    line = torch.zeros(1, 2, 3, dtype=torch.float64)
    line[0, 1, 0] = 1.0  # the inertia of a line is singular
    assert bool(operators.remove_rigid_motion(line, line).isfinite().all())


def test_derivatives_are_refused():
    packed = PackedLinear(torch.nn.Linear(3, 4))
    with (
        torch.enable_grad(),
        pytest.raises(RuntimeError, match=r"no derivatives; call it within torch.no_grad\(\)"),
    ):
        packed(torch.randn(2, 3, requires_grad=True))
    module = for_inference(torch.nn.Sequential(torch.nn.Linear(3, 4)))
    assert isinstance(module[0], PackedLinear) and not module.training
