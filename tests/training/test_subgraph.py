"""Training on parts of a large molecule: exact where the environment covers the receptive field."""

import pytest
import torch

from openmm_unisim._plugin import operators_are_built
from openmm_unisim.data.pairs import Pair
from openmm_unisim.data.subgraph import cut
from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.errors import ConfigError
from openmm_unisim.geometry import remove_rigid_motion, superpose
from openmm_unisim.interpolant.bridge import interpolate
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import ConditionedConfig, ConditionedField, rigid_shift
from openmm_unisim.model.config import GraphConfig, PublishedConfig, TrunkConfig
from openmm_unisim.model.neighbour_search import NeighbourSearch
from openmm_unisim.model.pair_field import PairField
from openmm_unisim.model.receptive_field import receptive_field
from openmm_unisim.model.vector_field import VectorField
from openmm_unisim.system import load_molecule
from openmm_unisim.training.losses import end_point_error, reference_length_error
from openmm_unisim.training.subgraph import SubgraphCutter, mean_gradient_atoms, subgraph_loss

SMALL = {"hidden": 40, "heads": 4, "ffn": 16, "rbf": 6, "expand": 2}
FIELD = ConditionedConfig(
    **SMALL,
    layers=1,
    refine_layers=1,
    refine_rbf=6,
    edge_width=8,
    place_width=6,
    cutoff=3.0,
    displacement=0.4,
)
PLAIN = FIELD.model_copy(update={"refine_layers": 0, "layers": 2})
LAG, LENGTHS = 20.0, 0.1


