"""Neighbour tables: the published rules, the two searches, and the two layouts."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from openmm_unisim.errors import NonFiniteError
from openmm_unisim.model.graph import (
    NeighbourTable,
    edge_geometry,
    edge_pairs,
    full_table,
    gather_sources,
    published_table,
    spread_sources,
    table_from_pairs,
)


def pairs_of(table: NeighbourTable) -> set[tuple[int, int]]:
    return {tuple(pair) for pair in edge_pairs(table).T.tolist()}


def expected_pairs(x, molecule, hydrogen, monomer, cutoff=5.0, hydrogen_cutoff=3.5, neighbours=16):
    """The published rules as plain loops."""
    n = len(x)
    distance = torch.linalg.vector_norm(x[:, None] - x[None], dim=-1)
    edges = {
        (s, d) for s in range(n) for d in range(n)
        if molecule[s] == molecule[d] and monomer[s] == monomer[d] and distance[s, d] < cutoff
    }  # fmt: skip
    for ligand in range(n):
        if monomer[ligand] == 1:
            hosts = [i for i in range(n) if monomer[i] == 0 and molecule[i] == molecule[ligand]]
            for host in sorted(hosts, key=lambda i: float(distance[ligand, i]))[:neighbours]:
                edges |= {(ligand, host), (host, ligand)}
    return {
        (s, d) for s, d in edges if not ((hydrogen[s] or hydrogen[d]) and distance[s, d] > hydrogen_cutoff)
    }


def random_system(seed, n, kind):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, generator=generator, dtype=torch.float64) * 14 - 7
    if kind == "clustered":
        x = 0.8 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
        x += 40.0 * torch.randint(0, 3, (n, 1), generator=generator)
    if kind == "lattice":  # many pairs exactly on cell borders and at the cutoff
        x = torch.randint(-3, 4, (n, 3), generator=generator).double() * 2.5
    molecule = torch.randint(0, 3, (n,), generator=generator)
    hydrogen = torch.rand(n, generator=generator) < 0.4
    monomer = (torch.rand(n, generator=generator) < 0.15).long()
    return x, molecule, hydrogen, monomer


@pytest.mark.parametrize("kind", ["uniform", "clustered", "lattice"])
@pytest.mark.parametrize("limit", [0, 10_000], ids=["cells", "brute force"])
def test_published_rules(kind, limit):
    system = random_system(3, 90, kind)
    neighbours = 1000 if kind == "lattice" else 5  # a lattice has ties, among which any choice is right
    table = published_table(*system, neighbours=neighbours, brute_force_limit=limit)
    assert pairs_of(table) == expected_pairs(*system, neighbours=neighbours)


@pytest.mark.parametrize("kind", ["uniform", "clustered", "lattice"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cell_list_equals_brute_force(kind, dtype):
    x, molecule, hydrogen, monomer = random_system(7, 700, kind)
    x = (x + 500.0).to(dtype)
    cells = published_table(x, molecule, hydrogen, monomer, brute_force_limit=0)
    dense = published_table(x, molecule, hydrogen, monomer, brute_force_limit=10_000)
    assert torch.equal(cells.index, dense.index) and torch.equal(cells.mask, dense.mask)


def test_far_apart_molecules_need_no_memory():
    x = torch.tensor([[0.0, 0, 0], [1e5, 1e5, 1e5], [1e5 + 1, 1e5, 1e5]], dtype=torch.float64)
    zeros = torch.zeros(3, dtype=torch.long)
    table = published_table(x, zeros, zeros == 1, zeros, brute_force_limit=0)
    assert pairs_of(table) == {(0, 0), (1, 1), (2, 2), (1, 2), (2, 1)}


class LargestTensor(TorchDispatchMode):
    """Records the largest number of elements any operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_memory_is_linear_in_a_large_system():
    largest = {}
    for n in (2000, 16000):
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(n, 3, generator=generator) * (n / 0.05) ** (1 / 3)  # a fixed density
        zeros = torch.zeros(n, dtype=torch.long)
        with LargestTensor() as record:
            published_table(x, zeros, zeros == 1, zeros)
        largest[n] = record.elements / n
    assert largest[16000] < 1.3 * largest[2000] < 300


