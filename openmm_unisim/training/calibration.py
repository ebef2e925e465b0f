"""Fit of the variance head by maximum likelihood on held-out residuals x_1 - xhat_1 of a frozen field.

Rigid motion is absent from the residuals and keeps its fixed, tiny variance. Of many molecules, each step takes one,
drawn uniformly, at one lag time, drawn uniformly: one head serves them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..interpolant.bridge import interpolate
from ..interpolant.covariance import collapse, posterior_precision, restraints
from ..model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
from ..model.spread import SpreadHead
from .molecule_set import MoleculeSet

LOGITS = (-8.5, 9.0)  # of t, uniform: every substep of a symmetric grid matters alike
CHUNK = 64


@dataclass(frozen=True)
class Residual:
    """What the field leaves unexplained, of copies of one molecule.

    Attributes
    ----------
    molecule : int
        Its place in the set.
    end, start : Tensor, shape (n_copies, n_atoms, 3), angstrom
        Predicted end and given start.
    t : Tensor, shape (n_copies,), float64
    residual : Tensor, shape (n_copies, 3 n_atoms), float64, angstrom
    """

    molecule: int
    end: Tensor
    start: Tensor
    t: Tensor
    residual: Tensor


class Residuals:
    """Draws predicted ends and residuals of a frozen field.

    Parameters
    ----------
    field : ConditionedField
    molecules : MoleculeSet
        Of held-out walkers, loaded for the lags.
    lag_times : sequence of float, ps
    atom_budget : int
        Most atoms of a draw, unless a single copy has more.
    """

    def __init__(
        self, field: ConditionedField, molecules: MoleculeSet, lag_times: Sequence[float], atom_budget: int
    ) -> None:
        self.field, self.molecules, self.lag_times = field, molecules, tuple(lag_times)
        self.atom_budget = atom_budget
        self.restraints = [restraints(molecule.distance) for molecule in molecules]

    @torch.no_grad()
    def draw(self, size: int, generator: Generator) -> Residual:
        """Up to `size` copies of one molecule at one lag time."""
        chosen, which = (
            0 if count == 1 else int(torch.randint(count, (), generator=generator))
            for count in (len(self.molecules), len(self.lag_times))
        )
        molecule, lag_time = self.molecules[chosen], self.lag_times[which]
        size = min(size, max(1, self.atom_budget // molecule.n_atoms))
        pair = molecule.samplers[lag_time].draw(size, generator)
        low, high = LOGITS
        t = torch.sigmoid(low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64))
        noise = torch.randn(pair.start.shape, generator=generator)
        x_t = interpolate(pair.start, pair.end, t.float(), self.field.sigma, noise)
        ends = [
            self.field(
                x_t[part],
                pair.start[part],
                t[part].float(),
                lag_time,
                molecule.z_index,
                molecule.adjacency,
                molecule.distance,
            )[0]
            for part in torch.arange(size).split(CHUNK)
        ]
        end = torch.cat(ends)
        return Residual(chosen, end, pair.start, t, (pair.end.double() - end.double()).flatten(1))


def negative_log_likelihood(head: SpreadHead, residuals: Residuals, drawn: Residual) -> Tensor:
    """Per coordinate and without its constant, shape (n_copies,)."""
    field, molecule = residuals.field, residuals.molecules[drawn.molecule]
    groups, t = residuals.restraints[drawn.molecule], drawn.t
    with torch.no_grad():
        place, reference = field.describe(molecule.z_index, molecule.adjacency, molecule.distance)
        times = field.time_features(t.float())
        shortfall = collapse(drawn.end, groups, reference)
    variances, rest = head(place, times, groups, shortfall)
    precision = posterior_precision(drawn.end, drawn.start, groups, variances, rest, t, field.sigma)
    factor = torch.linalg.cholesky(precision)
    squares = (factor.transpose(1, 2) @ drawn.residual.unsqueeze(-1)).square().sum((1, 2))
    logarithms = torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)
    return (0.5 * squares - logarithms) / drawn.residual.size(1)


def calibrate(
    field: ConditionedField, config: ConditionedConfig, molecules: MoleculeSet, lag_times: Sequence[float], *,
    iterations: int = 600, batch: int = 32, atom_budget: int = 704, learning_rate: float = 1e-2, seed: int = 7,
    progress: Callable[[int, float], None] | None = None,
) -> SpreadHead:  # fmt: skip
    """Fit a variance head to a trained field.

    Parameters
    ----------
    field, config
        The field, frozen, and its sizes.
    molecules : MoleculeSet
        Of held-out walkers, loaded for the lags.
    lag_times : sequence of float, ps
    iterations, batch, learning_rate
        Of Adam; the rate falls linearly to zero.
    atom_budget : int
        Copies of a step are `batch`, or as many as this number of atoms allows.
    seed : int
    progress : callable (iterations done, mean negative log-likelihood per coordinate of the last ones), optional

    Returns
    -------
    SpreadHead
    """
    generator = Generator().manual_seed(seed)
    residuals = Residuals(field, molecules, lag_times, atom_budget)
    head = SpreadHead(config.place_width, TIME_CENTRES, generator=generator)
    optimiser = torch.optim.Adam(head.parameters(), lr=learning_rate)
    report, running = 50, 0.0
    for iteration in range(iterations):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * (1 - iteration / iterations)
        loss = negative_log_likelihood(head, residuals, residuals.draw(batch, generator)).mean()
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