class LongMolecule:
    """An extended peptide and a pair of it; `local` is the field's end point of all atoms by the rule of cuts."""

    def __init__(self, letters: str = "AAAAAAAAGAAAAAAAA", dtype: torch.dtype = torch.float32) -> None:
        molecule = load_molecule(f"ACE-{letters}-NME")
        self.bonds = torch.from_numpy(molecule.bonds)
        self.z = torch.tensor(vocabulary_lookup())[torch.from_numpy(molecule.atomic_numbers)]
        self.count = len(self.z)
        adjacency = adjacency_matrix(self.bonds, self.count)
        self.adjacency, self.distance = adjacency.to(dtype), bond_distance(adjacency)
        generator = torch.Generator().manual_seed(0)
        start = 10 * torch.from_numpy(molecule.positions).to(dtype).unsqueeze(0)
        start = start - start.mean(1, keepdim=True)
        end = start + 0.4 * torch.randn(start.shape, generator=generator, dtype=dtype)
        self.pair = Pair(start, superpose(end, start))
        self.t = torch.tensor([0.4], dtype=dtype)
        self.noise = torch.randn(start.shape, generator=generator, dtype=dtype)
        self.middle = self.count // 2

    def cutter(self, config: ConditionedConfig, environment: float, gradient: float) -> SubgraphCutter:
        return SubgraphCutter(self.z, self.bonds, config, self.pair.start[0], environment, gradient)

    def x_t(self, config: ConditionedConfig) -> torch.Tensor:
        return interpolate(self.pair.start, self.pair.end, self.t, config.sigma, self.noise)

    def local(self, field, config: ConditionedConfig) -> tuple[torch.Tensor, torch.Tensor]:
        x_t, start = self.x_t(config), self.pair.start
        rigid = rigid_shift(x_t, start, self.t, config.sigma, config.displacement)
        return field(x_t, start, self.t, LAG, self.z, self.adjacency, self.distance, rigid)

    def loss(self, field, config: ConditionedConfig, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Of all atoms, or of those with weights."""
        end, reference = self.local(field, config)
        error = end_point_error(end, self.pair.end, self.t, config.sigma, config.displacement, weights).mean()
        return error + LENGTHS * reference_length_error(reference, self.pair.end, self.distance, weights)


def field_of(config: ConditionedConfig, fast: bool) -> ConditionedField:
    """No weight is zero; over pairs, by operators, if `fast`."""
    if fast and not operators_are_built():
        pytest.skip("the plugin is not built")
    generator = torch.Generator().manual_seed(1)
    field = ConditionedField(config, generator)
    for parameter in field.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return PairField(field) if fast else field


def gradient_of(loss: torch.Tensor, field: torch.nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(field.parameters()), materialize_grads=True)
    return torch.cat([x.flatten() for x in found])


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("fast", [False, True], ids=["layers", "operators"])
@pytest.mark.parametrize("config", [FIELD, PLAIN], ids=["refined", "plain"])
def test_exact_where_the_environment_covers_the_receptive_field(config, fast):
    """End points in the gradient region, and the gradient of its loss, to 1e-5 of the whole molecule's."""
    molecule, field, gradient = LongMolecule(), field_of(config, fast), 4.0
    moved = 1.5 if config.refine_layers else 0.0  # between x_t and the end point, at either end
    environment = gradient + receptive_field(config) + 2 * moved
    part = molecule.cutter(config, environment, gradient)(
        molecule.pair, molecule.t, molecule.noise, LAG, molecule.middle
    )
    assert len(part.atoms) < 0.6 * molecule.count  # a real cut
    inside = part.weights > 0
    whole, _ = molecule.local(field, config)
    cut_end, _ = field(
        part.positions, part.initial, part.t, LAG, part.z_index, part.adjacency, part.distance, part.rigid
    )
    assert float((whole.detach() - molecule.x_t(config)).norm(dim=-1).max()) < 1.5 or not config.refine_layers
    torch.testing.assert_close(cut_end[:, inside], whole[:, part.atoms[inside]], rtol=0, atol=1e-5)
    weights = torch.zeros(molecule.count).index_put([part.atoms], part.weights)
    expected = gradient_of(molecule.loss(field, config, weights), field)
    found = gradient_of(subgraph_loss(field, part, config, LENGTHS), field)
    assert relative(found, expected) < 1e-5


@pytest.mark.parametrize("config", [FIELD, PLAIN], ids=["refined", "plain"])
def test_a_smaller_environment_is_not_exact(config):
    """So that the test above has power: the gradient region's edge lacks neighbours."""
    molecule, field, gradient = LongMolecule(), field_of(config, False), 4.0
    part = molecule.cutter(config, gradient + 1.0, gradient)(
        molecule.pair, molecule.t, molecule.noise, LAG, molecule.middle
    )
    weights = torch.zeros(molecule.count).index_put([part.atoms], part.weights)
    expected = gradient_of(molecule.loss(field, config, weights), field)
    assert relative(gradient_of(subgraph_loss(field, part, config, LENGTHS), field), expected) > 1e-3


def test_the_mean_over_all_centres_is_the_gradient_of_the_whole_molecule():
    molecule, field = LongMolecule("AGA"), field_of(PLAIN, False)
    cutter = molecule.cutter(PLAIN, 100.0, 4.0)
    total = torch.zeros(sum(p.numel() for p in field.parameters()))
    for centre in range(molecule.count):
        part = cutter(molecule.pair, molecule.t, molecule.noise, LAG, centre)
        total += gradient_of(subgraph_loss(field, part, PLAIN, 0.0), field) / molecule.count
    end, _ = molecule.local(field, PLAIN)
    error = end_point_error(end, molecule.pair.end, molecule.t, PLAIN.sigma, PLAIN.displacement).mean()
    assert relative(total, gradient_of(error, field)) < 1e-5


def test_without_a_correction_the_rule_of_cuts_is_the_projection():
    """The best linear guess is projected exactly, from all atoms; only what the network adds is not."""
    molecule = LongMolecule("AGA", torch.float64)
    x_t, start, t = molecule.x_t(PLAIN), molecule.pair.start, molecule.t
    rigid = rigid_shift(x_t, start, t, PLAIN.sigma, PLAIN.displacement)
    assert float(rigid.abs().max()) > 1e-3
    field = field_of(PLAIN, False).double()
    with torch.no_grad():
        for parameter in field.head.second.parameters():
            parameter.zero_()
        known = (x_t, start, t, LAG, molecule.z, molecule.adjacency, molecule.distance)
        torch.testing.assert_close(field(*known, rigid)[0], field(*known)[0])
    torch.testing.assert_close(
        remove_rigid_motion(molecule.pair.end, start), molecule.pair.end, rtol=0, atol=1e-5
    )  # the answer has no rigid motion, so a loss without the last projection has the same minimum


def test_the_published_form_is_exact_beyond_its_receptive_field():
    config = PublishedConfig(trunk=TrunkConfig(**SMALL, layers=2, cutoff=3.0), graph=GraphConfig(cutoff=3.0))
    assert receptive_field(config) == 9.0 and receptive_field(PublishedConfig()) == 25.0
    molecule, field = LongMolecule(), VectorField(config, torch.Generator().manual_seed(1))
    search, x_t = NeighbourSearch(config.graph), molecule.x_t(PLAIN)[0]

    def loss(atoms: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        here, z = x_t[atoms], molecule.z[atoms]
        table = search(here, torch.zeros_like(atoms), z)
        velocity, denoiser, _ = field(here, z, torch.full(atoms.shape, 0.4), table)
        both = torch.stack([velocity, denoiser])
        return both, ((both - 1.0).square().mean((0, 2)) * weights).sum()

    for environment, exact in ((4.0 + 9.0, True), (4.0 + 3.0, False)):
        found = cut(x_t, molecule.middle, environment, 4.0)
        weights = torch.zeros(molecule.count).index_put([found.atoms], found.weights)
        whole, expected = loss(torch.arange(molecule.count), weights)
        part, own = loss(found.atoms, found.weights)
        largest = float((part - whole[:, found.atoms])[:, found.gradient].detach().abs().max())
        assert (largest < 1e-5 * float(whole.detach().abs().max())) is exact
        assert (relative(gradient_of(own, field), gradient_of(expected, field)) < 1e-5) is exact


def test_the_receptive_field_counts_layers_embedding_and_refinement():
    assert receptive_field(ConditionedConfig()) == 48.0
    assert receptive_field(ConditionedConfig(refine_layers=2, cutoff=5.0)) == 30.0


def test_a_field_that_sees_all_atoms_at_once_is_refused():
    molecule = LongMolecule("A")
    with pytest.raises(ConfigError, match=r"filters = 4.*all atoms at once"):
        molecule.cutter(ConditionedConfig(filters=4), 20.0, 8.0)
    with pytest.raises(ConfigError, match="gradient_radius"):
        molecule.cutter(ConditionedConfig(), 8.0, 20.0)


def test_the_mean_size_of_a_gradient_region():
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 0, 0]])
    assert mean_gradient_atoms(line, 1.5, 3) == (2 + 3 + 2 + 1) / 4


def test_weights_of_a_loss_choose_and_weigh_atoms():
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.randn(2, 5, 3, generator=generator) for _ in range(2))
    t = torch.tensor([0.2, 0.7])
    mean = end_point_error(one, two, t, 0.3, 0.5)
    torch.testing.assert_close(end_point_error(one, two, t, 0.3, 0.5, torch.full((5,), 0.2)), mean)
    only = end_point_error(one, two, t, 0.3, 0.5, torch.tensor([0.0, 1, 0, 0, 0]))
    torch.testing.assert_close(only, end_point_error(one[:, 1:2], two[:, 1:2], t, 0.3, 0.5))
    distance = bond_distance(adjacency_matrix(torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4]]), 5))
    lengths = torch.rand(5, 5, generator=generator)
    mean = reference_length_error(lengths, two, distance)
    torch.testing.assert_close(reference_length_error(lengths, two, distance, torch.full((5,), 0.7)), mean)
    assert float(reference_length_error(lengths, two, distance, torch.zeros(5))) == 0.0
