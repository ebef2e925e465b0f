"""JS distances of model and reference as metrics: names, bins by mode, error bar, floor, fraction outside."""

from typing import Any

from numpy.typing import NDArray

from ..comparison import Comparison
from ..estimators.distributions import FloatArray
from ..estimators.histograms import Grid, Mode, reference_columns
from ..metric import Metric
from ..uncertainty import compared

LABELS = {
    "pwd": "PWD (JS)",
    "rg": "RG (JS)",
    "tic": "TIC (JS)",
    "tic_2d": "TIC-2D (JS)",
    "val_ca": "VAL-CA",
    "contact": "CONTACT (RMS)",
    "ram": "RAM (JS)",
    "ess": "ESS of TIC0",
    "ess_per_second": "ESS/s of TIC0",
}
_CONSTANT = "it never varies in the reference"
Pair = tuple[NDArray[Any], NDArray[Any]]  # of the model and of the reference


def unavailable(key: str, reason: str) -> Metric:
    """The metric of that key as n/a."""
    return Metric.missing(key, LABELS[key], reason)


def js_metric(
    key: str, model: FloatArray, reference: FloatArray, comparison: Comparison, mode: Mode, **details: Any
) -> Metric:
    """Mean JS distance over the columns of (n_frames, n_columns)."""
    columns = reference_columns(reference, mode)
    if columns is None:
        return unavailable(key, _CONSTANT)
    cells = columns.cells(model)
    return compared(
        key, LABELS[key], columns.distance, cells, columns.cells(reference), comparison.resampling,
        outside=columns.outside(cells), details={"histograms": model.shape[1]} | _bins(columns.grids[0]) | details,
    )  # fmt: skip


def joint_js_metric(
    key: str,
    model: FloatArray,
    reference: FloatArray,
    comparison: Comparison,
    grid: Grid | None,
    **details: Any,
) -> Metric:
    """JS distance of joint histograms: samples (n_frames, ..., n_axes), pooled over the axes in between."""
    if grid is None:
        return unavailable(key, _CONSTANT)
    cells = grid.cells(model)
    return compared(
        key, LABELS[key], grid.distance, cells, grid.cells(reference), comparison.resampling,
        outside=grid.outside(cells), details=_bins(grid) | details,
    )  # fmt: skip


def _bins(grid: Grid) -> dict[str, Any]:
    return {"bins": [size - 2 for size in grid.shape]}
