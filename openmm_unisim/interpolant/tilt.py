"""The tilted jump: its weights, its strength and what they cost (docs/theory.md, section 9).

================  =========================================================  =====================
symbol            meaning                                                    variable
================  =========================================================  =====================
W                 energy that environment B adds to A, kJ/mol                environment energy
eps               W / kT                                                     start, end
f                 exp(-alpha eps(x_1)): tilt of the end point                `tilt_weights`
alpha             <eps^2> / (<eps^2> + <eps_0 eps_tau>)                      `calibrated_alpha`
lambda            <eps_0 eps_tau> / <eps^2>                                  `energy_memory`
h_t               E[f(x_1) | x_t, x_0]                                       log_tilt is its log
xhat_f            E[f x_1 | x_t, x_0] / h_t                                  end point + change
sigma^2 grad h/h  what the tilt adds to the drift: change / (1 - t)          `tilt_drift`
================  =========================================================  =====================

Energies are those of the data's own pairs; a weight times any function of x_0 leaves xhat_f and grad log h as they
are, since both are conditioned on x_0. Sources: Doob's transform; UniSim, spec section 8, for the published targets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError, NonFiniteError

__all__ = [
    "TiltWeights",
    "calibrated_alpha",
    "effective_share",
    "energy_memory",
    "tilt_drift",
    "tilt_weights",
]


@dataclass(frozen=True)
class TiltWeights:
    """Weights of pairs, of mean one.

    Attributes
    ----------
    weights : Tensor, shape (n_pairs,), double
    effective : float
        Kish's effective sample size as a share of the pairs, after clipping.
    clipped : float
        Share of the pairs whose weight was cut.
    """

    weights: Tensor
    effective: float
    clipped: float


def _moments(start: Tensor, end: Tensor) -> tuple[float, float]:
    """<eps^2> and <eps_0 eps_tau> about the common mean of both ends."""
    first, second = start.double(), end.double()
    mean = 0.5 * (first.mean() + second.mean())
    variance = 0.5 * ((first - mean).square().mean() + (second - mean).square().mean())
    covariance = ((first - mean) * (second - mean)).mean()
    if not (torch.isfinite(variance) and torch.isfinite(covariance)):
        raise NonFiniteError(
            f"An environment energy is not finite (variance {variance}); look at the frames."
        )
    return float(variance), float(covariance)


def calibrated_alpha(start: Tensor, end: Tensor) -> float:
    """Scalar strength of the tilt in linear response, 1/2 for short lags and 1 for long ones.

    Parameters
    ----------
    start, end : Tensor, shape (n_pairs,)
        eps at both ends of equilibrium pairs, in units of kT.
    """
    variance, covariance = _moments(start, end)
    if variance == 0.0:
        raise ConfigError(
            "The environment energy is the same in all frames; there is nothing to be guided by."
        )
    return variance / (variance + max(0.0, covariance))


def energy_memory(start: Tensor, end: Tensor) -> float:
    """Share of eps that is left after the lag, between 0 and 1; arguments as in `calibrated_alpha`."""
    variance, covariance = _moments(start, end)
    return min(1.0, max(0.0, covariance / variance)) if variance > 0 else 0.0


def effective_share(weights: Tensor) -> float:
    """Kish's effective sample size over the number of samples."""
    weights = weights.double()
    return float(weights.sum().square() / weights.square().sum() / weights.numel())


def tilt_weights(start: Tensor, end: Tensor, alpha: float, memory: float, clip: float = 0.0) -> TiltWeights:
    """exp(-alpha (eps_1 - memory eps_0)), scaled to mean one.

    The part with eps_0 is close to 1/h_0(x_0) and so gives each start about the weight that it has in the data; being a
    function of x_0 alone it changes the variance of the fit, not what is fitted.

    Parameters
    ----------
    start, end : Tensor, shape (n_pairs,)
        eps of both ends, in units of kT.
    alpha : float
    memory : float
        `energy_memory`, or 0.
    clip : float
        Largest weight in units of the mean; 0: none. A clipped fit is biased toward no guidance.
    """
    exponent = -alpha * (end.double() - memory * start.double())
    weights = torch.exp(exponent - exponent.max())
    weights = weights / weights.mean()
    if not bool(torch.isfinite(weights).all()):
        raise NonFiniteError(
            "A weight exp(-alpha eps) is not finite; look at the frames' environment energies."
        )
    clipped = 0.0
    if clip > 0:
        clipped = float((weights > clip).double().mean())
        weights = weights.clamp(max=clip)
        weights = weights / weights.mean()
    return TiltWeights(weights, effective_share(weights), clipped)


def tilt_drift(log_tilt_gradient: Tensor, sigma: float) -> Tensor:
    """sigma^2 grad log h_t: what the tilt adds to the drift (change / (1 - t) is the same)."""
    return sigma**2 * log_tilt_gradient
