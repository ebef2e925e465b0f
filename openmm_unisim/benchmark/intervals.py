"""Error bars over seeds: geometric means, and ratios of two sides that ran in turn.

==========================  =============================================================  ==================
symbol                      meaning                                                        name here
==========================  =============================================================  ==================
x_s                         a positive figure of seed s, or a ratio of two of that seed    values
m, s                        mean and standard deviation of ln x_s over n seeds
exp(m)                      geometric mean                                                 value
exp(m -+ t s / sqrt(n))     its 95 % interval, t: Student's t of n - 1 degrees of freedom  low, high
==========================  =============================================================  ==================

Logarithms since ratios of speeds scatter by factors; seeds are independent runs, so no autocorrelation enters.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError

__all__ = ["CONFIDENCE", "GeometricMean", "geometric_mean"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class GeometricMean:
    """A geometric mean and its interval; `low` and `high` are NaN for a single value."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def geometric_mean(values: Sequence[float]) -> GeometricMean:
    """Geometric mean of positive numbers, with its interval (table of this module)."""
    from scipy.stats import t

    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not (np.isfinite(array) & (array > 0)).all():
        raise ConfigError(f"A geometric mean needs positive numbers, not {array.tolist()}.")
    logs = np.log(array)
    mean, n = float(logs.mean()), int(array.size)
    if n < 2:
        return GeometricMean(float(np.exp(mean)), float("nan"), float("nan"), n)
    half = float(t.ppf(0.5 + CONFIDENCE / 2.0, n - 1) * logs.std(ddof=1) / np.sqrt(n))
    return GeometricMean(float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half)), n)
