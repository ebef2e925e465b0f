"""Atom embedding with an element's expansion table.

=========  =================================================  ====================
symbol     meaning                                            variable
=========  =================================================  ====================
E          elements, 29 x (H - extra)                         element
Nb         elements as neighbours, 29 x H                     neighbour_element
W_d        edge features -> H                                 edge
W_w        [x0; n] -> weights of the expansion                expansion_weight
T          expansion table, 29 x D x H                        expansion
W_c        [x0; e; n] -> H                                    combine
=========  =================================================  ====================

n_i = sum_{j != i} [(W_d phi_ij + b_d) C_ij] * Nb[z_j],  w_i = softmax(W_w [x0_i; n_i] + b_w),
e_i = sum_c w_ic T[z_i, c],  x_i = W_c [x0_i; e_i; n_i] + b_c. Source: UniSim, spec section 4.3.
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ..elements import MAX_ATOMIC_NUMBER, vocabulary_lookup
from ..errors import UnknownElementError
from .config import TrunkConfig
from .graph import NeighbourTable, spread_sources, table_layout
from .initialise import start_linear

__all__ = ["AtomEmbedding", "ElementIndex"]


class ElementIndex(nn.Module):
    """Vocabulary index of atomic numbers; an element outside the vocabulary is an error."""

    lookup: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.largest = MAX_ATOMIC_NUMBER
        self.register_buffer("lookup", torch.tensor(vocabulary_lookup()), persistent=False)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Translate atomic numbers.

        Parameters
        ----------
        atomic_numbers : Tensor, shape (n_atoms,), int64

        Returns
        -------
        Tensor, shape (n_atoms,), int64
            0..28, in the order of `openmm_unisim.elements.VOCABULARY`.

        Raises
        ------
        UnknownElementError
            Naming the first such atom; scripted, a torch.jit.Error of the same text.
        """
        index = self.lookup[atomic_numbers.clamp(0, self.largest)]
        unknown = (index < 0) | (atomic_numbers < 0) | (atomic_numbers > self.largest)
        if bool(unknown.any()):
            atom = int(unknown.nonzero()[0, 0].item())
            number = int(atomic_numbers[atom].item())
            raise UnknownElementError(
                f"Atom {atom} has atomic number {number}, which the networks do not know; "
                "remove that atom from the jumping particles."
            )
        return index


class AtomEmbedding(nn.Module):
    """First scalars of the atoms, from elements, given channels and the neighbours' elements.

    Parameters
    ----------
    config : TrunkConfig
        Reads hidden, elements, extra_scalars, expand and the edge features' width.
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(self, config: TrunkConfig, generator: Generator | None = None) -> None:
        super().__init__()
        hidden = config.hidden
        self.hidden = hidden
        self.expand = config.expand
        self.element = nn.Embedding(config.elements, hidden - config.extra_scalars)
        self.neighbour_element = nn.Embedding(config.elements, hidden)
        self.edge = nn.Linear(config.edge_width, hidden)
        self.expansion_weight = nn.Linear(2 * hidden, config.expand)
        self.expansion = nn.Parameter(torch.empty(config.elements, config.expand, hidden))
        self.combine = nn.Linear(3 * hidden, hidden)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None) -> None:
        """N(0, 1) tables, Xavier-uniform linears."""
        for table in (self.element.weight, self.neighbour_element.weight, self.expansion):
            nn.init.normal_(table, generator=generator)
        for linear in (self.edge, self.expansion_weight, self.combine):
            start_linear(linear, generator)

    def neighbour_sum(
        self, z_index: Tensor, table: NeighbourTable, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """n_i, shape (n_atoms, H): see the head of this file."""
        groups, per_group, slots = table_layout(table)
        own = torch.arange(z_index.size(0), device=z_index.device).unsqueeze(1)
        weight = envelope * (table.mask & (table.index != own)).to(envelope.dtype)
        filters = self.edge(radial).view(groups, per_group, slots, self.hidden)
        neighbours = spread_sources(self.neighbour_element(z_index), table)
        total = (filters * neighbours * weight.view(groups, per_group, slots, 1)).sum(2)
        return total.view(-1, self.hidden)

    def forward(
        self, z_index: Tensor, extra: Tensor, table: NeighbourTable, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """First scalars.

        Parameters
        ----------
        z_index : Tensor, shape (n_atoms,), int64
            Vocabulary indices.
        extra : Tensor, shape (n_atoms, extra_scalars)
            Given channels; published: the interpolant time.
        table : NeighbourTable
        radial : Tensor, shape (n_atoms, K, R)
            Edge features.
        envelope : Tensor, shape (n_atoms, K)
            C(r) of the edges.

        Returns
        -------
        Tensor, shape (n_atoms, H)
        """
        own = torch.cat([self.element(z_index), extra], 1)
        neighbours = self.neighbour_sum(z_index, table, radial, envelope)
        weights = torch.softmax(self.expansion_weight(torch.cat([own, neighbours], 1)), 1)
        rows = functional.embedding(z_index, self.expansion.flatten(1)).view(-1, self.expand, self.hidden)
        expanded = torch.bmm(weights.unsqueeze(1), rows).squeeze(1)
        return self.combine(torch.cat([own, expanded, neighbours], 1))
