"""Operators of the embedding, the global filter, the places, the variance head and the substep, and bfloat16 layers."""

import pytest
import torch

from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.errors import PluginError
from openmm_unisim.interpolant.covariance import (
    Restraints,
    cholesky_or_nan,
    collapse,
    gaussian_log_density,
    posterior_covariance,
    restraints,
    step_covariance,
)
from openmm_unisim.model.bond_graph import BondGraphEmbedding, adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import TIME_CENTRES
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.embedding import AtomEmbedding
from openmm_unisim.model.fused import for_inference
from openmm_unisim.model.global_filter import GlobalFilter
from openmm_unisim.model.graph import full_table, published_table
from openmm_unisim.model.inference import PackedLinear, pack_panels
from openmm_unisim.model.inference_conditioned import (
    PackedEmbedding,
    PackedFilter,
    PackedPlaces,
    PackedSpread,
)
from openmm_unisim.model.spread import SpreadHead
from openmm_unisim.model.vector_field import VectorField
from openmm_unisim.system import load_molecule

from .molecules import SMALL
from .test_fused import RELATIVE, SIZES, largest_relative

try:
    from openmm_unisim._plugin import load_operators

    load_operators()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

HALF = 2e-2  # of the largest output: bfloat16 keeps eight bits, and the errors of four layers add up


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
def test_embedding(dtype):
    """With padded slots, self-loops among the neighbours, and given channels."""
    config = TrunkConfig(**{**SMALL, **SIZES, "extra_scalars": 3})
    embedding = AtomEmbedding(config, generator()).to(dtype)
    table = full_table(2, 5, torch.device("cpu"))
    table.mask[3, 1:3] = False
    z = torch.tensor([0, 3, 1, 1, 2]).repeat(2)
    extra = torch.randn(10, 3, dtype=dtype, generator=generator(2))
    features = torch.randn(10, 5, config.edge_width, dtype=dtype, generator=generator(3))
    envelope = torch.rand(10, 5, dtype=dtype, generator=generator(4))
    given = (z, extra, table, features, envelope)
    assert largest_relative(PackedEmbedding(embedding)(*given), embedding(*given)) < RELATIVE[dtype]


@pytest.mark.parametrize("dtype", RELATIVE)
def test_global_filter(dtype):
    filtered = GlobalFilter(12, 5, generator()).to(dtype)
    filtered.second.weight.copy_(torch.randn(12, 12, generator=generator(2)))
    scalars, vectors, observed = (
        torch.randn(6, *shape, dtype=dtype, generator=generator(k))
        for k, shape in enumerate([(12,), (3, 12), (3,)])
    )
    given = (scalars, vectors, observed, 2)  # two copies of three atoms
    assert largest_relative(PackedFilter(filtered)(*given), filtered(*given)) < RELATIVE[dtype]


@pytest.mark.parametrize("dtype", RELATIVE)
def test_places(molecule, dtype):
    _, z, bonds = molecule
    places = BondGraphEmbedding(29, 10, 3, generator()).to(dtype)

    adjacency = adjacency_matrix(bonds, len(z))
    distance = bond_distance(adjacency)
    adjacency = adjacency.to(dtype)
    found = torch.ops.openmm_unisim.describe_places(z, adjacency, distance, PackedPlaces(places)())
    place = places(z, adjacency)
    for one, other in zip(found, (place, places.reference_length(place, distance))):
        assert largest_relative(one, other) < RELATIVE[dtype]


@pytest.mark.parametrize("dtype", RELATIVE)
def test_variance_head(molecule, dtype):
    positions, z, bonds = molecule
    distance = bond_distance(adjacency_matrix(bonds, len(z)))
    quantities: Restraints = restraints(distance)
    spread = SpreadHead(10, TIME_CENTRES, generator=generator()).to(dtype)
    place = torch.randn(len(z), 10, dtype=dtype, generator=generator(2))
    reference = 1 + torch.rand(len(z), len(z), dtype=dtype, generator=generator(3))
    reference = reference + reference.T
    times = torch.rand(2, TIME_CENTRES, dtype=dtype, generator=generator(4))
    end = (positions + torch.randn(2, *positions.shape, generator=generator(5))).to(dtype)
    expected = spread(place, times, quantities, collapse(end, quantities, reference))
    found = PackedSpread(spread).variances(end, place, reference, times, quantities)
    for one, other in zip(found, expected):
        assert one.dtype == torch.float64
        assert largest_relative(one, other) < RELATIVE[dtype]


