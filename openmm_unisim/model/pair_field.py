"""The conditioned form over a list of pairs, by operators with first derivatives: what training runs on.

Its envelope is exactly zero beyond `cutoff`, on every message and in the embedding, so leaving out pairs beyond it
changes nothing; and each pair is worked on once for both its edges, which have equal features and opposite vectors.
The network's work and memory grow with the pairs within the cutoff (finding them looks at all pairs). Parameters are
shared with the plain field, whose code remains the definition: training the one trains the other.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn

from ..interpolant.bridge import input_scale
from .attention import EquivariantAttention
from .bond_graph import FAR
from .conditioned import ConditionedField
from .embedding import AtomEmbedding
from .graph import NeighbourTable
from .pair_features import PairFeatures
from .pair_operators import register_derivatives
from .refinement import Refinement

__all__ = ["PairField", "near_pairs"]


def near_pairs(positions: Tensor, cutoff: float) -> NeighbourTable:
    """Pairs of each copy within the cutoff, in the form of a table, so that layers take either.

    Parameters
    ----------
    positions : Tensor, shape (n_copies, n_atoms, 3), angstrom
    cutoff : float, angstrom

    Returns
    -------
    NeighbourTable
        `index`, shape (2, n_pairs): atoms i <= j of each pair, copy by copy; every atom is paired with itself, too.
        `mask` is empty, nothing being padded; `block` is n_atoms.
    """
    index = torch.ops.openmm_unisim.near_pairs(positions.detach(), cutoff)
    return NeighbourTable(index, torch.zeros([0], dtype=torch.bool), positions.size(1))


def share(target: nn.Module, source: nn.Module) -> None:
    """Give `target` everything that `source` holds; parameters and buffers are the same objects."""
    for name, value in vars(source).items():
        vars(target)[name] = value.copy() if isinstance(value, dict) else value


def _described(pairs: PairFeatures, scale: Tensor) -> List[Tensor]:
    return [pairs.distance, pairs.reference, pairs.times, scale, pairs.width]


class DenseLinear(nn.Linear):
    """A linear layer by the operators' matrix product, which is faster than torch's on some processors."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        share(self, linear)

    def forward(self, input: Tensor) -> Tensor:
        """`nn.Linear.forward`."""
        return torch.ops.openmm_unisim.dense(input, self.weight, self.bias)


