"""The conditioned form for inference: its edges by one operator, from positions to embedding (see `fused`)."""

from typing import List, Tuple

import torch
from torch import Tensor, nn

from ..interpolant.bridge import input_scale
from .attention import EquivariantAttention
from .bond_graph import FAR
from .conditioned import ConditionedField
from .graph import NeighbourTable
from .inference import PackedAttention, pack_panels
from .pair_features import PairFeatures
from .refinement import Refinement
from .transformer import Trunk

__all__ = ["PackedField", "PackedRefinement"]


def _pack_layers(trunk: Trunk) -> None:
    """Edge features are functions of lengths and of the bond graph, the same seen from either end."""
    for k, layer in enumerate(trunk.layers):
        assert isinstance(layer, EquivariantAttention)
        trunk.layers[k] = PackedAttention(layer, True)


def _share(target: nn.Module, source: nn.Module) -> None:
    """Give `target` everything that `source` holds."""
    for name, value in vars(source).items():
        vars(target)[name] = value.copy() if isinstance(value, dict) else value


class _EdgeWeights(nn.Module):
    """Radial basis and two linear layers of an edge embedding, as the operator reads them."""

    means: Tensor
    betas: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor

    def __init__(self, owner: ConditionedField | Refinement) -> None:
        super().__init__()
        arrays = {
            "means": owner.radial.means, "betas": owner.radial.betas, "first": pack_panels(owner.edge_first.weight),
            "first_bias": owner.edge_first.bias, "second": pack_panels(owner.edge_second.weight),
            "second_bias": owner.edge_second.bias,
        }  # fmt: skip
        self.decay = owner.radial.alpha
        for name, array in arrays.items():
            self.register_buffer(name, array.detach().clone(), persistent=False)

    def forward(self) -> List[Tensor]:
        """All arrays, in the operator's order."""
        return [self.means, self.betas, self.first, self.first_bias, self.second, self.second_bias]


class PackedField(ConditionedField):
    """A `ConditionedField` for inference.

    Parameters
    ----------
    field : ConditionedField
        Its parts are shared where they don't change.
    """

    def __init__(self, field: ConditionedField) -> None:
        nn.Module.__init__(self)
        _share(self, field)
        self.edge_weights = _EdgeWeights(field)
        _pack_layers(self.trunk)

    def table(self, positions: Tensor) -> NeighbourTable:
        """`ConditionedField.table`."""
        atoms = positions.size(1)
        index, mask = torch.ops.openmm_unisim.full_table(positions.size(0), atoms)
        return NeighbourTable(index, mask, atoms)

    def projected(self, prediction: Tensor, initial: Tensor) -> Tensor:
        """`ConditionedField.projected`."""
        return torch.ops.openmm_unisim.remove_rigid_motion(prediction, initial)

    def pairs(self, distance: Tensor, reference: Tensor, times: Tensor, width: Tensor) -> PairFeatures:
        """`ConditionedField.pairs` without what the operator makes itself."""
        none = times.new_zeros(0)
        return PairFeatures(distance, reference, times, width, none, none)

    def edges(
        self, positions: Tensor, initial: Tensor, t: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`ConditionedField.edges`."""
        scale = input_scale(t, self.sigma, self.displacement)
        return torch.ops.openmm_unisim.embed_edges(
            positions, initial, (positions - initial) / scale.view(-1, 1, 1), pairs.distance, pairs.reference,
            pairs.times, scale, pairs.width, self.edge_weights(), self.edge_weights.decay, self.cutoff, True,
            self.kinds,
        )  # fmt: skip


class PackedRefinement(Refinement):
    """A `Refinement` for inference.

    Parameters
    ----------
    refinement : Refinement
        Its parts are shared where they don't change.
    """

    def __init__(self, refinement: Refinement) -> None:
        nn.Module.__init__(self)
        _share(self, refinement)
        self.kinds = FAR + 1
        self.edge_weights = _EdgeWeights(refinement)
        _pack_layers(self.trunk)

    def edges(
        self, end_point: Tensor, initial: Tensor, residual: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`Refinement.edges`."""
        scale = torch.full_like(pairs.width, self.displacement)
        return torch.ops.openmm_unisim.embed_edges(
            end_point, initial, residual.view_as(end_point), pairs.distance, pairs.reference, pairs.times, scale,
            pairs.width, self.edge_weights(), self.edge_weights.decay, self.cutoff, False, self.kinds,
        )  # fmt: skip
