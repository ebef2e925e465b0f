"""The conditioned form for inference: its edges by one operator, from positions to embedding (see `fused`)."""

from typing import List, Tuple, cast

import torch
from torch import Tensor, nn

from ..interpolant.bridge import input_scale
from ..interpolant.covariance import Restraints
from .attention import EquivariantAttention
from .bond_graph import FAR, BondGraphEmbedding
from .conditioned import ConditionedField
from .embedding import AtomEmbedding
from .global_filter import GlobalFilter
from .graph import NeighbourTable
from .inference import Packed, PackedAttention, PackedEmbedding, pack_panels
from .pair_features import PairFeatures
from .refinement import Refinement
from .spread import SpreadHead
from .transformer import Trunk

__all__ = [
    "PackedEmbedding",
    "PackedField",
    "PackedFilter",
    "PackedPlaces",
    "PackedRefinement",
    "PackedSpread",
]


def _pack_layers(trunk: Trunk, half: bool) -> None:
    """Edge features are functions of lengths and of the bond graph, the same seen from either end."""
    for k, layer in enumerate(trunk.layers):
        assert isinstance(layer, EquivariantAttention)
        trunk.layers[k] = PackedAttention(layer, True, half)


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


class PackedFilter(Packed):
    """A `GlobalFilter` for inference.

    Parameters
    ----------
    filtered : GlobalFilter
        Copied.
    """

    direction: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor

    def __init__(self, filtered: GlobalFilter) -> None:
        super().__init__()
        first, second = filtered.first, filtered.second
        self.hold(
            direction=pack_panels(filtered.direction.weight), first=pack_panels(first.weight), first_bias=first.bias,
            second=pack_panels(second.weight), second_bias=second.bias,
        )  # fmt: skip

    def forward(self, scalars: Tensor, vectors: Tensor, observed: Tensor, copies: int) -> Tensor:
        """`GlobalFilter.forward`."""
        weights = [self.direction, self.first, self.first_bias, self.second, self.second_bias]
        return torch.ops.openmm_unisim.global_filter(scalars, vectors, observed, weights, copies)


class PackedSpread(Packed):
    """A `SpreadHead`, and the collapse that it reads, for inference.

    Parameters
    ----------
    spread : SpreadHead
        Copied.
    """

    pair_first: Tensor
    pair_first_bias: Tensor
    pair_second: Tensor
    pair_second_bias: Tensor
    atom_first: Tensor
    atom_first_bias: Tensor
    atom_second: Tensor
    atom_second_bias: Tensor
    typical: Tensor

    def __init__(self, spread: SpreadHead) -> None:
        super().__init__()
        self.limit, self.height_base, self.rest_base = spread.limit, spread.height_base, spread.rest_base
        for name in ("pair_first", "pair_second", "atom_first", "atom_second"):
            linear = getattr(spread, name)
            self.hold(**{name: pack_panels(linear.weight), f"{name}_bias": linear.bias})
        self.hold(typical=spread.typical)

    def variances(
        self, end: Tensor, place: Tensor, reference: Tensor, times: Tensor, restrained: Restraints
    ) -> Tuple[Tensor, Tensor]:
        """`SpreadHead.forward` of `collapse(end, restrained, reference)`."""
        weights = [
            self.pair_first, self.pair_first_bias, self.pair_second, self.pair_second_bias, self.atom_first,
            self.atom_first_bias, self.atom_second, self.atom_second_bias, self.typical,
        ]  # fmt: skip
        return torch.ops.openmm_unisim.restraint_variances(
            end, place, reference, times, restrained.pairs, restrained.bonds_apart, restrained.centres, weights,
            self.limit, self.height_base, self.rest_base,
        )  # fmt: skip


class PackedPlaces(Packed):
    """Weights of a `BondGraphEmbedding`, as the operator reads them.

    TorchScript has no list of buffers; the rounds are stacked, as all have one shape.
    """

    element: Tensor
    own: Tensor
    own_bias: Tensor
    bonded: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    typical: Tensor

    def __init__(self, places: BondGraphEmbedding) -> None:
        super().__init__()
        own = [cast(nn.Linear, layer) for layer in places.own]
        bonded = [cast(nn.Linear, layer) for layer in places.bonded]
        self.hold(
            element=places.element.weight, own=torch.stack([pack_panels(layer.weight) for layer in own]),
            own_bias=torch.stack([layer.bias for layer in own]),
            bonded=torch.stack([pack_panels(layer.weight) for layer in bonded]),
            first=pack_panels(places.length_first.weight), first_bias=places.length_first.bias,
            second=places.length_second.weight, second_bias=places.length_second.bias, typical=places.typical,
        )  # fmt: skip

    def forward(self) -> List[Tensor]:
        """All arrays, in the operator's order."""
        weights = [self.element]
        for k in range(self.own.size(0)):
            weights.append(self.own[k])
            weights.append(self.own_bias[k])
            weights.append(self.bonded[k])
        for array in [self.first, self.first_bias, self.second, self.second_bias, self.typical]:
            weights.append(array)
        return weights


class PackedField(ConditionedField):
    """A `ConditionedField` for inference.

    Parameters
    ----------
    field : ConditionedField
        Its parts are shared where they don't change.
    """

    def __init__(self, field: ConditionedField, half: bool = False) -> None:
        nn.Module.__init__(self)
        _share(self, field)
        self.edge_weights = _EdgeWeights(field)
        self.place_weights = PackedPlaces(field.places)
        self.embedding = cast(AtomEmbedding, PackedEmbedding(field.embedding))  # of the same call
        for k, filtered in enumerate(self.filters):
            if isinstance(filtered, GlobalFilter):
                self.filters[k] = PackedFilter(filtered)
        _pack_layers(self.trunk, half)

    def describe(self, z_index: Tensor, adjacency: Tensor, distance: Tensor) -> Tuple[Tensor, Tensor]:
        """`ConditionedField.describe`."""
        return torch.ops.openmm_unisim.describe_places(z_index, adjacency, distance, self.place_weights())

    def table(self, positions: Tensor) -> NeighbourTable:
        """`ConditionedField.table`."""
        atoms = positions.size(1)
        index, mask = torch.ops.openmm_unisim.full_table(positions.size(0), atoms, device=positions.device)
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

    def __init__(self, refinement: Refinement, half: bool = False) -> None:
        nn.Module.__init__(self)
        _share(self, refinement)
        self.kinds = FAR + 1
        self.edge_weights = _EdgeWeights(refinement)
        _pack_layers(self.trunk, half)

    def edges(
        self, end_point: Tensor, initial: Tensor, residual: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """`Refinement.edges`."""
        scale = torch.full_like(pairs.width, self.displacement)
        return torch.ops.openmm_unisim.embed_edges(
            end_point, initial, residual.view_as(end_point), pairs.distance, pairs.reference, pairs.times, scale,
            pairs.width, self.edge_weights(), self.edge_weights.decay, self.cutoff, False, self.kinds,
        )  # fmt: skip
