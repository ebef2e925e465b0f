"""Guidance by a gradient that is at hand: what OpenMM's forces add to the end point (docs/theory.md, section 9).

================  ==========================================================================  ===============
symbol            meaning                                                                     variable
================  ==========================================================================  ===============
eps               W / kT, energy of the environment in units of kT                            --
J                 d xhat_1 / d x_t, so that sigma^2 (1 - t) J is the posterior's covariance   --
J^T grad eps      one vector-Jacobian product                                                 pulled_back
delta             -sigma^2 (1 - t) alpha J^T grad eps(xhat_1), added to xhat_1                `live_change`
w                 share of the displacement's variance that x_t tells: 0 at t = 0, 1 at 1     `told_share`
delta_K           change by a trained kernel                                                  learned
w delta +
(1 - w) delta_K   `openmm+residual`                                                           `handed_over`
================  ==========================================================================  ===============

delta is what Doob's drift sigma^2 grad log h_t adds, times 1 - t, with log h_t = -alpha eps(xhat_1(x_t)). It is exact
where eps is linear over the posterior's width, and so always as t -> 1, where the posterior has no width.
"""

from torch import Tensor

from .bridge import skip_scale

__all__ = ["EARLIEST", "handed_over", "live_change", "told_share"]

EARLIEST = (
    5e-4  # x_t = x_0 at t = 0, where a network has no derivative by their difference; J is taken at this time
)


def live_change(pulled_back: Tensor, t: Tensor, sigma: float, strength: float) -> Tensor:
    """What live guidance adds to the end point.

    Parameters
    ----------
    pulled_back : Tensor, shape (n_copies, n_atoms, 3), 1/angstrom
        J^T grad eps.
    t : Tensor, shape (n_copies,)
    sigma : float, angstrom
    strength : float
        alpha times the guidance scale.

    Returns
    -------
    Tensor, shape (n_copies, n_atoms, 3), angstrom
    """
    return (-sigma * sigma * strength) * (1.0 - t).view(-1, 1, 1) * pulled_back


def told_share(t: Tensor, sigma: float, displacement: float) -> Tensor:
    """Share of the variance of x_1 - x_0 that x_t explains (R^2 of the best linear guess), shape of `t`."""
    return t * skip_scale(t, sigma, displacement)


def handed_over(live: Tensor, learned: Tensor, t: Tensor, sigma: float, displacement: float) -> Tensor:
    """The learned change early, the live one late, in proportion to `told_share`.

    Parameters
    ----------
    live, learned : Tensor, shape (n_copies, n_atoms, 3), angstrom
    t : Tensor, shape (n_copies,)
    sigma, displacement : float, angstrom
    """
    share = told_share(t, sigma, displacement).view(-1, 1, 1)
    return share * live + (1.0 - share) * learned
