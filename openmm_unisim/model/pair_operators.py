"""First derivatives of the operators over pairs, and their shapes, as torch asks for them (plugin/operators/Pair*).

The operators compute; here torch learns which operator is the derivative of which. Called once before training.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._plugin import load_operators

__all__ = ["register_derivatives"]

_WEIGHTS = 9  # arrays of a layer
_OPERATORS = torch.ops.openmm_unisim


@functools.cache
def register_derivatives() -> None:
    """Load the operators and register derivatives and shapes.

    Raises
    ------
    PluginError
        If the operators' library was not built.
    """
    load_operators()
    for name, (setup, backward) in _FORMULAS.items():
        torch.library.register_autograd(f"openmm_unisim::{name}", backward, setup_context=setup)
    for name in _FORMULAS:
        torch.library.register_autograd(f"openmm_unisim::{name}_backward", _no_second_derivative)
    for name, shapes in _SHAPES.items():
        torch.library.register_fake(f"openmm_unisim::{name}", shapes)


def _no_second_derivative(ctx: Any, *gradients: Any) -> tuple:
    raise RuntimeError(
        "The operators over pairs have first derivatives only; use the plain field for second ones."
    )


def _save_layer(ctx: Any, inputs: tuple, output: list[Tensor]) -> None:
    scalars, vectors, pairs, atoms, edges, arrows, envelope, weights, heads, epsilon = inputs
    ctx.save_for_backward(scalars, vectors, pairs, edges, arrows, envelope, *weights, *output[2:])
    ctx.settings = (atoms, heads, epsilon)


def _layer_backward(ctx: Any, gradients: list[Tensor | None]) -> tuple:
    saved = ctx.saved_tensors
    (scalars, vectors, pairs, *edges), weights = saved[:6], list(saved[6 : 6 + _WEIGHTS])
    state, (atoms, heads, epsilon) = list(saved[6 + _WEIGHTS :]), ctx.settings
    by_scalars, by_vectors = (
        torch.zeros_like(x) if gradient is None else gradient
        for x, gradient in zip((scalars, vectors), gradients)
    )
    result = _OPERATORS.pair_layer_backward(
        by_scalars, by_vectors, scalars, vectors, pairs, atoms, *edges, weights, state, heads, epsilon
    )
    return *result[:2], None, None, *result[2:5], result[5:], None, None


def _save_embedding(ctx: Any, inputs: tuple, output: list[Tensor]) -> None:
    *tensors, described, weights, decay, cutoff, both, kinds = inputs
    ctx.save_for_backward(*tensors, *described, *weights, *output)
    ctx.settings = (decay, cutoff, both, kinds)


def _embedding_backward(ctx: Any, gradients: list[Tensor | None]) -> tuple:
    saved = ctx.saved_tensors
    tensors, described, weights, output = saved[:4], list(saved[4:9]), list(saved[9:15]), saved[15:]
    given = [torch.zeros_like(x) if g is None else g for x, g in zip(output, gradients)]
    described_needed = ctx.needs_input_grad[4]
    if ctx.needs_input_grad[1] or any(
        described_needed if isinstance(described_needed, list) else [described_needed]
    ):
        raise RuntimeError(
            "openmm_unisim::embed_pairs has no derivatives by initial positions, times, scales and reference lengths; "
            "detach them, or use the plain field."
        )
    of_points = ctx.needs_input_grad[0] or ctx.needs_input_grad[2]
    result = _OPERATORS.embed_pairs_backward(given, *tensors, described, weights, *ctx.settings, of_points)
    points, moved = result[4:] if of_points else (None, None)
    by_weights = [None, None, *result[:4]]  # the radial basis is fixed
    return points, None, moved, None, [None] * 5, by_weights, None, None, None, None


def _save_sum(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, atoms = inputs
    ctx.save_for_backward(*tensors)
    ctx.atoms = atoms


def _sum_backward(ctx: Any, gradient: Tensor) -> tuple:
    return *_OPERATORS.pair_sum_backward(gradient, *ctx.saved_tensors, ctx.atoms), None, None


def _save_dense(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weight, bias = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None


def _dense_backward(ctx: Any, gradient: Tensor) -> tuple:
    x, weight = ctx.saved_tensors
    of_x = ctx.needs_input_grad[0]
    result = _OPERATORS.dense_backward(gradient, x, weight, of_x)
    return result[2] if of_x else None, result[0], result[1] if ctx.has_bias else None


def _near_shapes(positions: Tensor, cutoff: float) -> Tensor:
    return positions.new_empty((2, torch.library.get_ctx().new_dynamic_size()), dtype=torch.int64)


def _layer_shapes(scalars: Tensor, vectors: Tensor, *arguments: Any) -> list[Tensor]:
    n, hidden = scalars.shape
    nodes = arguments[-3][2].size(0)
    shapes = [
        (n, hidden),
        (n, 3, hidden),
        (n, hidden),
        (n, nodes),
        (n, 3, 3 * hidden),
        (n, hidden),
        (n, 3 * hidden),
    ]
    return [scalars.new_empty(shape) for shape in shapes]


def _layer_backward_shapes(by_scalars: Tensor, by_vectors: Tensor, *arguments: Any) -> list[Tensor]:
    scalars, vectors, _, _, edges, arrows, envelope, weights = arguments[:8]
    return [torch.empty_like(x) for x in (scalars, vectors, edges, arrows, envelope, *weights)]


def _embedding_shapes(points: Tensor, *arguments: Any) -> list[Tensor]:
    count, outputs = arguments[2].size(1), arguments[4][4].size(0)
    return [points.new_empty(shape) for shape in ((count, outputs), (count, 3, 2), (count,))]


def _embedding_backward_shapes(gradients: list[Tensor], points: Tensor, *arguments: Any) -> list[Tensor]:
    like = [*arguments[4][2:], *([points, points] if arguments[-1] else [])]
    return [torch.empty_like(x) for x in like]


_FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "pair_layer": (_save_layer, _layer_backward),
    "embed_pairs": (_save_embedding, _embedding_backward),
    "pair_sum": (_save_sum, _sum_backward),
    "dense": (_save_dense, _dense_backward),
}
_SHAPES: dict[str, Callable[..., Any]] = {
    "near_pairs": _near_shapes,
    "pair_layer": _layer_shapes,
    "pair_layer_backward": _layer_backward_shapes,
    "embed_pairs": _embedding_shapes,
    "embed_pairs_backward": _embedding_backward_shapes,
    "pair_sum": lambda edges, envelope, rows, *_: torch.empty_like(rows),
    "pair_sum_backward": lambda gradient, *given: [torch.empty_like(x) for x in given[:5]],
    "dense": lambda x, weight, bias: x.new_empty((*x.shape[:-1], weight.size(0))),
    "dense_backward": lambda gradient, x, weight, of_x: [
        torch.empty_like(weight),
        weight.new_empty(weight.size(0)),
        *([torch.empty_like(x)] if of_x else []),
    ],
}
