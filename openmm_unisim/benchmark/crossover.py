"""What a biased but fast sampler is worth: time to a given error, and when exact MD overtakes it.

===================  ==========================================================================  ================
symbol               meaning                                                                     name here
===================  ==========================================================================  ================
p                    population of the alpha basin                                               population
e                    effective samples of its indicator per second                               ess_per_s
A = p (1 - p) / e    variance of the estimate of p after one second, s                           variance_seconds
b                    bias: p of infinitely long sampling minus the truth; 0 for MD               bias
MSE(t)               b^2 + A / t after t seconds of sampling                                     mean_square_error
t(eps)               A / (eps^2 - b^2): time to a root-mean-square error eps; never if eps <= b  time_to_error
t*                   (A_MD - A_biased) / b^2, from MSE_biased(t*) = MSE_MD(t*)                   crossover_time
===================  ==========================================================================  ================

Source: bias-variance decomposition with n/g effective samples. Before t* the biased sampler is the better one at equal
time, after it MD is; t* is 0 if MD is better from the start. b is itself measured, with an error s_b: b^2 is taken as
max(0, b^2 - s_b^2), which is unbiased where it is positive, and the interval of t* is that of |b| -+ 2 s_b.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "Crossover",
    "crossover",
    "crossover_time",
    "mean_square_error",
    "time_to_error",
    "variance_seconds",
]


def variance_seconds(population: float, ess_per_s: float) -> float:
    """A of the table, s."""
    return population * (1.0 - population) / ess_per_s


def mean_square_error(seconds: float, bias: float, variance_s: float) -> float:
    """MSE(t) of the table."""
    return bias**2 + variance_s / seconds


def time_to_error(error: float, bias: float, variance_s: float) -> float:
    """Seconds of sampling until the root-mean-square error is `error`; infinite if the bias alone is as large."""
    room = error**2 - bias**2
    return variance_s / room if room > 0 else math.inf


def crossover_time(bias: float, variance_s: float, md_variance_s: float) -> float:
    """t* of the table, s: 0 if MD is better from the start, infinite if there is no bias."""
    gain = md_variance_s - variance_s
    if gain <= 0:
        return 0.0
    return gain / bias**2 if bias != 0 else math.inf


@dataclass(frozen=True)
class Crossover:
    """When MD overtakes the biased sampler.

    Attributes
    ----------
    bias, bias_error : float
        b and s_b.
    bias_resolved : bool
        Whether |b| > 2 s_b; if not, `seconds` may be infinite and `least` is all that is known.
    variance_s, md_variance_s : float
        A of both sides, s.
    seconds, least, most : float
        t* and its interval.
    times : list of dict
        ``error``, and ``seconds`` and ``md_seconds`` to reach it, set-up excluded.
    """

    bias: float
    bias_error: float
    bias_resolved: bool
    variance_s: float
    md_variance_s: float
    seconds: float
    least: float
    most: float
    times: list[dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values; infinite ones become null in JSON, and mean "never"."""
        return asdict(self)


def crossover(
    bias: float,
    bias_error: float,
    variance_s: float,
    md_variance_s: float,
    errors: tuple[float, ...] = (0.05, 0.02, 0.01),
) -> Crossover:
    """Everything of the module's table from a measured bias."""
    likely = math.sqrt(max(0.0, bias**2 - bias_error**2))
    largest, smallest = abs(bias) + 2.0 * bias_error, max(0.0, abs(bias) - 2.0 * bias_error)
    times = [
        {
            "error": error,
            "seconds": time_to_error(error, likely, variance_s),
            "md_seconds": time_to_error(error, 0.0, md_variance_s),
        }
        for error in errors
    ]
    return Crossover(
        bias, bias_error, smallest > 0.0, variance_s, md_variance_s,
        crossover_time(likely, variance_s, md_variance_s),
        crossover_time(largest, variance_s, md_variance_s),
        crossover_time(smallest, variance_s, md_variance_s), times,
    )  # fmt: skip
