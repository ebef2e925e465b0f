"""Networks for inference: trained modules with their weights packed for the plugin's operators.

`fused.for_inference` replaces linear and attention layers, heads and published encoders by modules of the same call,
which hold copies of the weights in the order that plugin/operators reads. They have no derivatives; the modules that
they replace define them. For the published form, whose edge filters are functions of the distance alone,
`radial_table` tabulates these.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._plugin import load_operators
from .attention import EquivariantAttention
from .embedding import AtomEmbedding
from .encoder import Encoder
from .graph import NeighbourTable, edge_geometry
from .heads import GatedVectorHead, VectorNorm
from .neighbour_search import NeighbourSearch
from .radial_table import RadialTable

__all__ = [
    "CellListSearch",
    "Packed",
    "PackedAttention",
    "PackedEmbedding",
    "PackedHead",
    "PackedLinear",
    "RadialAttention",
    "TabulatedEncoder",
    "pack_panels",
]

PANEL_BYTES = 128  # of kernels/SmallProduct.h
HALF_PANEL = 32  # of kernels/HalfProduct.h


def pack_panels(weight: Tensor, half: bool = False) -> Tensor:
    """Weight (rows, inner) of a linear layer as the operators read it, padded with zeros.

    Parameters
    ----------
    weight : Tensor, shape (rows, inner)
    half : bool
        Rounded to bfloat16, for kernels/HalfProduct.h: (rows / 32, inner / 2, 32, 2). Otherwise in its own type, for
        kernels/SmallProduct.h: (rows / panel, inner, panel).
    """
    weight = weight.detach()
    if half:
        padded = functional.pad(weight, (0, weight.size(1) % 2, 0, -weight.size(0) % HALF_PANEL))
        pairs = padded.view(-1, HALF_PANEL, padded.size(1) // 2, 2)
        return pairs.transpose(1, 2).to(torch.bfloat16).contiguous()
    panel = PANEL_BYTES // weight.element_size()
    padded = functional.pad(weight, (0, 0, 0, -weight.size(0) % panel))
    return padded.view(-1, panel, weight.size(1)).transpose(1, 2).contiguous()


class Packed(nn.Module):
    """Holds arrays under names that travel with `.to`, but are in no state dict: they are copies.

    Parameters
    ----------
    half : bool
        Whether linear layers are rounded to bfloat16.
    """

    def __init__(self, half: bool = False) -> None:
        super().__init__()
        self.half_weights = half
        load_operators()

    def hold(self, **arrays: Tensor) -> None:
        """Register the arrays."""
        for name, array in arrays.items():
            self.register_buffer(name, array.detach().clone(), persistent=False)

    def pack(self, weight: Tensor) -> Tensor:
        """`pack_panels` at this module's precision."""
        return pack_panels(weight, self.half_weights)


