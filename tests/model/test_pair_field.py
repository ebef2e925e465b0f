"""The field over pairs against the plain field: values, derivatives, the cutoff, odd sizes, errors."""

import copy

import pytest
import torch

from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.errors import PluginError
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import ConditionedConfig, ConditionedField
from openmm_unisim.model.fused import for_inference
from openmm_unisim.model.inference_pairs import PAIRS_FROM
from openmm_unisim.model.pair_field import PairField, near_pairs
from openmm_unisim.model.pair_operators import register_derivatives
from openmm_unisim.system import load_molecule

try:
    register_derivatives()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

OPERATORS = torch.ops.openmm_unisim
USUAL = ConditionedConfig(filters=8, refine_layers=1, layers=2, displacement=0.464)
ODD = ConditionedConfig(
    hidden=42, heads=3, layers=1, ffn=10, rbf=7, expand=3, edge_width=9, place_width=6, refine_layers=1, refine_rbf=5,
    displacement=0.464,
)  # fmt: skip  # fourteen channels a head: no multiple of any vector
SHORT = USUAL.model_copy(update={"cutoff": 4.0})
BLIND = USUAL.model_copy(update={"conditioned": False, "expand": 1})  # what the ablations switch off
RELATIVE = {torch.float32: 1e-5, torch.float64: 1e-10}


def field_of(config: ConditionedConfig, dtype: torch.dtype) -> ConditionedField:
    """No weight is zero, as those of a new refinement are."""
    generator = torch.Generator().manual_seed(1)
    field = ConditionedField(config, generator).to(dtype)
    for parameter in field.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return field


def arguments(dtype: torch.dtype, copies: int = 3, name: str = "ACE-ALA-NME") -> tuple:
    """What a field takes: copies of a molecule at several times, exactly 0 among them."""
    molecule = load_molecule(name)
    generator = torch.Generator().manual_seed(0)
    z = torch.tensor(vocabulary_lookup())[torch.from_numpy(molecule.atomic_numbers)]
    adjacency = adjacency_matrix(torch.from_numpy(molecule.bonds), len(z))
    start = 10 * torch.from_numpy(molecule.positions).to(dtype).repeat(copies, 1, 1)
    start = start + 0.05 * torch.randn(start.shape, generator=generator, dtype=dtype)
    now = start + 0.3 * torch.randn(start.shape, generator=generator, dtype=dtype)
    t = torch.tensor([0.0, 0.3, 0.999], dtype=dtype).repeat(copies)[:copies]
    return now, start, t, 20.0, z, adjacency.to(dtype), bond_distance(adjacency)


def gradients(field, parameters, given) -> tuple:
    """End point less the start, and derivatives of a random sum of it."""
    end, reference = field(*given)
    generator = torch.Generator().manual_seed(3)
    stiff = (given[-1] == 1) | (given[-1] == 2)  # only there reference lengths mean something
    loss = (end * torch.randn(end.shape, generator=generator, dtype=end.dtype)).sum() + reference[
        stiff
    ].square().mean()
    return (end - given[1]).detach(), torch.autograd.grad(loss, parameters)


def largest_relative(found, expected) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("config", [USUAL, ODD, SHORT, BLIND], ids=["usual", "odd", "short", "blind"])
def test_values_and_gradients_are_those_of_the_plain_field(config, dtype):
    field = field_of(config, dtype)
    given = arguments(dtype)
    parameters = list(field.parameters())
    expected, of_expected = gradients(field, parameters, given)
    found, of_found = gradients(PairField(field), parameters, given)
    assert largest_relative(found, expected) < RELATIVE[dtype]
    bound = RELATIVE[dtype] * (
        3 if dtype == torch.float32 else 1
    )  # sums over hundreds of pairs in another order
    for one, two in zip(of_found, of_expected):
        # what an ablation switches off has no derivative at all
        assert largest_relative(one, two) < bound if two.any() else not one.any()


def test_reference_lengths_are_made_for_stiff_pairs_only():
    field = field_of(USUAL, torch.float64)
    z, adjacency, distance = arguments(torch.float64)[4:]
    (place, expected), (own_place, found) = (
        f.describe(z, adjacency, distance) for f in (field, PairField(field))
    )
    stiff = (distance == 1) | (distance == 2)
    assert largest_relative(own_place, place) < 1e-13 and not bool(found[~stiff].any())
    assert largest_relative(found[stiff], expected[stiff]) < 1e-13


def test_pairs_beyond_the_cutoff_are_left_out():
    now = arguments(torch.float32)[0]
    pairs = near_pairs(now, 4.0).index
    copy, own, other = pairs[0] // 22, pairs[0] % 22, pairs[1] % 22
    distance = torch.cdist(now, now, compute_mode="donot_use_mm_for_euclid_dist")
    upper = torch.triu(distance < 4.0)
    assert torch.equal(torch.stack([copy, own, other], 1), upper.nonzero())
    assert 0 < pairs.size(1) < 3 * 22 * 23 // 2


def test_parameters_are_shared_and_named_alike():
    field = field_of(USUAL, torch.float32)
    fast = PairField(field)
    own = dict(field.named_parameters())
    assert list(fast.state_dict()) == list(field.state_dict())
    assert all(parameter is own[name] for name, parameter in fast.named_parameters())
    assert type(field.edge_first) is torch.nn.Linear  # the plain field is left as it was


