"""What the Topology says about a molecule: bond distances, an embedding of each atom's place in the bond graph, and
reference lengths of its stiff distances. Computed from elements and bonds alone, once per molecule.

=========  ======================================================  ===============
symbol     meaning                                                 variable
=========  ======================================================  ===============
d_ij       bonds between i and j: 0 self, 1, 2, 3, 4 = more        bond_distance
h_i        embedding of atom i in the bond graph                   place
r_ref      learned mean length of 1-2 and 1-3 distances            reference_length
=========  ======================================================  ===============

Source: ours (docs/deviations.md); the published network sees elements and geometry only.
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .initialise import start_linear

FAR = 4  # bond distance of everything beyond three bonds
TYPICAL_LENGTH = (0.0, 1.3, 2.3, 0.0, 0.0)  # angstrom; the network learns the difference


def adjacency_matrix(bonds: Tensor, n_atoms: int) -> Tensor:
    """Symmetric 0/1 matrix, shape (n_atoms, n_atoms), float32, from bonds (n_bonds, 2)."""
    matrix = torch.zeros(n_atoms, n_atoms, device=bonds.device)
    matrix[bonds[:, 0], bonds[:, 1]] = 1.0
    matrix[bonds[:, 1], bonds[:, 0]] = 1.0
    return matrix


def bond_distance(adjacency: Tensor, far: int = FAR) -> Tensor:
    """Bonds between each pair, shape (n_atoms, n_atoms), int64: 0 self, 1, 2, 3, and 4 for more or none."""
    n_atoms = adjacency.size(0)
    distance = torch.full((n_atoms, n_atoms), far, dtype=torch.int64, device=adjacency.device)
    reach = torch.eye(n_atoms, device=adjacency.device)
    walk = reach
    distance = torch.where(reach > 0, torch.zeros_like(distance), distance)
    for step in range(1, far):
        walk = walk @ adjacency
        new = (walk > 0) & (distance == far)
        distance = torch.where(new, torch.full_like(distance, step), distance)
    return distance


class BondGraphEmbedding(nn.Module):
    """Places of the atoms in the bond graph, by rounds of neighbour sums.

    Parameters
    ----------
    elements : int
        Size of the vocabulary.
    width : int
        Channels of a place.
    rounds : int
        Bonds over which a place looks.
    generator : torch.Generator, optional
    """

    typical: Tensor

    def __init__(self, elements: int, width: int, rounds: int, generator: Generator | None = None) -> None:
        super().__init__()
        self.element = nn.Embedding(elements, width)
        self.own = nn.ModuleList([nn.Linear(width, width) for _ in range(rounds)])
        self.bonded = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(rounds)])
        self.length_first = nn.Linear(2 * width + FAR + 1, width)
        self.length_second = nn.Linear(width, 1)
        self.kinds = FAR + 1
        self.register_buffer("typical", torch.tensor(TYPICAL_LENGTH), persistent=False)
        nn.init.normal_(self.element.weight, generator=generator)
        for own, bonded in zip(self.own, self.bonded):
            for linear in (own, bonded):
                assert isinstance(linear, nn.Linear)
                start_linear(linear, generator)
        start_linear(self.length_first, generator)
        start_linear(self.length_second, generator)

    def forward(self, z_index: Tensor, adjacency: Tensor) -> Tensor:
        """Places, shape (n_atoms, width)."""
        place = self.element(z_index)
        for own, bonded in zip(self.own, self.bonded):
            place = place + functional.silu(own(place) + adjacency @ bonded(place))
        return functional.layer_norm(place, [place.size(1)])

    def reference_length(self, place: Tensor, distance: Tensor) -> Tensor:
        """r_ref of each pair, shape (n_atoms, n_atoms), angstrom; meaningful where the bond distance is 1 or 2."""
        kind = functional.one_hot(distance, self.kinds).to(place.dtype)
        first, second = place.unsqueeze(1), place.unsqueeze(0)
        pair = torch.cat([(first + second), first * second, kind], -1)
        correction = self.length_second(functional.silu(self.length_first(pair))).squeeze(-1)
        return self.typical[distance] + 0.3 * correction

    def stiff_length(self, place: Tensor, distance: Tensor) -> Tensor:
        """`reference_length` where the bond distance is 1 or 2, zero elsewhere: memory grows with these pairs.

        The full form holds some hundred numbers for every pair of atoms.
        """
        stiff = torch.nonzero((distance == 1) | (distance == 2))
        first, second = stiff[:, 0], stiff[:, 1]
        kind = distance[first, second]
        one, other = place[first], place[second]
        known = functional.one_hot(kind, self.kinds).to(place.dtype)
        pair = torch.cat([(one + other), one * other, known], -1)
        correction = self.length_second(functional.silu(self.length_first(pair))).squeeze(-1)
        length = self.typical[kind] + 0.3 * correction
        return torch.zeros_like(distance, dtype=place.dtype).index_put([first, second], length)
