"""The trunk: attention layers and a last normalisation (UniSim, spec section 4.4)."""

from typing import Tuple

from torch import Generator, Tensor, nn

from .attention import EquivariantAttention
from .config import TrunkConfig
from .graph import NeighbourTable

__all__ = ["Trunk"]


class Trunk(nn.Module):
    """Equivariant transformer over given embeddings and edges.

    Parameters
    ----------
    config : TrunkConfig
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(self, config: TrunkConfig, generator: Generator | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList([EquivariantAttention(config, generator) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.hidden)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        table: NeighbourTable,
        edge_features: Tensor,
        edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:
        """Scalars and vectors after all layers.

        Parameters
        ----------
        scalars : Tensor, shape (n_atoms, H)
            Embedding.
        vectors : Tensor, shape (n_atoms, 3, H)
            Published: zeros.
        table : NeighbourTable
        edge_features : Tensor, shape (n_atoms, K, edge_features)
        edge_vectors : Tensor, shape (n_atoms, K, 3, W)
        envelope : Tensor, shape (n_atoms, K)

        Returns
        -------
        scalars : Tensor, shape (n_atoms, H)
            Normalised.
        vectors : Tensor, shape (n_atoms, 3, H)
        """
        for layer in self.layers:
            scalars, vectors = layer(scalars, vectors, table, edge_features, edge_vectors, envelope)
        return self.norm(scalars), vectors
