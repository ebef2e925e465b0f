"""One equivariant attention layer (TorchMD-ET's, with any number of vectors per edge).

===============  ==================================================  =====================
symbol           meaning                                             variable
===============  ==================================================  =====================
x, V             scalars, vectors of the atoms                       scalars, vectors
W_q, W_k, W_v    query, key, value; the value holds, inside each     query, key, value
                 head, (v^p, v^self, v^1 .. v^W)
W_V              vectors -> V1, V2, V3                               mix
W_dk, W_dv       edge features -> filters of key and value           key_filter, value_filter
a_ij             SiLU(sum q_i k_j dk) C_ij                           attention
u^w_ij           vectors of an edge; published W = 1: the unit one   edge_vectors
W_o              aggregated scalars -> o1, o2, o3                    output
===============  ==================================================  =====================

y_i = sum_j p a,  Y_i = sum_j (V_j g^self + sum_w u^w g^w),  dx = s * o2 + o3,  dV = V3 * o1 + Y with
s = sum_xyz V1 * V2. Source: UniSim, spec section 4.4.
"""

from typing import List, Tuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .config import TrunkConfig
from .graph import NeighbourTable, spread_sources, table_layout
from .initialise import start_linear

__all__ = ["EquivariantAttention"]


class EquivariantAttention(nn.Module):
    """Attention layer that updates scalars and vectors.

    Parameters
    ----------
    config : TrunkConfig
        Reads hidden, heads, edge_vectors, vector_envelope and the edge features' width.
    generator : torch.Generator, optional
        Source of the starting values.

    Attributes
    ----------
    fused : bool
        Whether `aggregate` is left to the plugin's operator; set by `fused.use_fused`.
    """

    __constants__ = ("fused",)

    def __init__(self, config: TrunkConfig, generator: Generator | None = None) -> None:
        super().__init__()
        hidden, features = config.hidden, config.edge_width
        self.hidden = hidden
        self.heads = config.heads
        self.head_size = config.head_size
        self.edge_vectors = config.edge_vectors
        self.parts = 2 + config.edge_vectors
        self.vector_envelope = config.vector_envelope
        self.fused = False
        self.norm = nn.LayerNorm(hidden)
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, self.parts * hidden)
        self.output = nn.Linear(hidden, 3 * hidden)
        self.mix = nn.Linear(hidden, 3 * hidden, bias=False)
        self.key_filter = nn.Linear(features, hidden)
        self.value_filter = nn.Linear(features, self.parts * hidden)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None) -> None:
        """Xavier-uniform linears."""
        for linear in (
            self.query,
            self.key,
            self.value,
            self.output,
            self.mix,
            self.key_filter,
            self.value_filter,
        ):
            start_linear(linear, generator)

    def filter_weights(self) -> Tuple[Tensor, Tensor]:
        """Weight ((1 + parts) H, edge features) and bias of all filters: key, then part by part of the value."""
        weight = [self.key_filter.weight, self.by_part(self.value_filter.weight)]
        return torch.cat(weight), torch.cat([self.key_filter.bias, self.by_part(self.value_filter.bias)])

    def by_part(self, rows: Tensor) -> Tensor:
        """Rows of a value's weight or bias, (head, part, channel) in the layer, as (part, head, channel)."""
        split = rows.view(self.heads, self.parts, self.head_size, -1)
        return split.transpose(0, 1).reshape(rows.shape)

    def node_weights(self) -> Tuple[Tensor, Tensor]:
        """Weight ((2 + parts) H, H) and bias of query, key and the parts of the value."""
        weight = [self.query.weight, self.key.weight, self.by_part(self.value.weight)]
        return torch.cat(weight), torch.cat([self.query.bias, self.key.bias, self.by_part(self.value.bias)])

    def aggregate_fused(
        self,
        scalars: Tensor,
        vectors: Tensor,
        table: NeighbourTable,
        edge_features: Tensor,
        edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:
        """`aggregate` by the fused operator."""
        node_weight, node_bias = self.node_weights()
        nodes = functional.linear(scalars, node_weight, node_bias)
        weight, bias = self.filter_weights()
        return torch.ops.openmm_unisim.attend(
            nodes, vectors, table.index, table.mask, edge_features, weight, bias, edge_vectors,
            envelope, self.heads, self.vector_envelope,
        )  # fmt: skip

    def aggregate(
        self,
        scalars: Tensor,
        vectors: Tensor,
        table: NeighbourTable,
        edge_features: Tensor,
        edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:
        """Messages summed over the edges of each destination, y (n_atoms, H) and Y (n_atoms, 3, H).

        `scalars` are the normalised ones; the other arguments are those of `forward`.
        """
        n_atoms = scalars.size(0)
        groups, per_group, slots = table_layout(table)
        heads, size = self.heads, self.head_size
        real = table.mask.to(envelope.dtype)
        envelope = envelope * real
        gate = (envelope if self.vector_envelope else real).view(groups, per_group, slots, 1, 1)

        query = self.query(scalars).view(groups, per_group, 1, heads, size)
        key = spread_sources(self.key(scalars), table).view(groups, 1, slots, heads, size)
        key_filter = functional.silu(self.key_filter(edge_features))
        key_filter = key_filter.view(groups, per_group, slots, heads, size)
        attention = functional.silu((query * key * key_filter).sum(-1))
        attention = (attention * envelope.view(groups, per_group, slots, 1)).unsqueeze(-1)

        value = spread_sources(self.value(scalars), table).view(groups, 1, slots, heads, self.parts, size)
        value_filter = functional.silu(self.value_filter(edge_features))
        value_filter = value_filter.view(groups, per_group, slots, heads, self.parts, size)
        message = value[..., 0, :] * value_filter[..., 0, :] * attention
        along_self = value[..., 1, :] * value_filter[..., 1, :] * gate
        gates: List[Tensor] = []
        for w in range(self.edge_vectors):
            gates.append(value[..., 2 + w, :] * value_filter[..., 2 + w, :])

        neighbours = spread_sources(vectors.reshape(n_atoms, 3 * self.hidden), table)
        neighbours = neighbours.view(groups, 1, slots, 3, heads, size)
        arrows = edge_vectors.reshape(groups, per_group, slots, 3, self.edge_vectors) * gate
        components: List[Tensor] = []
        for c in range(3):
            part = neighbours[:, :, :, c] * along_self
            for w in range(self.edge_vectors):
                part = part + arrows[:, :, :, c, w].unsqueeze(-1).unsqueeze(-1) * gates[w]
            components.append(part.sum(2).view(n_atoms, self.hidden))
        return message.sum(2).view(n_atoms, self.hidden), torch.stack(components, 1)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        table: NeighbourTable,
        edge_features: Tensor,
        edge_vectors: Tensor,
        envelope: Tensor,
    ) -> Tuple[Tensor, Tensor]:
        """One layer, residual included.

        Parameters
        ----------
        scalars : Tensor, shape (n_atoms, H)
        vectors : Tensor, shape (n_atoms, 3, H)
        table : NeighbourTable
        edge_features : Tensor, shape (n_atoms, K, edge_features)
        edge_vectors : Tensor, shape (n_atoms, K, 3, W)
        envelope : Tensor, shape (n_atoms, K)
            C(r); padded slots are masked here.

        Returns
        -------
        scalars : Tensor, shape (n_atoms, H)
        vectors : Tensor, shape (n_atoms, 3, H)
        """
        normed = self.norm(scalars)
        if self.fused:
            gathered, gathered_vectors = self.aggregate_fused(
                normed, vectors, table, edge_features, edge_vectors, envelope
            )
        else:
            gathered, gathered_vectors = self.aggregate(
                normed, vectors, table, edge_features, edge_vectors, envelope
            )
        first, second, third = self.mix(vectors).chunk(3, -1)
        on_vectors, on_product, shift = self.output(gathered).chunk(3, -1)
        product = (first * second).sum(1)
        scalars = scalars + product * on_product + shift
        vectors = vectors + third * on_vectors.unsqueeze(1) + gathered_vectors
        return scalars, vectors
