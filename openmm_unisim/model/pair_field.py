"""The conditioned form over a list of pairs, by operators with first derivatives: what training runs on.

Its envelope is exactly zero beyond `cutoff`, on every message and in the embedding, so leaving out pairs beyond it
changes nothing; and each pair is worked on once for both its edges, which have equal features and opposite vectors.
Work and memory grow with the pairs within the cutoff. Parameters are shared with the plain field, whose code remains
the definition: training the one trains the other.
"""

from typing import List, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from ..interpolant.bridge import input_scale
from .attention import EquivariantAttention
from .bond_graph import FAR
from .conditioned import ConditionedField
from .embedding import AtomEmbedding
from .pair_features import PairFeatures
from .pair_operators import register_derivatives
from .refinement import Refinement

__all__ = ["PairField", "PairList", "near_pairs"]


class PairList(NamedTuple):
    """Pairs of atoms of copies of one molecule, in place of a `NeighbourTable`.

    Attributes
    ----------
    first, second : Tensor, shape (n_pairs,), int64
        Atoms of each pair, first <= second, copy by copy; every atom is paired with itself, too.
    start : Tensor, shape (n_copies + 1,), int64
        First pair of each copy, and their number.
    """

    first: Tensor
    second: Tensor
    start: Tensor


def near_pairs(positions: Tensor, cutoff: float) -> PairList:
    """Pairs of each copy within the cutoff.

    Parameters
    ----------
    positions : Tensor, shape (n_copies, n_atoms, 3), angstrom
    cutoff : float, angstrom

    Returns
    -------
    PairList
    """
    first, second, start = torch.ops.openmm_unisim.near_pairs(positions.detach(), cutoff)
    return PairList(first, second, start)


def share(target: nn.Module, source: nn.Module) -> None:
    """Give `target` everything that `source` holds; parameters and buffers are the same objects."""
    for name, value in vars(source).items():
        vars(target)[name] = value.copy() if isinstance(value, dict) else value


def _described(pairs: PairFeatures, scale: Tensor) -> List[Tensor]:
    return [pairs.distance, pairs.reference, pairs.times, scale, pairs.width]


def _edge_weights(owner: ConditionedField | Refinement) -> List[Tensor]:
    radial, first, second = owner.radial, owner.edge_first, owner.edge_second
    return [radial.means, radial.betas, first.weight, first.bias, second.weight, second.bias]


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

    def forward(  # type: ignore[override]  # a list of pairs is the table here
        self, scalars: Tensor, vectors: Tensor, table: PairList, edge_features: Tensor, edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """`EquivariantAttention.forward`, with arrays of edges (n_pairs, ...)."""
        node, node_bias = self.node_weights()
        filters, filter_bias = self.filter_weights()
        weights = [self.norm.weight, self.norm.bias, node, node_bias, self.mix.weight, self.output.weight,
                   self.output.bias, filters, filter_bias]  # fmt: skip
        results = torch.ops.openmm_unisim.pair_layer(
            scalars, vectors, table.first, table.second, table.start, edge_features, edge_vectors, envelope, weights,
            self.heads, self.norm.eps,
        )  # fmt: skip
        return results[0], results[1]


class PairAtomEmbedding(AtomEmbedding):
    """`AtomEmbedding` whose sum over neighbours is one over pairs."""

    def __init__(self, embedding: AtomEmbedding) -> None:
        nn.Module.__init__(self)
        share(self, embedding)

    def neighbour_sum(  # type: ignore[override]  # a list of pairs is the table here
        self, z_index: Tensor, table: PairList, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """`AtomEmbedding.neighbour_sum`."""
        return torch.ops.openmm_unisim.pair_sum(
            radial, envelope, self.neighbour_element(z_index), self.edge.weight, self.edge.bias, table.first,
            table.second, table.start,
        )  # fmt: skip


class PairRefinement(Refinement):
    """A `Refinement` over the pairs that are near at the predicted end point."""

    def __init__(self, refinement: Refinement) -> None:
        nn.Module.__init__(self)
        share(self, refinement)

    def table(self, end_point: Tensor, table: PairList) -> PairList:  # type: ignore[override]
        """Pairs within the cutoff of the end point's own geometry."""
        return near_pairs(end_point, self.cutoff)

    def edges(  # type: ignore[override]  # a list of pairs is the table here
        self, end_point: Tensor, initial: Tensor, residual: Tensor, table: PairList, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`Refinement.edges`: embedding (n_pairs, edge_width), vectors (n_pairs, 3, 2) and envelope (n_pairs,)."""
        scale = torch.full_like(pairs.width, self.displacement)
        results = torch.ops.openmm_unisim.embed_pairs(
            end_point, initial, residual.view_as(end_point), table.first, table.second, table.start,
            _described(pairs, scale), _edge_weights(self), self.radial.alpha, self.cutoff, False, FAR + 1,
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

    def table(self, positions: Tensor) -> PairList:  # type: ignore[override]  # a list of pairs is the table here
        """Pairs within the cutoff."""
        return near_pairs(positions, self.cutoff)

    def pairs(self, distance: Tensor, reference: Tensor, times: Tensor, width: Tensor) -> PairFeatures:
        """`ConditionedField.pairs` without what the operator makes itself."""
        none = times.new_zeros(0)
        return PairFeatures(distance, reference, times, width, none, none)

    def edges(  # type: ignore[override]  # a list of pairs is the table here
        self, positions: Tensor, initial: Tensor, t: Tensor, table: PairList, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`ConditionedField.edges`: embedding (n_pairs, edge_width), vectors (n_pairs, 3, 2), envelope (n_pairs,)."""
        scale = input_scale(t, self.sigma, self.displacement)
        results = torch.ops.openmm_unisim.embed_pairs(
            positions, initial, (positions - initial) / scale.view(-1, 1, 1), table.first, table.second, table.start,
            _described(pairs, scale), _edge_weights(self), self.radial.alpha, self.cutoff, True, self.kinds,
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
