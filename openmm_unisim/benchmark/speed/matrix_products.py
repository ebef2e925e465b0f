"""The matrix products of a training step alone: what the processor could do at best, by torch and by the operators."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from ..._plugin import load_operators
from ...model.bond_graph import FAR
from ...model.conditioned import TIME_CENTRES, ConditionedConfig
from ...model.inference import pack_panels
from .side_by_side import compare

__all__ = ["Product", "step_products", "time_products"]

CALLS = 20  # that are timed together
CACHED_ROWS = 384  # rows at once, as in a chunk of pairs or a block of atoms: operands stay in the caches


class Product(NamedTuple):
    """rows x inner times inner x columns; `passes` in a step, forward and backward."""

    name: str
    rows: int
    inner: int
    columns: int
    passes: int


def step_products(model: ConditionedConfig, atoms: int, pairs: int) -> list[Product]:
    """Those of one step of a field over pairs.

    Parameters
    ----------
    model : ConditionedConfig
    atoms, pairs : int
        In the batch. Each linear layer of atoms is passed three times (value, both derivatives), of pairs four times:
        filters and embeddings are made again in the backward pass.
    """
    h, width, layers = model.hidden, model.edge_width, model.layers + model.refine_layers
    kinds = 2 + FAR + 1 + TIME_CENTRES
    products = [
        Product("filters", pairs, width, 5 * h, 4 * layers),
        Product("query, key, value", atoms, h, 6 * h, 3 * layers),
        Product("vectors", 3 * atoms, h, 3 * h, 3 * layers),
        Product("output", atoms, h, 3 * h, 3 * layers),
        Product("edges", pairs, 2 * model.rbf + kinds, 2 * width, 4),
        Product("edges, second", pairs, 2 * width, width, 4),
        Product("neighbours", pairs, width, h, 4),
        Product("head, vectors", 3 * atoms, h, 2 * h, 3),
        Product("head", atoms, 2 * h, 2 * model.ffn, 3),
    ]
    if model.refine_layers:
        products += [
            Product("edges of the refinement", pairs, model.refine_rbf + kinds, 2 * width, 4),
            Product("edges of the refinement, second", pairs, 2 * width, width, 4),
            Product("refinement: head, vectors", 3 * atoms, h, 2 * h, 3),
            Product("refinement: head", atoms, 2 * h, 2 * model.ffn, 3),
        ]
    return products


def time_products(products: Sequence[Product], repeats: int) -> dict[str, Any]:
    """Each product by torch and by the operators, in pieces of at most CACHED_ROWS rows, and all of them together.

    Returns
    -------
    dict
        `shapes`: name to sizes, passes and rates; `gflop` of a step; `torch_milliseconds` and
        `operators_milliseconds` of all passes.
    """
    load_operators()
    generator = Generator().manual_seed(0)
    shapes, whole, spent = {}, 0.0, {"torch": 0.0, "operators": 0.0}
    for name, rows, inner, columns, passes in products:
        piece = min(rows, CACHED_ROWS)
        x, weight = (torch.randn(n, inner, generator=generator) for n in (piece, columns))
        panels, bias = pack_panels(weight), torch.zeros(columns)
        calls = {
            "torch": lambda x=x, w=weight, b=bias: _often(torch.nn.functional.linear, x, w, b),
            "operators": lambda x=x, w=panels, b=bias: _often(torch.ops.openmm_unisim.linear, x, w, b),
        }
        with torch.no_grad():
            timed = compare(calls, repeats, 2)  # type: ignore[arg-type]
        gflop = 2e-9 * piece * inner * columns * CALLS
        whole += passes * gflop * rows / piece / CALLS
        rates = {f"{by}_gflop_per_s": 1000 * gflop / timed[by]["milliseconds"] for by in timed}
        for by in timed:
            spent[by] += passes * timed[by]["milliseconds"] * rows / piece / CALLS
        shapes[name] = {"rows": rows, "inner": inner, "columns": columns, "passes": passes, **rates}
    return {"shapes": shapes, "gflop": whole, **{f"{by}_milliseconds": value for by, value in spent.items()}}


def _often(product: Callable[..., Any], *arguments: Tensor) -> None:
    for _ in range(CALLS):
        product(*arguments)
