"""Lines and points of model and MD on one axis, as plotly.js records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .plots import MD_COLOUR, MODEL_COLOUR, Figure

NAMES = ("model", "MD")
COLOURS = (MODEL_COLOUR, MD_COLOUR)


def line(x: ArrayLike, y: ArrayLike, which: int, shape: str = "linear") -> Figure:
    """A line of the model (0) or of MD (1)."""
    style = {"color": COLOURS[which], "width": 2, "shape": shape, "dash": ("solid", "dot")[which]}
    return {
        "type": "scatter", "mode": "lines", "name": NAMES[which], "line": style,
        "x": np.round(np.asarray(x), 6), "y": np.round(np.asarray(y), 6),
    }  # fmt: skip


def marks(
    x: Sequence[Any], y: Sequence[float | None], errors: Sequence[float | None] | None, which: int,
    mode: str = "lines+markers",
) -> Figure:  # fmt: skip
    """Points with error bars of the model (0) or of MD (1); None leaves a gap."""
    trace: Figure = {
        "type": "scatter", "mode": mode, "name": NAMES[which], "x": list(x), "y": list(y),
        "line": {"color": COLOURS[which], "width": 1.5, "dash": ("solid", "dot")[which]},
        "marker": {"color": COLOURS[which], "size": 7, "symbol": ("circle", "diamond-open")[which]},
    }  # fmt: skip
    if errors is not None:
        trace["error_y"] = {
            "type": "data",
            "array": [error or 0.0 for error in errors],
            "thickness": 1.2,
            "width": 4,
        }
    return trace


def curves(figure_id: str, title: str, lines: list[Figure], x_title: str, y_title: str) -> Figure:
    """A figure of such traces."""
    layout = {"xaxis": {"title": {"text": x_title}}, "yaxis": {"title": {"text": y_title}}, "height": 300}
    return {"id": figure_id, "title": title, "data": lines, "layout": layout}
