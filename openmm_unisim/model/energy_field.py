"""Energy heads on the conditioned field's trunk: the network of pretraining.

=============  ==================================================================  ===============
symbol         meaning                                                             variable
=============  ==================================================================  ===============
x              positions; the field sees x_t = x_0 = x                             positions
E_k            energy by head k: sum over atoms of the mean of a head's scalars    energies
-dE_k/dx       force of head k                                                     by autograd
=============  ==================================================================  ===============

With x_t = x_0 the displacement, its change of distances and its softened vectors are zero by identity, whatever x.
They are left out here rather than computed: in units of c_in(0) = 1e-5 they would be differences of huge derivatives.
Everything else (places, edges, embedding, layers, filters, the refinement's layers over x itself) is the field's own,
under the field's parameter names, so that a vector-field run can start from it. Source: ours, after UniSim's
representation model (spec sections 4.5 and 6); lengths in angstrom, energies in the unit of the labels times angstrom.
"""

from collections.abc import Sequence
from typing import Tuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .conditioned import ConditionedConfig, ConditionedField
from .global_filter import GlobalFilter
from .graph import NeighbourTable, edge_geometry
from .heads import GatedVectorHead
from .pair_features import PairFeatures
from .pair_field import PairField
from .radial import cosine_envelope
from .refinement import Refinement
from .soften import soften

__all__ = ["EnergyField", "PairEnergyField"]


def resting_weight(weight: Tensor, radial: int, passes: int) -> Tensor:
    """Columns of an edge linear that reads `passes` equal radial expansions and no change of distance.

    Parameters
    ----------
    weight : Tensor, shape (width, passes * radial + 2 + given)
        Columns: radial expansions, change of distance, strain, what is given.
    radial, passes : int
        Radial functions; 2 in the first pass (x_t and x_0), 1 in the refinement.

    Returns
    -------
    Tensor, shape (width, radial + 2 + given)
    """
    expansions = weight[:, : passes * radial].unflatten(1, (passes, radial)).sum(1)
    rest = weight[:, passes * radial + 1 :]
    return torch.cat([expansions, torch.zeros_like(rest[:, :1]), rest], 1)


