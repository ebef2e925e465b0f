"""The published encoder: radial basis, atom embedding and trunk on the graph of the current positions."""

from typing import Tuple

import torch
from torch import Generator, Tensor, nn

from ..elements import VOCABULARY
from .config import PublishedConfig
from .embedding import AtomEmbedding
from .graph import NeighbourTable, edge_geometry, gather_sources
from .radial import ExpNormRadial, cosine_envelope
from .transformer import Trunk

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """Positions, elements and time to scalars and vectors per atom (UniSim, spec sections 4.1 to 4.4).

    With `vector_envelope` the envelope of an edge with a hydrogen falls to zero at the hydrogen cutoff, so
    that no edge leaves the graph abruptly.

    Parameters
    ----------
    config : PublishedConfig
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(self, config: PublishedConfig, generator: Generator | None = None) -> None:
        super().__init__()
        trunk = config.trunk
        self.hidden = trunk.hidden
        self.cutoff = trunk.cutoff
        self.hydrogen_cutoff = min(config.graph.hydrogen_cutoff, trunk.cutoff)
        self.smooth = trunk.vector_envelope
        self.hydrogen = VOCABULARY.index("H")
        self.radial = ExpNormRadial(trunk.rbf, trunk.cutoff, trunk.trainable_radial)
        self.embedding = AtomEmbedding(trunk, generator)
        self.trunk = Trunk(trunk, generator)

    def edge_envelope(self, distance: Tensor, z_index: Tensor, table: NeighbourTable) -> Tensor:
        """C(r) of each edge, shape (n_atoms, K)."""
        envelope = cosine_envelope(distance, self.cutoff)
        if self.smooth:
            is_hydrogen = z_index == self.hydrogen
            either = gather_sources(is_hydrogen, table) | is_hydrogen.unsqueeze(1)
            envelope = torch.where(either, cosine_envelope(distance, self.hydrogen_cutoff), envelope)
        return envelope

    def forward(
        self, positions: Tensor, z_index: Tensor, interpolant_time: Tensor, table: NeighbourTable
    ) -> Tuple[Tensor, Tensor]:
        """Encode.

        Parameters
        ----------
        positions : Tensor, shape (n_atoms, 3), angstrom
        z_index : Tensor, shape (n_atoms,), int64
            Vocabulary indices, see `ElementIndex`.
        interpolant_time : Tensor, shape (n_atoms,)
            t of each atom's molecule.
        table : NeighbourTable
            From `published_table`.

        Returns
        -------
        scalars : Tensor, shape (n_atoms, H)
        vectors : Tensor, shape (n_atoms, 3, H)
        """
        distance, direction = edge_geometry(positions, table)
        radial = self.radial(distance)
        envelope = self.edge_envelope(distance, z_index, table)
        time = interpolant_time.to(positions.dtype).unsqueeze(1)
        scalars = self.embedding(z_index, time, table, radial, envelope)
        vectors = torch.zeros(
            positions.size(0), 3, self.hidden, dtype=positions.dtype, device=positions.device
        )
        return self.trunk(scalars, vectors, table, radial, direction.unsqueeze(-1), envelope)
