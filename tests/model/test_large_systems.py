"""What thousands of atoms need: cell list, atom embedding and blocks of atoms as operators, against their twins."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from openmm_unisim.errors import PluginError
from openmm_unisim.model.config import GraphConfig, PublishedConfig, TrunkConfig
from openmm_unisim.model.embedding import AtomEmbedding
from openmm_unisim.model.fused import for_inference
from openmm_unisim.model.graph import NeighbourTable, published_table
from openmm_unisim.model.inference import CellListSearch, TabulatedEmbedding
from openmm_unisim.model.neighbour_search import NeighbourSearch
from openmm_unisim.model.radial import ExpNormRadial
from openmm_unisim.model.vector_field import VectorField

from .test_fused import largest_relative

try:
    from openmm_unisim._plugin import load_operators

    load_operators()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

TRUNK = TrunkConfig(hidden=40, heads=4, layers=2, ffn=24, rbf=16, expand=6)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def droplet(n: int, seed: int = 3, spacing: float = 2.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (angstrom, double) at a protein's density in random order, and vocabulary indices."""
    edge = int(n ** (1 / 3)) + 1
    sites = torch.cartesian_prod(*[torch.arange(edge, dtype=torch.float64)] * 3) * spacing
    chosen = sites[torch.randperm(len(sites), generator=generator(seed))[:n]]
    noise = 0.3 * torch.randn(n, 3, dtype=torch.float64, generator=generator(seed + 1))
    return chosen + noise, torch.randint(0, 7, (n,), generator=generator(seed + 2))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def tables(positions, molecule, hydrogen, cutoff=5.0, hydrogen_cutoff=3.5) -> tuple[NeighbourTable, tuple]:
    """Of the twin and of the operator."""
    plain = published_table(
        positions, molecule, hydrogen, torch.zeros_like(molecule), cutoff, hydrogen_cutoff
    )
    return plain, torch.ops.openmm_unisim.published_table(
        positions, molecule, hydrogen, cutoff, hydrogen_cutoff
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["droplet", "lattice", "far apart", "one place"])
@pytest.mark.parametrize("n", [1, 22, 1100])
def test_the_same_table(n, kind, dtype):
    """Index and mask to the last entry, whatever search the twin takes (1,100 atoms: cells)."""
    positions, z = droplet(n)
    if kind == "lattice":  # pairs exactly at the cutoffs and on the borders of cells
        positions = torch.randint(-4, 5, (n, 3), generator=generator()).double() * 0.5
        positions = 5.0 * positions.round()
    elif kind == "far apart":
        positions = positions * 40 + 1e4
    elif kind == "one place":
        positions = torch.zeros(min(n, 60), 3, dtype=torch.float64)
        z = z[: len(positions)]
    molecule = torch.randint(0, 3, (len(positions),), generator=generator(5))
    plain, (index, mask) = tables(positions.to(dtype), molecule, z == 0)
    assert torch.equal(index, plain.index) and torch.equal(mask, plain.mask)


def test_other_cutoffs_and_no_atoms():
    positions, z = droplet(300)
    molecule = torch.zeros(300, dtype=torch.int64)
    plain, (index, mask) = tables(positions, molecule, z == 0, 3.0, 3.0)
    assert torch.equal(index, plain.index) and torch.equal(mask, plain.mask)
    plain, (index, mask) = tables(positions[:0], molecule[:0], z[:0] == 0)
    assert index.shape == plain.index.shape and mask.shape == plain.mask.shape


def test_the_number_of_torch_threads_changes_no_table():
    positions, z = droplet(1500)
    molecule = torch.zeros(1500, dtype=torch.int64)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(torch.ops.openmm_unisim.published_table(positions, molecule, z == 0, 5.0, 3.5))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_positions_that_make_no_sense_are_errors():
    positions, z = droplet(5)
    molecule, search = torch.zeros(5, dtype=torch.int64), CellListSearch(NeighbourSearch(GraphConfig()))
    positions[2, 1] = float("nan")
    with pytest.raises(RuntimeError, match=r"NaN or infinite numbers.*check the last step"):
        search(positions, molecule, z)
    positions[2, 1] = 1e30
    with pytest.raises(RuntimeError, match="flown apart"):
        search(positions, molecule, z)
    with pytest.raises(RuntimeError, match="negative molecule"):
        search(droplet(5)[0], molecule - 1, z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [3, 130])
def test_atom_embedding(n, dtype):
    """The whole embedding, more than two blocks of atoms among the sizes."""
    plain = AtomEmbedding(TRUNK, generator()).to(dtype)
    plain.combine.bias.add_(0.3)
    plain.expansion_weight.bias.add_(torch.randn(6, generator=generator()).to(dtype))
    radial = ExpNormRadial(16, 5.0).to(dtype)
    packed = TabulatedEmbedding(plain, radial, 5.0)
    positions, z = droplet(n)
    molecule = torch.zeros(n, dtype=torch.int64)
    table = published_table(positions, molecule, z == 0, molecule)
    distance = torch.cdist(positions, positions).gather(1, table.index).to(dtype)
    envelope = torch.rand(distance.shape, generator=generator()).to(dtype)
    time = torch.rand(n, 1, generator=generator()).to(dtype)
    expected = plain(z, time, table, radial(distance), envelope)
    assert largest_relative(packed(z, time, table, distance, envelope), expected) < 1e-5
    weights = [packed.element, packed.choice, packed.choice_bias, packed.expansion, packed.combine,
               packed.combine_bias]  # fmt: skip
    with pytest.raises(RuntimeError, match="outside the vocabulary"):
        torch.ops.openmm_unisim.embed_atoms(z + 29, time, expected, weights)
    with pytest.raises(RuntimeError, match="prepare the module again"):
        torch.ops.openmm_unisim.embed_atoms(z, time, expected, [*weights[:4], weights[1], weights[5]])


class LargestResult(TorchDispatchMode):
    """Notes the largest array that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for array in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(array, torch.Tensor):
                self.numbers = max(self.numbers, array.numel())
        return result


@pytest.mark.parametrize("threads", [1, 2])
def test_vector_field_of_a_thousand_atoms(threads):
    """Fused against plain, float32, on many blocks; no array of edges times channels between operators."""
    config = PublishedConfig(trunk=TRUNK)
    plain, packed = (VectorField(config, generator()).eval() for _ in range(2))
    packed = for_inference(packed)
    positions, z = droplet(1003)
    positions, molecule = positions.float(), torch.zeros(1003, dtype=torch.int64)
    table = NeighbourSearch(config.graph)(positions, molecule, z)
    given = (positions, z, torch.full((1003,), 0.4), table)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with LargestResult() as seen:
            found = packed(*given)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, plain(*given)):
        assert largest_relative(one, other) < 1e-5
    slots = table.index.size(1)
    assert seen.numbers <= 1003 * max(3 * slots, 3 * TRUNK.hidden) < 1003 * slots * TRUNK.hidden


def test_the_search_is_replaced_for_inference():
    module = for_inference(torch.nn.ModuleList([NeighbourSearch(GraphConfig())]))
    assert isinstance(module[0], CellListSearch)
    positions, z = droplet(40)
    molecule = torch.zeros(40, dtype=torch.int64)
    plain = NeighbourSearch(GraphConfig())(positions, molecule, z)
    found = module[0](positions, molecule, z)
    assert found.block == 0 and torch.equal(found.index, plain.index)