class PackedLinear(Packed):
    """An `nn.Linear` for inference.

    Parameters
    ----------
    linear : nn.Linear
        Copied.
    """

    panels: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear, half: bool = False) -> None:
        super().__init__(half)
        none = linear.weight.new_zeros(linear.out_features)
        self.hold(panels=self.pack(linear.weight), bias=none if linear.bias is None else linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`nn.Linear.forward`."""
        return torch.ops.openmm_unisim.linear(x, self.panels, self.bias)


class _PackedLayer(Packed):
    """What an `EquivariantAttention` holds beside its filters."""

    norm_weight: Tensor
    norm_bias: Tensor
    nodes: Tensor
    node_bias: Tensor
    mixing: Tensor
    outputs: Tensor
    output_bias: Tensor

    def __init__(self, layer: EquivariantAttention, half: bool = False) -> None:
        super().__init__(half)
        self.heads = layer.heads
        self.vector_envelope = layer.vector_envelope
        self.epsilon = float(layer.norm.eps)
        node_weight, node_bias = layer.node_weights()
        self.hold(
            norm_weight=layer.norm.weight, norm_bias=layer.norm.bias, nodes=self.pack(node_weight),
            node_bias=node_bias, mixing=self.pack(layer.mix.weight), outputs=self.pack(layer.output.weight),
            output_bias=layer.output.bias,
        )  # fmt: skip

    def layer_weights(self) -> List[Tensor]:
        """These arrays, in the operators' order."""
        return [
            self.norm_weight, self.norm_bias, self.nodes, self.node_bias, self.mixing, self.outputs, self.output_bias,
        ]  # fmt: skip


class PackedAttention(_PackedLayer):
    """An `EquivariantAttention` for inference.

    Parameters
    ----------
    layer : EquivariantAttention
        Copied.
    symmetric, half : bool
        Whether edge features of (i, j) and (j, i) are equal in block tables, so that one filter serves both.
    """

    filters: Tensor
    filter_bias: Tensor

    def __init__(self, layer: EquivariantAttention, symmetric: bool = False, half: bool = False) -> None:
        super().__init__(layer, half)
        self.symmetric = symmetric
        weight, bias = layer.filter_weights()
        self.hold(filters=pack_panels(weight), filter_bias=bias)

    def weights(self) -> List[Tensor]:
        """All arrays, in the operator's order."""
        return self.layer_weights() + [self.filters, self.filter_bias]  # noqa: RUF005  (TorchScript)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        table: NeighbourTable,
        edge_features: Tensor,
        edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:
        """`EquivariantAttention.forward`."""
        return torch.ops.openmm_unisim.attention_layer(
            scalars, vectors, table.index, table.mask, edge_features, edge_vectors, envelope, self.weights(),
            self.heads, self.vector_envelope, self.epsilon, table.block if self.symmetric else 0,
        )  # fmt: skip


class RadialAttention(_PackedLayer):
    """An `EquivariantAttention` whose edge features are functions of the distance, for inference.

    Parameters
    ----------
    layer : EquivariantAttention
        Copied.
    radial : nn.Module
        Distance (angstrom) to edge features.
    cutoff : float, angstrom
        The features are constant beyond.
    """

    def __init__(
        self, layer: EquivariantAttention, radial: nn.Module, cutoff: float, half: bool = False
    ) -> None:
        super().__init__(layer, half)
        weight, bias = layer.filter_weights()
        self.table = RadialTable(radial, weight, bias, cutoff, True, half)

    def weights(self) -> List[Tensor]:
        """All arrays, in the operator's order."""
        return self.layer_weights() + [self.table.knots]  # noqa: RUF005  (TorchScript)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        table: NeighbourTable,
        distance: Tensor,
        edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:
        """`EquivariantAttention.forward` with distances (n_atoms, K), angstrom, for the edge features."""
        return torch.ops.openmm_unisim.attention_radial(
            scalars, vectors, table.index, table.mask, distance, edge_vectors, envelope, self.weights(),
            self.heads, self.vector_envelope, self.epsilon, self.table.spacing, self.table.decay, self.table.slope,
        )  # fmt: skip


class PackedHead(Packed):
    """A `GatedVectorHead` for inference.

    Parameters
    ----------
    head : GatedVectorHead
        Copied.
    """

    mixing: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    scale: Tensor

    def __init__(self, head: GatedVectorHead, half: bool = False) -> None:
        super().__init__(half)
        none = head.first.weight.new_zeros(0)
        self.hold(
            mixing=self.pack(head.mix.weight), first=self.pack(head.first.weight), first_bias=head.first.bias,
            second=self.pack(head.second.weight), second_bias=head.second.bias,
            scale=head.norm.scale if isinstance(head.norm, VectorNorm) else none,
        )  # fmt: skip

    def forward(self, scalars: Tensor, vectors: Tensor) -> Tuple[Tensor, Tensor]:
        """`GatedVectorHead.forward`."""
        weights = [self.mixing, self.first, self.first_bias, self.second, self.second_bias]
        return torch.ops.openmm_unisim.gated_head(scalars, vectors, weights, self.scale)


class PackedEmbedding(Packed):
    """An `AtomEmbedding` for inference.

    Parameters
    ----------
    embedding : AtomEmbedding
        Copied.
    half : bool
        As `Packed`.
    """

    element: Tensor
    neighbour_element: Tensor
    edge: Tensor
    edge_bias: Tensor
    choice: Tensor
    choice_bias: Tensor
    expansion: Tensor
    combine: Tensor
    combine_bias: Tensor

    def __init__(self, embedding: AtomEmbedding, half: bool = False) -> None:
        super().__init__(half)
        choice, combine = embedding.expansion_weight, embedding.combine
        self.hold(
            element=embedding.element.weight, neighbour_element=embedding.neighbour_element.weight,
            edge=pack_panels(embedding.edge.weight), edge_bias=embedding.edge.bias,
            choice=self.pack(choice.weight), choice_bias=choice.bias, expansion=embedding.expansion,
            combine=self.pack(combine.weight), combine_bias=combine.bias,
        )  # fmt: skip

    def neighbour_sum(
        self, values: Tensor, table: NeighbourTable, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """`AtomEmbedding.neighbour_sum` of the neighbours' rows `values`, (n_atoms, H)."""
        return torch.ops.openmm_unisim.neighbour_sum(
            values, table.index, table.mask, radial, envelope, self.edge, self.edge_bias
        )

    def forward(
        self, z_index: Tensor, extra: Tensor, table: NeighbourTable, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """`AtomEmbedding.forward`."""
        neighbours = self.neighbour_sum(self.neighbour_element[z_index], table, radial, envelope)
        weights = [
            self.element, self.choice, self.choice_bias, self.expansion, self.combine, self.combine_bias,
        ]  # fmt: skip
        return torch.ops.openmm_unisim.embed_atoms(z_index, extra, neighbours, weights)


class TabulatedEmbedding(PackedEmbedding):
    """An `AtomEmbedding` whose edge features are functions of the distance, for inference.

    Parameters
    ----------
    embedding : AtomEmbedding
        Copied.
    radial : nn.Module
        Distance (angstrom) to edge features.
    cutoff : float, angstrom
        The features are constant beyond.
    half : bool
        As `Packed`; this table, which is small, stays exact.
    """

    def __init__(
        self, embedding: AtomEmbedding, radial: nn.Module, cutoff: float, half: bool = False
    ) -> None:
        super().__init__(embedding, half)
        self.table = RadialTable(radial, embedding.edge.weight, embedding.edge.bias, cutoff, False)

    def neighbour_sum(
        self, values: Tensor, table: NeighbourTable, radial: Tensor, envelope: Tensor
    ) -> Tensor:
        """`AtomEmbedding.neighbour_sum` with distances (n_atoms, K), angstrom, for the edge features."""
        own = torch.arange(values.size(0), device=values.device).unsqueeze(1)
        weight = envelope * (table.mask & (table.index != own)).to(envelope.dtype)
        return torch.ops.openmm_unisim.radial_sum(
            values, table.index, radial, weight, self.table.knots, self.table.spacing, self.table.decay,
            self.table.slope,
        )  # fmt: skip


class CellListSearch(Packed):
    """A `NeighbourSearch` by the plugin's cell list.

    Parameters
    ----------
    search : NeighbourSearch
    """

    def __init__(self, search: NeighbourSearch) -> None:
        super().__init__()
        self.cutoff, self.hydrogen_cutoff = float(search.cutoff), float(search.hydrogen_cutoff)
        self.hydrogen = search.hydrogen

    def forward(self, positions: Tensor, molecule_index: Tensor, z_index: Tensor) -> NeighbourTable:
        """`NeighbourSearch.forward`."""
        index, mask = torch.ops.openmm_unisim.published_table(
            positions, molecule_index, z_index == self.hydrogen, self.cutoff, self.hydrogen_cutoff
        )
        return NeighbourTable(index, mask, 0)


class TabulatedEncoder(Encoder):
    """A published `Encoder` for inference.

    Parameters
    ----------
    encoder : Encoder
        Its parts are shared where they don't change.
    """

    def __init__(self, encoder: Encoder, half: bool = False) -> None:
        nn.Module.__init__(self)
        self.hidden, self.cutoff = encoder.hidden, encoder.cutoff
        self.hydrogen_cutoff, self.smooth = encoder.hydrogen_cutoff, encoder.smooth
        self.hydrogen = encoder.hydrogen
        self.embedding = TabulatedEmbedding(  # type: ignore[assignment]  # of the same call
            encoder.embedding, encoder.radial, encoder.cutoff, half
        )
        layers = [layer for layer in encoder.trunk.layers if isinstance(layer, EquivariantAttention)]
        self.layers = nn.ModuleList(
            [RadialAttention(layer, encoder.radial, encoder.cutoff, half) for layer in layers]
        )
        self.norm = encoder.trunk.norm

    def forward(
        self, positions: Tensor, z_index: Tensor, interpolant_time: Tensor, table: NeighbourTable
    ) -> Tuple[Tensor, Tensor]:
        """`Encoder.forward`."""
        distance, direction = edge_geometry(positions, table)
        envelope = self.edge_envelope(distance, z_index, table)
        time = interpolant_time.to(positions.dtype).unsqueeze(1)
        scalars = self.embedding(z_index, time, table, distance, envelope)
        vectors = positions.new_zeros(positions.size(0), 3, self.hidden)
        for layer in self.layers:
            scalars, vectors = layer(scalars, vectors, table, distance, direction.unsqueeze(-1), envelope)
        return self.norm(scalars), vectors
