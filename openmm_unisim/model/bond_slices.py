"""The bond graph of atoms cut from a larger molecule, as the whole molecule has it; memory grows with the cut.

Two atoms of a cut may be joined over atoms outside, and places look along bonds that leave it. So bond distances are
walks on the whole molecule's bonds, and places get the atoms beyond the cut's edge: its halo.
"""

import torch
from torch import Tensor

from .bond_graph import FAR

__all__ = ["BondSlices"]


class BondSlices:
    """Cuts from one molecule's bond graph.

    Parameters
    ----------
    bonds : Tensor, shape (n_bonds, 2), int64
    n_atoms : int
    """

    def __init__(self, bonds: Tensor, n_atoms: int) -> None:
        ends = torch.cat([bonds, bonds.flip(1)]).unique(
            dim=0
        )  # sorted by the first atom, a repeated bond once
        valence = torch.bincount(ends[:, 0], minlength=n_atoms)
        most = int(valence.max()) if len(ends) else 1
        self.neighbours = torch.arange(n_atoms).unsqueeze(1).repeat(1, most)  # padded with the atom itself
        slot = torch.arange(len(ends)) - (valence.cumsum(0) - valence)[ends[:, 0]]
        self.neighbours[ends[:, 0], slot] = ends[:, 1]

    def _places(self, atoms: Tensor) -> Tensor:
        """Where each atom of the molecule stands in `atoms`, shape (n_atoms,); -1: not there."""
        places = torch.full((len(self.neighbours),), -1)
        places[atoms] = torch.arange(len(atoms))
        return places

    def distance(self, atoms: Tensor) -> Tensor:
        """`bond_distance` of the whole molecule between `atoms`, shape (n, n), int64."""
        places, count = self._places(atoms), len(atoms)
        walks = [atoms.unsqueeze(1)]
        for _ in range(1, FAR):
            walks.append(self.neighbours[walks[-1]].flatten(1))
        distance = torch.full((count, count), FAR)
        for steps in reversed(range(FAR)):  # shorter walks overwrite longer ones
            ends = places[walks[steps]]
            first = torch.arange(count).unsqueeze(1).expand_as(ends)
            distance[first[ends >= 0], ends[ends >= 0]] = steps
        return distance

    def with_halo(self, atoms: Tensor, rounds: int) -> Tensor:
        """`atoms`, then all others within so many bonds of them."""
        places = self._places(atoms)
        frontier, halo = atoms, [atoms]
        for _ in range(rounds):
            reached = self.neighbours[frontier].unique()
            frontier = reached[places[reached] < 0]
            places[frontier] = len(places)
            halo.append(frontier)
        return torch.cat(halo)

    def adjacency(self, atoms: Tensor) -> Tensor:
        """`adjacency_matrix` of the bonds between `atoms`, shape (n, n), float32."""
        ends = self._places(atoms)[self.neighbours[atoms]]
        first = torch.arange(len(atoms)).unsqueeze(1).expand_as(ends)
        bonded = (ends >= 0) & (ends != first)
        matrix = torch.zeros(len(atoms), len(atoms))
        matrix[first[bonded], ends[bonded]] = 1.0
        return matrix
