"""Losses whose minimisers are the tilted end point and the log of the tilt, given (x_t, x_0, t).

==========  ==============================================================  ==========
symbol      meaning                                                         variable
==========  ==============================================================  ==========
f           weight of a pair, `interpolant.tilt.tilt_weights`               weight
r           x_1 - xhat_1: residual of the frozen field                      residual
delta       xhat_f - xhat_1: how the tilt moves the end point               change
b           baseline of the weights                                         baseline
u           log h_t up to a function of x_0                                 log_tilt
==========  ==============================================================  ==========

min E[f |xhat_1 + delta - x_1|^2 / c_out^2] has the minimiser delta = E[f r | x_t, x_0] / E[f | x_t, x_0]. Since
E[r | x_t, x_0] = 0 for an exact field, 2 b delta . r may be added for any b without moving the minimiser: with b = 1
only the part of a weight that differs from the mean weight pulls, so the fit has less noise, and errors of the frozen
field are not fitted, f = 1 giving delta = 0 exactly. With b = 0 it is the plain weighted regression.
"""

import torch
from torch import Tensor

__all__ = ["log_tilt_loss", "tilted_change_error"]


def tilted_change_error(
    change: Tensor, residual: Tensor, weight: Tensor, spread: Tensor, baseline: float | Tensor = 1.0
) -> Tensor:
    """f |delta|^2 - 2 (f - b) delta . r of each copy in units of `spread`, mean over coordinates; shape (n_copies,).

    Parameters
    ----------
    change, residual : Tensor, shape (n_copies, n_atoms, 3)
    weight, spread : Tensor, shape (n_copies,)
        f, of mean one, and c_out.
    baseline : float or Tensor, shape (n_copies,)
        b; 0 or 1, or an estimate of h_t, which takes away most noise.
    """
    size = change.square().mean((1, 2))
    along = (change * residual).mean((1, 2))
    return (weight * size - 2.0 * (weight - baseline) * along) / spread.square()


def log_tilt_loss(log_tilt: Tensor, weight: Tensor) -> Tensor:
    """e^u - f u of each copy: u = log E[f | x_t, x_0] minimises its mean (f = E[f | .] minimises e^u - f u).

    Parameters
    ----------
    log_tilt, weight : Tensor, shape (n_copies,)
    """
    return torch.exp(log_tilt) - weight * log_tilt