def test_thresholds_are_those_published():
    """The cutoff is strict, the hydrogen filter keeps its own value; self-loops are in."""
    x = torch.tensor([[0.0, 0, 0], [5.0, 0, 0], [0, 3.5, 0], [0, 0, 3.75]])
    hydrogen = torch.tensor([False, False, True, True])
    zeros = torch.zeros(4, dtype=torch.long)
    edges = pairs_of(published_table(x, zeros, hydrogen, zeros))
    assert edges == {(0, 0), (1, 1), (2, 2), (3, 3), (0, 2), (2, 0)}


def test_positions_that_are_not_finite_are_an_error():
    x = torch.zeros(3, 3)
    x[1, 2] = float("nan")
    zeros = torch.zeros(3, dtype=torch.long)
    with pytest.raises(NonFiniteError):
        published_table(x, zeros, zeros == 1, zeros)
    x[1, 2] = 1e30
    with pytest.raises(NonFiniteError, match="flown apart"):
        published_table(x, zeros, zeros == 1, zeros, brute_force_limit=0)


def test_table_from_pairs_pads_with_the_own_row():
    table = table_from_pairs(torch.tensor([2, 0, 1]), torch.tensor([0, 0, 2]), 3, 4)
    assert table.index.tolist() == [[0, 2, 0, 0], [1, 1, 1, 1], [1, 2, 2, 2]]
    assert table.mask.sum(1).tolist() == [2, 0, 1]
    assert table.block == 0


def test_empty_molecule_list():
    empty = torch.zeros(0, dtype=torch.long)
    for limit in (-1, 10):
        table = published_table(torch.zeros(0, 3), empty, empty == 1, empty, brute_force_limit=limit)
        assert table.index.shape[0] == 0


def test_block_gather_equals_general_gather():
    table = full_table(3, 4, torch.device("cpu"))
    general = NeighbourTable(table.index, table.mask, 0)
    x = torch.randn(
        12, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True
    )
    gathered = gather_sources(x, table)
    assert torch.equal(gathered, x[table.index])
    spread = spread_sources(x.reshape(12, 6), table).expand(3, 4, 4, 6).reshape(12, 4, 3, 2)
    assert torch.equal(spread, x[table.index])
    weight = torch.randn(gathered.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    block = torch.autograd.grad((gathered * weight).sum(), x)[0]
    indexed = torch.autograd.grad((gather_sources(x, general) * weight).sum(), x)[0]
    torch.testing.assert_close(block, indexed)
    assert pairs_of(table) == {(4 * c + i, 4 * c + j) for c in range(3) for i in range(4) for j in range(4)}


def test_geometry_is_differentiable_on_self_loops():
    table = full_table(1, 3, torch.device("cpu"))
    x = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5), requires_grad=True)
    distance, direction = edge_geometry(x, table)
    torch.testing.assert_close(distance, torch.cdist(x, x))
    torch.testing.assert_close(direction * distance.unsqueeze(-1), (x[None] - x[:, None]).detach() * 1.0)
    assert direction[range(3), range(3)].abs().max() == 0
    first = torch.autograd.grad(distance.sum() + direction.square().sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), x)[0]
    assert torch.isfinite(first).all() and torch.isfinite(second).all()
    assert torch.autograd.gradgradcheck(lambda y: edge_geometry(y, table), (x,))


def test_scripted_graph_equals_eager():
    system = random_system(11, 120, "uniform")
    scripted = torch.jit.script(published_table)
    for limit in (0, 1000):
        eager = published_table(*system, brute_force_limit=limit)
        other = scripted(*system, brute_force_limit=limit)
        assert torch.equal(eager.index, other.index) and torch.equal(eager.mask, other.mask)
