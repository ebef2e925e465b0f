"""Fit of the posterior's variances S_g(t) by maximum likelihood on held-out residuals x_1 - xhat_1.

The fit is per knot in logit(t), with nothing but the residuals at that time: six numbers, those of
`interpolant.covariance`. Rigid motion is absent from the residuals and keeps its fixed, tiny variance.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ..data.pairs import PairSampler, PairSource
from ..elements import vocabulary_lookup
from ..interpolant.bridge import interpolate
from ..interpolant.covariance import N_CLASSES, posterior_precision, stiff_pairs
from ..model.bond_graph import adjacency_matrix, bond_distance
from ..model.conditioned import ConditionedField

KNOTS = (
    -8.0,
    -7.0,
    -6.0,
    -5.0,
    -4.0,
    -3.0,
    -2.0,
    -1.0,
    0.0,
    1.0,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    7.0,
    8.0,
)  # logit(t)
START = (0.05, 0.05, 0.1, 0.1, 0.3, 0.3)  # angstrom, spreads at which the fit begins
LEAST, LARGEST = 1e-4, 5.0  # angstrom: spreads outside this range would be numerical accidents


def calibrate(
    field: ConditionedField, source: PairSource, lag_time: float, *, pairs: int = 256, iterations: int = 120,
    seed: int = 7, progress: Callable[[int, float], None] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Fit the variances of a trained field.

    Parameters
    ----------
    field : ConditionedField
    source : PairSource
        Held-out walkers.
    lag_time : float, ps
    pairs, iterations : int
        Residuals per knot and steps of the optimiser.
    seed : int
    progress : callable (knots done, log-likelihood per coordinate), optional

    Returns
    -------
    knots : Tensor, shape (n_knots,)
        Logits of t.
    log_variances : Tensor, shape (n_knots, N_CLASSES), double
        Of angstrom^2.
    """
    generator = Generator().manual_seed(seed)
    sampler = PairSampler(source, lag_time)
    z_index = torch.tensor(vocabulary_lookup())[source.atomic_numbers]
    adjacency = adjacency_matrix(source.bonds, len(source.atomic_numbers))
    distance = bond_distance(adjacency)
    hydrogen = source.atomic_numbers == 1
    stiff, kind = stiff_pairs(distance, hydrogen)
    knots = torch.tensor(KNOTS, dtype=torch.float64)
    fitted = torch.tensor(START, dtype=torch.float64).square().log()
    rows = []
    for number, knot in enumerate(knots):
        t = torch.sigmoid(knot).float().expand(pairs)
        pair = sampler.draw(pairs, generator)
        x_t = interpolate(
            pair.start, pair.end, t, field.sigma, torch.randn(pair.start.shape, generator=generator)
        )
        with torch.no_grad():
            chunks = [
                field(x_t[part], pair.start[part], t[part], lag_time, z_index, adjacency, distance)[0]
                for part in torch.arange(pairs).split(64)
            ]
        end = torch.cat(chunks)
        residual = (pair.end.double() - end.double()).reshape(pairs, -1, 1)

        def negative(log_variance: Tensor, end=end, start=pair.start, residual=residual) -> Tensor:
            variances = log_variance.exp().expand(pairs, N_CLASSES)
            precision = posterior_precision(end, start, stiff, kind, hydrogen, variances)
            factor = torch.linalg.cholesky(precision)
            squares = (factor.transpose(1, 2) @ residual).square().sum((1, 2))
            return (0.5 * squares - torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)).mean()

        fitted, value = _minimise(negative, fitted, iterations)
        rows.append(fitted)
        if progress is not None:
            progress(number + 1, -value / residual.size(1))
    return knots, torch.stack(rows)


def _minimise(function: Callable[[Tensor], Tensor], start: Tensor, iterations: int) -> tuple[Tensor, float]:
    """Adam from `start`, which is the previous knot's fit; the variances stay within their bounds."""
    point = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([point], lr=0.1)
    low, high = 2 * torch.log(torch.tensor(LEAST)), 2 * torch.log(torch.tensor(LARGEST))
    value = float("nan")
    for step in range(iterations):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1 - step / iterations)
        optimiser.zero_grad()
        loss = function(point)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            point.clamp_(low, high)
        value = float(loss.detach())
    return point.detach().clone(), value
