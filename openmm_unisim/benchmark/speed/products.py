"""The roofline of this machine: the matrix products of the networks by torch and by the operators' own loops."""

from functools import partial
from typing import Any

import torch
from torch import Generator, nn

from ...model.inference import PackedLinear
from .side_by_side import compare

__all__ = ["time_products"]

PRODUCTS = {  # rows, inner, columns of the matrix products in one layer
    "published: node values": (22, 256, 1280), "published: output": (22, 256, 768), "published: mix": (66, 256, 768),
    "published: filters (tabulated instead)": (272, 64, 1024), "ala2: filters": (484, 32, 320),
    "ala2: node values": (22, 64, 384), "large": (512, 512, 512),
}  # fmt: skip


def time_products(repeats: int) -> dict[str, Any]:
    """Times (`compare`) and GFLOP/s of each product, in single precision.

    Parameters
    ----------
    repeats : int

    Returns
    -------
    dict
        For each product "torch", "fused" (packed weights) and "bfloat16" (rounded, too) with `gflop_per_s` of processor
        time.

    Raises
    ------
    PluginError
        If the operators' library was not built.
    """
    figures = {}
    with torch.no_grad():
        for name, (rows, inner, columns) in PRODUCTS.items():
            linear = nn.Linear(inner, columns)
            x = torch.randn(rows, inner, generator=Generator().manual_seed(0))
            modules = {
                "torch": linear,
                "fused": PackedLinear(linear),
                "bfloat16": PackedLinear(linear, half=True),
            }
            result = compare({key: partial(module, x) for key, module in modules.items()}, repeats, block=10)
            for entry in result.values():
                entry["gflop_per_s"] = 2e-6 * rows * inner * columns / entry["milliseconds"]
            figures[f"{name} ({rows} x {inner} x {columns})"] = result
    return figures