class EnergyField(ConditionedField):
    """A `ConditionedField` with energy heads.

    Parameters
    ----------
    config : ConditionedConfig
    sources : sequence of str
        Names of the heads.
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(
        self, config: ConditionedConfig, sources: Sequence[str], generator: Generator | None = None
    ) -> None:
        super().__init__(config, generator)
        self.energy_heads = nn.ModuleDict(
            {name: GatedVectorHead(config.hidden, config.ffn, 1, False, generator) for name in sources}
        )
        for parameter in self.untouched():
            parameter.requires_grad_(False)

    def untouched(self) -> list[nn.Parameter]:
        """Parameters that energies don't depend on: what reads displacements, and the end point's heads."""
        modules: list[nn.Module] = [self.head, self.start_vectors]
        modules += [f.direction for f in self.filters.children() if isinstance(f, GlobalFilter)]
        if self.refinement is not None:
            modules += [self.refinement.head, self.refinement.residual_vectors]
        return [weight for module in modules for weight in module.parameters()]

    def resting_edges(
        self, part: "EnergyField | Refinement", positions: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Edges of a pass at x_t = x_0: embedding (N, K, edge_width), vectors (N, K, 3, 2), envelope (N, K)."""
        copies, atoms = positions.size(0), positions.size(1)
        length, direction = edge_geometry(positions.reshape(-1, 3), table)
        width = pairs.width.repeat_interleave(atoms).view(-1, 1)
        strain = soften((length - pairs.reference.repeat(copies, 1)) / width, 4.0) * pairs.stiff
        none = torch.zeros_like(strain)
        features = [part.radial(length), none.unsqueeze(-1), strain.unsqueeze(-1), pairs.given]
        first = functional.linear(torch.cat(features, -1), self._resting(part), part.edge_first.bias)
        embedded = functional.silu(part.edge_second(functional.silu(first)))
        arrows = torch.stack([direction, torch.zeros_like(direction)], -1)
        return embedded, arrows, cosine_envelope(length, part.cutoff)

    def _resting(self, part: "EnergyField | Refinement") -> Tensor:
        passes = 2 if part is self else 1
        return resting_weight(part.edge_first.weight, part.radial.means.size(0), passes)

    def energies(
        self, positions: Tensor, t: Tensor, z_index: Tensor, adjacency: Tensor, distance: Tensor, head: str
    ) -> Tensor:
        """Energies of copies of one molecule.

        Parameters
        ----------
        positions : Tensor, shape (n_copies, n_atoms, 3), angstrom
        t : Tensor, shape (n_copies,)
            Interpolant times, 0 or 1 in pretraining.
        z_index : Tensor, shape (n_atoms,), int64
        adjacency, distance : Tensor, shape (n_atoms, n_atoms)
            From `bond_graph`.
        head : str

        Returns
        -------
        Tensor, shape (n_copies,)
            In the unit of the head's force labels times angstrom.
        """
        place, reference = self.describe(z_index, adjacency, distance)
        copies, atoms = positions.size(0), positions.size(1)
        times = self.time_features(t).to(positions.dtype)
        width = torch.sqrt(self.sigma**2 * (1.0 - t) + self.stiff_variance)
        pairs = self.pairs(distance, reference.detach(), times, width)
        table = self.table(positions)
        scalars = positions.new_zeros(copies * atoms, 1)  # the logarithm of the lag, in units of 20 ps
        extra = torch.cat([place.repeat(copies, 1), times.repeat_interleave(atoms, 0), scalars], 1)
        edges = self.resting_edges(self, positions, table, pairs)
        scalars = self.embedding(z_index.repeat(copies), extra, table, edges[0], edges[2])
        vectors = positions.new_zeros(copies * atoms, 3, scalars.size(1))
        still = positions.new_zeros(copies * atoms, 3)
        for layer, filtered in zip(self.trunk.layers, self.filters):
            scalars, vectors = layer(scalars, vectors, table, *edges)
            scalars = filtered(scalars, vectors, still, copies)
        scalars = self.trunk.norm(scalars)
        if self.refinement is not None:
            scalars, vectors = self._refined(self.refinement, scalars, vectors, positions, table, pairs)
        atomic = self.energy_heads[head](scalars, vectors)[0].mean(1)
        return atomic.view(copies, atoms).sum(1)

    def _refined(
        self, part: Refinement, scalars: Tensor, vectors: Tensor, positions: Tensor, table: NeighbourTable,
        pairs: PairFeatures,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Scalars and vectors after the refinement's layers, whose predicted end point is x and residual zero."""
        edges = self.resting_edges(part, positions, table, pairs)
        return part.trunk(part.scalars(scalars), part.vectors(vectors), table, *edges)


class PairEnergyField(PairField, EnergyField):
    """An `EnergyField` over pairs within the cutoff, by operators that have first derivatives only."""

    def __init__(self, field: EnergyField) -> None:
        PairField.__init__(self, field)

    def resting_edges(
        self, part: "EnergyField | Refinement", positions: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`EnergyField.resting_edges`: (n_pairs, edge_width), (n_pairs, 3, 2) and (n_pairs,)."""
        first, second, radial = part.edge_first, part.edge_second, part.radial
        weights = [radial.means, radial.betas, self._resting(part), first.bias, second.weight, second.bias]
        described = [pairs.distance, pairs.reference, pairs.times, torch.ones_like(pairs.width), pairs.width]
        results = torch.ops.openmm_unisim.embed_pairs(
            positions, positions.detach(), torch.zeros_like(positions), table.index, described, weights,
            radial.alpha, part.cutoff, False, self.kinds,
        )  # fmt: skip
        return results[0], results[1], results[2]
