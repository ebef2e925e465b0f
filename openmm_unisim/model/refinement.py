"""A second pass over the predicted end point: what its own geometry says about where the jump really ends.

=============  ==============================================================  ===========
symbol         meaning                                                         variable
=============  ==============================================================  ===========
y              x_0 + a (x_t - x_0): the end point seen through the noise       observed
xhat           end point of the first pass, molecule-wide                      end_point
(y - xhat)     residual, in units of c_out                                     residual
=============  ==============================================================  ===========

At interpolant times of .03 to .3 the noise blurs each atom of y by more than a bond length, but all atoms together fix
a torsion to ten degrees or so: xhat knows it, x_t and x_0, whose distances and directions the first pass works with,
don't show it. Whether a torsion lies on a barrier or in a basin is then read off the distances of xhat; the correction
toward the basin is small and was missed (basins and barriers came out blurred into each other). Not in the paper
(docs/deviations.md). Lengths in angstrom.
"""

from typing import Tuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .config import TrunkConfig
from .graph import NeighbourTable, edge_geometry, gather_sources
from .heads import GatedVectorHead
from .initialise import start_linear
from .pair_features import PairFeatures
from .radial import ExpNormRadial, cosine_envelope
from .soften import soften, soften_vectors
from .transformer import Trunk

__all__ = ["Refinement"]


class Refinement(nn.Module):
    """Correction of an end point, from its own distances; starts as zero.

    Parameters
    ----------
    trunk : TrunkConfig
        Sizes; `rbf` radial functions, finer than those of the first pass; two vectors an edge.
    given : int
        Channels of an edge that are given: kind of pair and time features.
    displacement : float
        RMS displacement of a coordinate over the lag, angstrom.
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(
        self, trunk: TrunkConfig, given: int, displacement: float, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.cutoff = trunk.cutoff
        self.displacement = displacement
        self.head_scale = trunk.hidden**-0.5
        self.radial = ExpNormRadial(trunk.rbf, trunk.cutoff, False)
        self.edge_first = nn.Linear(trunk.rbf + 2 + given, 2 * trunk.edge_width)
        self.edge_second = nn.Linear(2 * trunk.edge_width, trunk.edge_width)
        self.scalars = nn.Linear(trunk.hidden, trunk.hidden)
        self.residual_vectors = nn.Linear(trunk.hidden, trunk.hidden)
        self.vectors = nn.Linear(trunk.hidden, trunk.hidden, bias=False)
        self.trunk = Trunk(trunk, generator)
        self.head = GatedVectorHead(trunk.hidden, trunk.ffn, trunk.hidden, False, generator)
        for linear in (self.edge_first, self.edge_second, self.scalars, self.residual_vectors, self.vectors):
            start_linear(linear, generator)
        nn.init.zeros_(self.head.second.weight)  # so that it can be added to a trained network

    def table(self, end_point: Tensor, table: NeighbourTable) -> NeighbourTable:
        """Pairs that are looked at, given those of the first pass."""
        return table

    def edges(
        self, end_point: Tensor, initial: Tensor, residual: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Edge embedding (N, K, edge_width), edge vectors (N, K, 3, 2) and envelope (N, K); residual (N, 3)."""
        copies, atoms = end_point.size(0), end_point.size(1)
        length, direction = edge_geometry(end_point.reshape(-1, 3), table)
        before, _ = edge_geometry(initial.reshape(-1, 3), table)
        change = soften((length - before) / self.displacement, 4.0)
        width = pairs.width.repeat_interleave(atoms).view(-1, 1)
        strain = soften((length - pairs.reference.repeat(copies, 1)) / width, 4.0) * pairs.stiff
        features = torch.cat(
            [self.radial(length), change.unsqueeze(-1), strain.unsqueeze(-1), pairs.given], -1
        )
        embedded = functional.silu(self.edge_second(functional.silu(self.edge_first(features))))
        relative = soften_vectors(gather_sources(residual, table) - residual.unsqueeze(1), 4.0)
        return embedded, torch.stack([direction, relative], -1), cosine_envelope(length, self.cutoff)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        end_point: Tensor,
        initial: Tensor,
        observed: Tensor,
        spread: Tensor,
        pairs: PairFeatures,
        table: NeighbourTable,
    ) -> Tensor:
        """Correction in units of `spread`, shape (n_copies, n_atoms, 3).

        Parameters
        ----------
        scalars, vectors : Tensor, shapes (N, H) and (N, 3, H), N = n_copies * n_atoms
            Of the first pass.
        end_point, initial, observed : Tensor, shape (n_copies, n_atoms, 3)
            xhat, x_0 and y.
        spread : Tensor, shape (n_copies, 1, 1)
            c_out.
        pairs : PairFeatures
        table : NeighbourTable
        """
        table = self.table(end_point, table)
        residual = soften_vectors((observed - end_point) / spread, 6.0).reshape(-1, 3)
        embedded, arrows, envelope = self.edges(end_point, initial, residual, table, pairs)
        start = self.vectors(vectors) + residual.unsqueeze(-1) * self.residual_vectors(scalars).unsqueeze(1)
        h, v = self.trunk(self.scalars(scalars), start, table, embedded, arrows, envelope)
        _, carried = self.head(h, v)
        return carried.sum(-1).view_as(end_point) * self.head_scale
