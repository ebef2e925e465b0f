"""Force-guidance kernel: a second trunk beside a frozen vector field (UniSim, spec section 8)."""

from typing import Tuple

from torch import Generator, Tensor, nn

from .config import PublishedConfig
from .encoder import Encoder
from .graph import NeighbourTable
from .heads import GatedVectorHead

__all__ = ["GuidanceKernel"]


class GuidanceKernel(nn.Module):
    """Own encoder, the base model's scalars added, and three vector heads.

    Parameters
    ----------
    config : PublishedConfig
    generator : torch.Generator, optional
        Source of the starting values.

    Attributes
    ----------
    guidance_scale : float
        What the potential's gradient is multiplied by in training (0.5) and the kernel's output divided by.
    """

    def __init__(self, config: PublishedConfig, generator: Generator | None = None) -> None:
        super().__init__()
        hidden, ffn = config.trunk.hidden, config.trunk.ffn
        self.guidance_scale = config.guidance_scale
        self.encoder = Encoder(config, generator)
        self.start_head = GatedVectorHead(hidden, ffn, hidden, True, generator)
        self.end_head = GatedVectorHead(hidden, ffn, hidden, True, generator)
        self.intermediate_head = GatedVectorHead(hidden, ffn, hidden, True, generator)

    def forward(
        self,
        positions: Tensor,
        z_index: Tensor,
        interpolant_time: Tensor,
        table: NeighbourTable,
        base_scalars: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Raw outputs of the three heads; `interpolant.published.intermediate_gradient` combines them.

        Parameters
        ----------
        positions : Tensor, shape (n_atoms, 3), angstrom
        z_index : Tensor, shape (n_atoms,), int64
        interpolant_time : Tensor, shape (n_atoms,)
        table : NeighbourTable
        base_scalars : Tensor, shape (n_atoms, H)
            Third output of the frozen `VectorField` for the same input.

        Returns
        -------
        start_gradient, end_gradient, correction : Tensor, shape (n_atoms, 3)
            bd0, bd1 and iff of spec section 8.
        """
        scalars, vectors = self.encoder(positions, z_index, interpolant_time, table)
        scalars = scalars + base_scalars
        return (
            self.start_head(scalars, vectors)[1].sum(-1),
            self.end_head(scalars, vectors)[1].sum(-1),
            self.intermediate_head(scalars, vectors)[1].sum(-1),
        )
