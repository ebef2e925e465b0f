"""The bond graph of a cut is that of the whole molecule."""

import pytest
import torch

from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.model.bond_graph import BondGraphEmbedding, adjacency_matrix, bond_distance
from openmm_unisim.model.bond_slices import BondSlices
from openmm_unisim.system import load_molecule

MOLECULE = load_molecule("ACE-WPC-NME")  # rings, sulphur
BONDS, COUNT = torch.from_numpy(MOLECULE.bonds), len(MOLECULE.positions)
ADJACENCY = adjacency_matrix(BONDS, COUNT)
CUTS = {
    "whole": torch.arange(COUNT),
    "some": torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))[:23],
    "one": torch.tensor([7]),
}


@pytest.mark.parametrize("name", CUTS)
def test_distances_count_bonds_that_leave_the_cut(name):
    atoms, slices = CUTS[name], BondSlices(BONDS, COUNT)
    assert torch.equal(slices.distance(atoms), bond_distance(ADJACENCY)[atoms][:, atoms])
    assert torch.equal(slices.adjacency(atoms), ADJACENCY[atoms][:, atoms])


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("name", CUTS)
def test_places_are_those_of_the_whole_molecule(name, rounds):
    atoms, slices = CUTS[name], BondSlices(BONDS, COUNT)
    z = torch.tensor(vocabulary_lookup())[torch.from_numpy(MOLECULE.atomic_numbers)]
    places = BondGraphEmbedding(29, 8, rounds, torch.Generator().manual_seed(2))
    around = slices.with_halo(atoms, rounds)
    assert torch.equal(around[: len(atoms)], atoms) and len(around.unique()) == len(around)
    with torch.no_grad():
        found = places(z[around], slices.adjacency(around))[: len(atoms)]
        torch.testing.assert_close(found, places(z, ADJACENCY)[atoms], rtol=1e-5, atol=1e-6)
        shorter = slices.with_halo(atoms, rounds - 1)
        wrong = places(z[shorter], slices.adjacency(shorter))[: len(atoms)]
    assert name == "whole" or float((wrong - found).abs().max()) > 1e-3


def test_a_molecule_without_bonds():
    slices = BondSlices(torch.zeros(0, 2, dtype=torch.int64), 3)
    assert slices.distance(torch.tensor([0, 2])).tolist() == [[0, 4], [4, 0]]
    assert slices.with_halo(torch.tensor([1]), 3).tolist() == [1]
    assert not bool(slices.adjacency(torch.arange(3)).any())