def test_derivatives_against_finite_differences():
    """So that twin and operators can't be wrong together; by points, too, which the plain inputs don't reach."""
    generator = torch.Generator().manual_seed(4)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    copies, atoms, radial = 2, 3, 4
    points, moved = normal(copies, atoms, 3), normal(copies, atoms, 3)
    initial = normal(copies, atoms, 3).detach()
    kinds = torch.tensor([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    one = torch.ones(copies, dtype=torch.float64)
    described = [kinds, one.new_full((3, 3), 1.1), normal(copies, 2).detach(), 0.7 * one, 0.5 * one]
    basis = [torch.linspace(0.1, 1, radial, dtype=torch.float64), one.new_full((radial,), 4.0)]
    width = 2 * radial + 2 + 4 + 2
    weights = [normal(5, width), normal(5), normal(3, 5), normal(3)]

    def function(points, moved, *weights):
        pairs = near_pairs(points, 6.0).index
        results = OPERATORS.embed_pairs(
            points, initial, moved, pairs, described, [*basis, *weights], 0.6, 6.0, True, 4
        )
        return tuple(results)

    assert torch.autograd.gradcheck(function, (points, moved, *weights))


def test_a_position_that_is_not_a_number_comes_out_again():
    given = list(arguments(torch.float32))
    given[0] = given[0].clone()
    given[0][1, 5] = float("nan")
    with torch.no_grad():
        end, _ = PairField(field_of(USUAL, torch.float32))(*given)
    assert not bool(end[1].isfinite().any())
    assert bool(end[0].isfinite().all()) and bool(end[2].isfinite().all())


def test_the_number_of_torch_threads_changes_rounding_only():
    field = field_of(USUAL, torch.float64)
    given, parameters = arguments(torch.float64, 6), list(field.parameters())
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(gradients(PairField(field), parameters, given)[1])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results):
        assert largest_relative(one, two) < 1e-10


@pytest.mark.parametrize("config", [SHORT, BLIND], ids=["short", "blind"])
@pytest.mark.parametrize("name", ["ACE-ALA-NME", "ACE-ALA-ALA-ALA-NME"])
def test_inference_on_either_side_of_the_crossing(name, config):
    """22 and 42 atoms: by the packed form and over pairs, frozen as in a model file."""
    field = field_of(config, torch.float32)
    given = arguments(torch.float32, 2, name)
    assert (given[0].size(1) < PAIRS_FROM) == (name == "ACE-ALA-NME")
    with torch.no_grad():
        expected = field(*given)[0] - given[1]
        small = for_inference(copy.deepcopy(field), few_atoms=True)
        fast = for_inference(field)
        frozen = torch.jit.freeze(torch.jit.script(fast))
        for network in (fast, frozen, small):
            assert largest_relative(network(*given)[0] - given[1], expected) < 2e-5


@pytest.mark.parametrize("bias", [True, False])
def test_dense_is_a_linear_layer(bias):
    generator = torch.Generator().manual_seed(6)
    linear = torch.nn.Linear(13, 37, bias=bias, dtype=torch.float64)
    x = torch.randn(5, 3, 13, generator=generator, dtype=torch.float64).requires_grad_()
    inputs = [x, *linear.parameters()]
    found = OPERATORS.dense(x, linear.weight, linear.bias)
    weight = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    expected = linear(x)
    assert largest_relative(found.detach(), expected.detach()) < 1e-13
    pairs = zip(*(torch.autograd.grad((y * weight).sum(), inputs) for y in (found, expected)))
    assert all(largest_relative(one, two) < 1e-12 for one, two in pairs)


def test_errors_name_the_cause():
    x = torch.zeros(4, 3)
    pairs = near_pairs(torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0)), 100.0).index
    edges, envelope = torch.zeros(6, 2), torch.zeros(6)
    rest = (x, torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(RuntimeError, match="shapes don't agree"):
        OPERATORS.pair_sum(edges[:5], envelope, *rest, pairs, 2)
    with pytest.raises(RuntimeError, match=r"ordered by copy.*near_pairs"):
        OPERATORS.pair_sum(edges, envelope, *rest, pairs.flip(1), 2)
    with pytest.raises(RuntimeError, match="copies of one molecule"):
        OPERATORS.pair_sum(edges, envelope, *rest, pairs, 3)
    with pytest.raises(RuntimeError, match="index outside the atoms"):
        OPERATORS.pair_sum(edges, envelope, *rest, pairs + 9, 2)
    with pytest.raises(RuntimeError, match="one floating-point type"):
        OPERATORS.pair_sum(edges.double(), envelope, *rest, pairs, 2)
    with pytest.raises(RuntimeError, match="dense takes"):
        OPERATORS.dense(x, torch.zeros(3, 4), None)


def test_derivatives_that_do_not_exist_are_errors():
    register_derivatives()
    field = PairField(field_of(ODD, torch.float64))
    now, start, t, *rest = arguments(torch.float64)
    with torch.enable_grad():
        end, _ = field(now, start.requires_grad_(), t, *rest)
        with pytest.raises(RuntimeError, match="no derivatives by initial positions"):
            end.sum().backward()
        x, weight = (torch.ones(2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
        value = torch.ops.openmm_unisim.dense(x, weight, None).square().sum()
        slope = torch.autograd.grad(value, x, create_graph=True)[0]
        with pytest.raises(RuntimeError, match="first derivatives only"):
            torch.autograd.grad(slope.sum(), weight)
