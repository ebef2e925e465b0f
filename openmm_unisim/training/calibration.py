"""Fit of the variance head by maximum likelihood on held-out residuals x_1 - xhat_1 of a frozen field.

Rigid motion is absent from the residuals and keeps its fixed, tiny variance.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ..data.pairs import PairSampler, PairSource
from ..elements import vocabulary_lookup
from ..interpolant.bridge import interpolate
from ..interpolant.covariance import collapse, posterior_precision, restraints
from ..model.bond_graph import adjacency_matrix, bond_distance
from ..model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
from ..model.spread import SpreadHead

LOGITS = (-8.5, 9.0)  # of t, uniform: every substep of a symmetric grid matters alike
CHUNK = 64


class Residuals:
    """Draws predicted ends and residuals of a frozen field.

    Parameters
    ----------
    field : ConditionedField
    source : PairSource
        Held-out walkers.
    lag_time : float, ps
    """

    def __init__(self, field: ConditionedField, source: PairSource, lag_time: float) -> None:
        self.field, self.lag_time = field, lag_time
        self.sampler = PairSampler(source, lag_time)
        self.z_index = torch.tensor(vocabulary_lookup())[source.atomic_numbers]
        self.adjacency = adjacency_matrix(source.bonds, len(source.atomic_numbers))
        self.distance = bond_distance(self.adjacency)
        self.restraints = restraints(self.distance)

    @torch.no_grad()
    def draw(self, size: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ends (size, n_atoms, 3), starts, times (size,) double and residuals (size, 3 n_atoms) double."""
        pair = self.sampler.draw(size, generator)
        low, high = LOGITS
        t = torch.sigmoid(low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64))
        noise = torch.randn(pair.start.shape, generator=generator)
        x_t = interpolate(pair.start, pair.end, t.float(), self.field.sigma, noise)
        ends = [
            self.field(
                x_t[part],
                pair.start[part],
                t[part].float(),
                self.lag_time,
                self.z_index,
                self.adjacency,
                self.distance,
            )[0]
            for part in torch.arange(size).split(CHUNK)
        ]
        end = torch.cat(ends)
        return end, pair.start, t, (pair.end.double() - end.double()).flatten(1)


def negative_log_likelihood(
    head: SpreadHead, residuals: Residuals, end: Tensor, start: Tensor, t: Tensor, residual: Tensor
) -> Tensor:
    """Per coordinate and without its constant, shape (size,)."""
    field = residuals.field
    with torch.no_grad():
        place, reference = field.describe(residuals.z_index, residuals.adjacency, residuals.distance)
        times = field.time_features(t.float())
        shortfall = collapse(end, residuals.restraints, reference)
    variances, rest = head(place, times, residuals.restraints, shortfall)
    precision = posterior_precision(end, start, residuals.restraints, variances, rest, t, field.sigma)
    factor = torch.linalg.cholesky(precision)
    squares = (factor.transpose(1, 2) @ residual.unsqueeze(-1)).square().sum((1, 2))
    return (0.5 * squares - torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)) / residual.size(1)


def calibrate(
    field: ConditionedField, config: ConditionedConfig, source: PairSource, lag_time: float, *,
    iterations: int = 600, batch: int = 32, learning_rate: float = 1e-2, seed: int = 7,
    progress: Callable[[int, float], None] | None = None,
) -> SpreadHead:  # fmt: skip
    """Fit a variance head to a trained field.

    Parameters
    ----------
    field, config
        The field, frozen, and its sizes.
    source : PairSource
        Held-out walkers.
    lag_time : float, ps
    iterations, batch, learning_rate
        Of Adam; the rate falls linearly to zero.
    seed : int
    progress : callable (iterations done, mean negative log-likelihood per coordinate of the last ones), optional

    Returns
    -------
    SpreadHead
    """
    generator = Generator().manual_seed(seed)
    residuals = Residuals(field, source, lag_time)
    head = SpreadHead(config.place_width, TIME_CENTRES, generator=generator)
    optimiser = torch.optim.Adam(head.parameters(), lr=learning_rate)
    report, running = 50, 0.0
    for iteration in range(iterations):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * (1 - iteration / iterations)
        end, start, t, residual = residuals.draw(batch, generator)
        loss = negative_log_likelihood(head, residuals, end, start, t, residual).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        running += float(loss.detach()) / report
        if (iteration + 1) % report == 0:
            if progress is not None:
                progress(iteration + 1, running)
            running = 0.0
    return head.eval()
