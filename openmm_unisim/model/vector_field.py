"""Vector-field model: velocity and denoiser of the published interpolant (spec sections 4.5, 5 and 7)."""

from typing import Tuple

from torch import Generator, Tensor, nn

from .config import PublishedConfig
from .encoder import Encoder
from .graph import NeighbourTable
from .heads import GatedVectorHead

__all__ = ["VectorField"]


class VectorField(nn.Module):
    """Encoder and the heads v = E[x_1 - x_0 | x_t] and eta = E[z | x_t].

    Parameters
    ----------
    config : PublishedConfig
    generator : torch.Generator, optional
        Source of the starting values.

    Attributes
    ----------
    velocity_scale : float
        The velocity head's own output is velocity_scale * v; a loss on it multiplies the velocity by this.
    """

    def __init__(self, config: PublishedConfig, generator: Generator | None = None) -> None:
        super().__init__()
        hidden, ffn = config.trunk.hidden, config.trunk.ffn
        self.velocity_scale = config.velocity_scale
        self.encoder = Encoder(config, generator)
        self.velocity_head = GatedVectorHead(hidden, ffn, hidden, True, generator)
        self.denoiser_head = GatedVectorHead(hidden, ffn, hidden, True, generator)

    def forward(
        self, positions: Tensor, z_index: Tensor, interpolant_time: Tensor, table: NeighbourTable
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Velocity, denoiser and the encoder's scalars.

        Parameters
        ----------
        positions : Tensor, shape (n_atoms, 3), angstrom
            x_t.
        z_index : Tensor, shape (n_atoms,), int64
        interpolant_time : Tensor, shape (n_atoms,)
        table : NeighbourTable

        Returns
        -------
        velocity : Tensor, shape (n_atoms, 3), angstrom per unit of interpolant time
        denoiser : Tensor, shape (n_atoms, 3)
        scalars : Tensor, shape (n_atoms, H)
            For the guidance kernel.
        """
        scalars, vectors = self.encoder(positions, z_index, interpolant_time, table)
        velocity = self.velocity_head(scalars, vectors)[1].sum(-1) / self.velocity_scale
        denoiser = self.denoiser_head(scalars, vectors)[1].sum(-1)
        return velocity, denoiser, scalars