def test_substep():
    """Factor and density in double, and NaN for the copy whose matrix isn't positive definite only."""
    root = torch.randn(3, 9, 9, dtype=torch.float64, generator=generator())
    precision = root @ root.transpose(1, 2) + torch.eye(9, dtype=torch.float64)
    t, t_next = (torch.tensor(x, dtype=torch.float64) for x in ([0.0, 0.3, 0.9], [0.1, 0.5, 1.0]))
    expected = cholesky_or_nan(step_covariance(posterior_covariance(precision), t, t_next, 0.3))
    found = torch.ops.openmm_unisim.step_factor(precision, t, t_next, 0.3)
    assert torch.allclose(found.tril(), expected.tril(), rtol=1e-12, atol=1e-14)
    mean = torch.randn(3, 3, 3, dtype=torch.float64, generator=generator(2))
    following = mean + 0.1 * torch.randn(3, 3, 3, dtype=torch.float64, generator=generator(3))
    density = torch.ops.openmm_unisim.gaussian_log_density(following, mean, found)
    assert torch.allclose(density, gaussian_log_density(following, mean, expected), rtol=1e-12)
    precision[1] = -precision[1]
    spoilt = torch.ops.openmm_unisim.step_factor(precision, t, t_next, 0.3)
    assert bool(spoilt[1].isnan().all()) and torch.equal(spoilt[::2], found[::2])


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (22, 64, 96), (13, 33, 100), (0, 4, 4)])
def test_half_linear_is_the_product_of_rounded_numbers(shape):
    rows, inner, columns = shape
    linear = torch.nn.Linear(inner, columns)
    x = torch.randn(rows, inner, generator=generator())
    expected = x.bfloat16().double() @ linear.weight.bfloat16().double().T + linear.bias.double()
    found = PackedLinear(linear, half=True)(x)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_half_weights_need_float_arrays():
    packed = PackedLinear(torch.nn.Linear(4, 4), half=True)
    packed.bias = packed.bias.double()
    with pytest.raises(RuntimeError, match="weights of another type than its arrays"):
        packed(torch.zeros(2, 4, dtype=torch.float64))
    assert pack_panels(torch.ones(5, 3), half=True).shape == (1, 2, 32, 2)


def test_nan_passes_half_layers():
    x = torch.tensor([[float("nan"), 1.0], [1.0, 2.0]])
    found = PackedLinear(torch.nn.Linear(2, 3), half=True)(x)
    assert bool(found[0].isnan().all()) and bool(found[1].isfinite().all())


def test_published_vector_field_in_half(molecule):
    positions, z, _ = molecule
    trunk = TrunkConfig(hidden=48, heads=4, layers=4, ffn=32, rbf=16, expand=4)
    plain = VectorField(PublishedConfig(trunk=trunk), generator()).eval()
    packed = for_inference(VectorField(PublishedConfig(trunk=trunk), generator()), half=True)
    positions = positions.float()
    group = torch.zeros(len(z), dtype=torch.int64)
    given = (positions, z, torch.full((len(z),), 0.3), published_table(positions, group, z == 0, group))
    for found, expected in zip(packed(*given), plain(*given)):
        assert 0 < largest_relative(found, expected) < HALF


def test_wrong_shapes_are_errors_not_memory():
    operators = torch.ops.openmm_unisim
    with pytest.raises(RuntimeError, match="bias of one number a column"):
        operators.dense(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(2))
    spaced = torch.arange(8.0)[::2]
    assert torch.equal(operators.dense(torch.zeros(1, 3), torch.zeros(4, 3), spaced)[0], spaced)
    filtered = PackedFilter(GlobalFilter(12, 5, generator()))
    with pytest.raises(RuntimeError, match="shapes don't agree; use GlobalFilter"):
        filtered(torch.zeros(6, 12), torch.zeros(6, 3, 12), torch.zeros(6), 2)


def test_envelopes_need_not_be_contiguous():
    config = TrunkConfig(**{**SMALL, **SIZES})
    embedding = AtomEmbedding(config, generator())
    table = full_table(1, 5, torch.device("cpu"))
    extra = torch.randn(5, config.extra_scalars, generator=generator(2))
    features = torch.randn(5, 5, config.edge_width, generator=generator(3))
    envelope = torch.rand(5, 5, generator=generator(4)).T
    given = (torch.arange(5) % 4, extra, table, features, envelope)
    assert largest_relative(PackedEmbedding(embedding)(*given), embedding(*given)) < 1e-5
