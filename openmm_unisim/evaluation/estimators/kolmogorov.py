r"""Kolmogorov-Smirnov test of two correlated series: do they come from one distribution?

===============  =====================================================  =====================
symbol           meaning                                                name here
===============  =====================================================  =====================
D                largest difference of the two empirical distributions  distance
n                effective samples: frames over the inefficiency g       effective
p                Q_KS(sqrt(n_1 n_2 / (n_1 + n_2)) D)                     p_value
===============  =====================================================  =====================

g is the largest of the indicators of x below three quartiles of both series together: D is a difference of such
indicators' means, so that theirs are the correlations that count, and the slowest decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kstwobign

from ...errors import ConfigError, NonFiniteError
from .kinetics import statistical_inefficiency

__all__ = ["KolmogorovTest", "kolmogorov_test"]

_QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class KolmogorovTest:
    """The largest difference of two distributions, effective samples of both, and the probability of as large a one."""

    distance: float
    effective: tuple[float, float]
    p_value: float


def kolmogorov_test(first: ArrayLike, second: ArrayLike) -> KolmogorovTest:
    """Compare two series of one quantity.

    Parameters
    ----------
    first, second : array_like, shape (n_frames,) or (n_walkers, n_frames)
        In the order of time; of angles, degrees in [-180, 180).
    """
    series = [np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    for values in series:
        if values.size < 2:
            raise ConfigError(f"A series of {values.size} values can't be tested; give 2 or more.")
        if not np.isfinite(values).all():
            raise NonFiniteError("A series has values that are NaN or infinite; leave those frames out.")
    both = np.sort(np.concatenate([values.ravel() for values in series]))
    levels = np.quantile(both, _QUARTILES)
    below = [np.searchsorted(np.sort(values.ravel()), both, side="right") / values.size for values in series]
    effective = [
        values.size / max(statistical_inefficiency((values < level).astype(float)) for level in levels)
        for values in series
    ]
    distance = float(np.abs(below[0] - below[1]).max())
    scale = np.sqrt(effective[0] * effective[1] / (effective[0] + effective[1]))
    return KolmogorovTest(distance, (effective[0], effective[1]), float(kstwobign.sf(scale * distance)))
