"""What acceptance ratios were: how many jumps were judged, the mean of min(1, a), and the distribution of ln a.

The C++ integrator keeps the same counts (UniSimCounters.h), with the same bins.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["QUANTILES", "AcceptanceCounts", "describe_acceptance"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_EDGES = np.arange(-50.0, 11.0)  # of ln a


def describe_acceptance(
    judged: int, mean: float, edges: Sequence[float], histogram: Sequence[int]
) -> dict[str, Any]:
    """The dictionary that users see.

    Parameters
    ----------
    judged : int
    mean : float
        Of min(1, a).
    edges : sequence of float, shape (n_edges,)
        Between the bins of ln a.
    histogram : sequence of int, shape (n_edges + 1,)
        Counts; the first and the last bin are unbounded.

    Returns
    -------
    dict
        `judged`, `mean_acceptance` (nan without a judged jump), `quantiles` of ln a (keys as "0.5"; within a bin by
        interpolation; -inf and inf in the unbounded bins), `quantile_resolution` (width of the bins: quantiles are
        known no better), `edges`, `histogram`.
    """
    return {
        "judged": int(judged),
        "mean_acceptance": float(mean) if judged else float("nan"),
        "quantiles": {f"{q:g}": _quantile(q, np.asarray(edges), np.asarray(histogram)) for q in QUANTILES},
        "quantile_resolution": float(edges[1] - edges[0]) if len(edges) > 1 else float("nan"),
        "edges": [float(edge) for edge in edges],
        "histogram": [int(count) for count in histogram],
    }


def _quantile(q: float, edges: NDArray[np.float64], histogram: NDArray[np.int64]) -> float:
    total = int(histogram.sum())
    if total == 0:
        return float("nan")
    rising = np.cumsum(histogram)
    index = int(np.searchsorted(rising, q * total))
    if index == 0 or index == len(edges):
        return float("-inf") if index == 0 else float("inf")
    share = (q * total - rising[index - 1]) / histogram[index]
    return float(edges[index - 1] + share * (edges[index] - edges[index - 1]))


class AcceptanceCounts:
    """Running counts of judged jumps.

    Attributes
    ----------
    judged : int
    sum_acceptance : float
        Of min(1, a).
    histogram : ndarray of int
        Of ln a in bins of one kT from -50 to 10, with unbounded bins at both ends.
    """

    def __init__(self) -> None:
        self.judged, self.sum_acceptance = 0, 0.0
        self.histogram = np.zeros(len(_EDGES) + 1, dtype=np.int64)

    def add(self, log_acceptance: ArrayLike) -> None:
        """Count ln a of judged jumps; nan and -inf are jumps that weren't finite."""
        values = np.nan_to_num(np.atleast_1d(np.asarray(log_acceptance, dtype=np.float64)), nan=-np.inf)
        self.judged += len(values)
        self.sum_acceptance += float(np.exp(np.minimum(values, 0.0)).sum())
        np.add.at(self.histogram, np.searchsorted(_EDGES, values, side="right"), 1)

    def describe(self) -> dict[str, Any]:
        """See `describe_acceptance`."""
        mean = self.sum_acceptance / self.judged if self.judged else float("nan")
        return describe_acceptance(self.judged, mean, _EDGES.tolist(), self.histogram.tolist())
