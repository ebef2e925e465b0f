"""Shapes, types and strides of what the fused operators return, for torch.export; nothing else needs them.

`attend` isn't here: it has its own in C++, since training may be compiled, too. Strides matter: inductor relies on
them.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.library import get_ctx, register_fake

from .._plugin import load_operators

__all__ = ["register_shapes"]


@functools.cache
def register_shapes() -> None:
    """Load the operators and tell torch these shapes, once.

    Raises
    ------
    PluginError
        If the operators were not built.
    """
    load_operators()
    for function in (
        bond_graph, full_table, remove_rigid_motion, posterior_precision, linear, attention_layer, attention_radial,
        radial_sum, gated_head, embed_edges, neighbour_sum, embed_atoms, global_filter, describe_places,
        restraint_variances, step_factor, gaussian_log_density, published_table, attend_radial,
    ):  # fmt: skip
        register_fake(f"openmm_unisim::{function.__name__}", function)


def bond_graph(bonds: Tensor, atoms: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The numbers of pairs and of centres depend on the bonds."""
    pairs, centres = get_ctx().new_dynamic_size(), get_ctx().new_dynamic_size()
    adjacency = bonds.new_empty((atoms, atoms), dtype=torch.float32)
    sizes: list[tuple[Any, ...]] = [(atoms, atoms), (pairs, 2), (pairs,), (centres, 4)]
    distance, ends, apart, corners = (bonds.new_empty(size) for size in sizes)
    return adjacency, distance, ends, apart, corners


def full_table(copies: int, atoms: int, *, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Index and mask."""
    size = (copies * atoms, atoms)
    return torch.empty(size, dtype=torch.int64, device=device), torch.empty(
        size, dtype=torch.bool, device=device
    )


def remove_rigid_motion(prediction: Tensor, reference: Tensor) -> Tensor:
    """As the prediction."""
    return prediction.new_empty(prediction.shape)


def posterior_precision(
    end_point: Tensor, initial: Tensor, pairs: Tensor, centres: Tensor, variances: Tensor, rest: Tensor, t: Tensor,
    sigma: float, rigid_variance: float,
) -> Tensor:  # fmt: skip
    """One matrix for each copy, double."""
    size = 3 * end_point.size(1)
    return end_point.new_empty((end_point.size(0), size, size), dtype=torch.float64)


def linear(x: Tensor, panels: Tensor, bias: Tensor) -> Tensor:
    """Rows of the biases' length."""
    return x.new_empty((*x.shape[:-1], bias.size(0)))


def attention_layer(scalars: Tensor, vectors: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """As the scalars and vectors."""
    return scalars.new_empty(scalars.shape), vectors.new_empty(vectors.shape)


def attention_radial(scalars: Tensor, vectors: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """As the scalars and vectors."""
    return scalars.new_empty(scalars.shape), vectors.new_empty(vectors.shape)


def attend_radial(nodes: Tensor, vectors: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """Messages to scalars and to vectors."""
    return vectors.new_empty((vectors.size(0), vectors.size(2))), vectors.new_empty(vectors.shape)


def radial_sum(values: Tensor, *others: Any) -> Tensor:
    """As the values."""
    return values.new_empty(values.shape)


def gated_head(
    scalars: Tensor, vectors: Tensor, weights: list[Tensor], norm_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """The scalars are the first columns of a wider array."""
    total, hidden = weights[4].size(0), scalars.size(1)
    gated = scalars.new_empty((scalars.size(0), total)).narrow(1, 0, hidden)
    return gated, vectors.new_empty((scalars.size(0), 3, total - hidden))


def neighbour_sum(values: Tensor, *others: Any) -> Tensor:
    """As the values."""
    return values.new_empty(values.shape)


def embed_atoms(z_index: Tensor, extra: Tensor, neighbours: Tensor, weights: list[Tensor]) -> Tensor:
    """As the sum over neighbours."""
    return neighbours.new_empty(neighbours.shape)


def global_filter(scalars: Tensor, *others: Any) -> Tensor:
    """As the scalars."""
    return scalars.new_empty(scalars.shape)


def describe_places(
    z_index: Tensor, adjacency: Tensor, distance: Tensor, weights: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Places and reference lengths."""
    atoms = z_index.size(0)
    return adjacency.new_empty((atoms, weights[0].size(1))), adjacency.new_empty((atoms, atoms))


def restraint_variances(
    end_point: Tensor, place: Tensor, reference: Tensor, times: Tensor, pairs: Tensor, bonds_apart: Tensor,
    centres: Tensor, *others: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Of the restrained quantities and of the atoms, double."""
    copies, quantities = end_point.size(0), pairs.size(0) + centres.size(0)
    return (
        end_point.new_empty((copies, quantities), dtype=torch.float64),
        end_point.new_empty((copies, end_point.size(1)), dtype=torch.float64),
    )


def step_factor(precision: Tensor, *others: Any) -> Tensor:
    """As the precision."""
    return precision.new_empty(precision.shape)


def gaussian_log_density(following: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """A number a copy."""
    return mean.new_empty((mean.size(0),))


def published_table(positions: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """Index and mask; the number of slots depends on the positions."""
    size = (positions.size(0), get_ctx().new_dynamic_size())
    return positions.new_empty(size, dtype=torch.int64), positions.new_empty(size, dtype=torch.bool)


def embed_edges(
    points: Tensor, initial: Tensor, moved: Tensor, kinds: Tensor, reference: Tensor, times: Tensor,
    change_scale: Tensor, strain_width: Tensor, weights: list[Tensor], *others: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Embedding, arrows and envelope of the edges."""
    atoms = points.size(1)
    rows = points.size(0) * atoms
    shapes = ((rows, atoms, weights[5].size(0)), (rows, atoms, 3, 2), (rows, atoms))
    embedded, arrows, envelope = (points.new_empty(shape) for shape in shapes)
    return embedded, arrows, envelope