class PairAttention(EquivariantAttention):
    """An attention layer over pairs, forward and backward as one operator each."""

    def __init__(self, layer: EquivariantAttention) -> None:
        nn.Module.__init__(self)
        share(self, layer)

    def forward(
        self, scalars: Tensor, vectors: Tensor, table: NeighbourTable, edge_features: Tensor, edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """`EquivariantAttention.forward`, with arrays of edges (n_pairs, ...)."""
        node, node_bias = self.node_weights()
        filters, filter_bias = self.filter_weights()
        weights = [self.norm.weight, self.norm.bias, node, node_bias, self.mix.weight, self.output.weight,
                   self.output.bias, filters, filter_bias]  # fmt: skip
        results = torch.ops.openmm_unisim.pair_layer(
            scalars, vectors, table.index, table.block, edge_features, edge_vectors, envelope, weights,
            self.heads, self.norm.eps,
        )  # fmt: skip
        return results[0], results[1]


class PairAtomEmbedding(AtomEmbedding):
    """`AtomEmbedding` whose sum over neighbours is one over pairs."""

    def __init__(self, embedding: AtomEmbedding) -> None:
        nn.Module.__init__(self)
        share(self, embedding)

    def neighbour_sum(
        self, z_index: Tensor, table: NeighbourTable, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """`AtomEmbedding.neighbour_sum`."""
        return torch.ops.openmm_unisim.pair_sum(
            radial, envelope, self.neighbour_element(z_index), self.edge.weight, self.edge.bias, table.index,
            table.block,
        )  # fmt: skip


class PairRefinement(Refinement):
    """A `Refinement` over the pairs that are near at the predicted end point."""

    def __init__(self, refinement: Refinement) -> None:
        nn.Module.__init__(self)
        share(self, refinement)
        self.kinds = FAR + 1

    def edge_weights(self) -> List[Tensor]:
        """Radial basis and edge linears, in the operator's order."""
        first, second = self.edge_first, self.edge_second
        return [self.radial.means, self.radial.betas, first.weight, first.bias, second.weight, second.bias]

    def table(self, end_point: Tensor, table: NeighbourTable) -> NeighbourTable:
        """Pairs within the cutoff of the end point's own geometry."""
        return near_pairs(end_point, self.cutoff)

    def edges(
        self, end_point: Tensor, initial: Tensor, residual: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`Refinement.edges`: embedding (n_pairs, edge_width), vectors (n_pairs, 3, 2) and envelope (n_pairs,)."""
        scale = torch.full_like(pairs.width, self.displacement)
        results = torch.ops.openmm_unisim.embed_pairs(
            end_point, initial, residual.view_as(end_point), table.index,
            _described(pairs, scale), self.edge_weights(), self.radial.alpha, self.cutoff, False, self.kinds,
        )  # fmt: skip
        return results[0], results[1], results[2]


class PairField(ConditionedField):
    """A `ConditionedField` for training.

    Parameters
    ----------
    field : ConditionedField
        Left as it is; the parameters are shared.

    Raises
    ------
    PluginError
        If the operators' library was not built.
    """

    def __init__(self, field: ConditionedField) -> None:
        register_derivatives()
        nn.Module.__init__(self)
        share(self, field)
        for name, child in field.named_children():
            setattr(self, name, _over_pairs(child))

    def edge_weights(self) -> List[Tensor]:
        """Radial basis and edge linears, in the operator's order."""
        first, second = self.edge_first, self.edge_second
        return [self.radial.means, self.radial.betas, first.weight, first.bias, second.weight, second.bias]

    def describe(self, z_index: Tensor, adjacency: Tensor, distance: Tensor) -> Tuple[Tensor, Tensor]:
        """`ConditionedField.describe`; reference lengths of stiff pairs only, which is all that is read of them."""
        place = self.places(z_index, adjacency)[: distance.size(0)]
        return place, self.places.stiff_length(place, distance)

    def table(self, positions: Tensor) -> NeighbourTable:
        """Pairs within the cutoff."""
        return near_pairs(positions, self.cutoff)

    def pairs(self, distance: Tensor, reference: Tensor, times: Tensor, width: Tensor) -> PairFeatures:
        """`ConditionedField.pairs` without what the operator makes itself."""
        none = times.new_zeros(0)
        return PairFeatures(distance, reference, times, width, none, none)

    def edges(
        self, positions: Tensor, initial: Tensor, t: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`ConditionedField.edges`: embedding (n_pairs, edge_width), vectors (n_pairs, 3, 2), envelope (n_pairs,)."""
        scale = input_scale(t, self.sigma, self.displacement)
        results = torch.ops.openmm_unisim.embed_pairs(
            positions, initial, (positions - initial) / scale.view(-1, 1, 1), table.index,
            _described(pairs, scale), self.edge_weights(), self.radial.alpha, self.cutoff, True, self.kinds,
        )  # fmt: skip
        return results[0], results[1], results[2]


def _over_pairs(module: nn.Module) -> nn.Module:
    """`module` with the same parameters, and its parts that have a form over pairs in that form."""
    if type(module) is nn.Linear:
        return DenseLinear(module)
    if isinstance(module, EquivariantAttention):
        return PairAttention(module)
    if isinstance(module, AtomEmbedding):
        copy: nn.Module = PairAtomEmbedding(module)
    elif isinstance(module, Refinement):
        copy = PairRefinement(module)
    else:
        copy = type(module).__new__(type(module))
        share(copy, module)
    for name, child in module.named_children():
        setattr(copy, name, _over_pairs(child))
    return copy
