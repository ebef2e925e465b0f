"""The conditioned vector field behind the step contract: nm in, nm out, one substep's law (docs/model_file.md)."""

import math
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from ..interpolant.covariance import (
    Restraints,
    cholesky_or_nan,
    collapse,
    gaussian_log_density,
    gaussian_step,
    posterior_covariance,
    posterior_precision,
    restraints,
    step_covariance,
    step_mean,
)
from ..interpolant.schedule import symmetric_power_grid, uniform_grid
from ..model.bond_graph import adjacency_matrix, bond_distance
from ..model.conditioned import ConditionedField
from ..model.embedding import ElementIndex
from ..model.spread import SpreadHead
from ..units import ANGSTROM_PER_NM

MOST_SUBSTEPS = 1000


class ConditionedJump(nn.Module):
    """One substep of a jump.

    Parameters
    ----------
    field : ConditionedField
    lag_time : float, ps
    grid_power : float
        p of the symmetric grid; 0 means the uniform grid.
    spread : SpreadHead
        Fitted variances of the substep's law.
    group_wise : bool
        Use them; otherwise the noise is isotropic (Euler-Maruyama).
    elements : Tensor, shape (n_elements,), int64
        Atomic numbers that occurred in training.
    kernel : ConditionedField, optional
        Predicts the tilted end point: guidance moves the end point by guidance_scale times the difference.
    """

    elements: Tensor

    def __init__(
        self, field: ConditionedField, spread: SpreadHead, lag_time: float, grid_power: float, group_wise: bool,
        elements: Tensor, kernel: Optional[ConditionedField] = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.field = field
        self.kernel = kernel
        self.spread = spread
        self.lag_time = float(lag_time)
        self.grid_power = float(grid_power)
        self.group_wise = group_wise
        self.nm = 1.0 / ANGSTROM_PER_NM
        self.angstrom = float(ANGSTROM_PER_NM)
        self.most_substeps = MOST_SUBSTEPS
        self.element_index = ElementIndex()
        self.register_buffer("elements", elements)

    def topology(self, bonds: Tensor, n_atoms: int) -> Tuple[Tensor, Tensor, Restraints]:
        """Adjacency, bonds between each pair, and restrained quantities."""
        adjacency = adjacency_matrix(bonds, n_atoms)
        distance = bond_distance(adjacency)
        return adjacency, distance, restraints(distance)

    def variances(
        self, end: Tensor, place: Tensor, reference: Tensor, times: Tensor, restrained: Restraints
    ) -> Tuple[Tensor, Tensor]:
        """v_g and v_i of `interpolant.covariance`."""
        return self.spread(place, times, restrained, collapse(end, restrained, reference))

    def factor(self, precision: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Cholesky factor of the step's covariance."""
        return cholesky_or_nan(step_covariance(posterior_covariance(precision), t, t_next, self.field.sigma))

    def density(self, following: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        """Log density of `following`."""
        return gaussian_log_density(following, mean, factor)

    def precision(
        self, end: Tensor, initial: Tensor, restrained: Restraints, variances: Tensor, rest: Tensor, t: Tensor
    ) -> Tensor:
        """S^-1 of `interpolant.covariance`."""
        return posterior_precision(end, initial, restrained, variances, rest, t, self.field.sigma)

    def check(self, atomic_numbers: Tensor, forces: Tensor) -> None:
        """Raise on elements that the model doesn't know, and on forces."""
        if not bool(torch.isin(atomic_numbers, self.elements).all()):
            unknown = atomic_numbers[torch.logical_not(torch.isin(atomic_numbers, self.elements))]
            raise RuntimeError(
                "Atomic number " + str(int(unknown[0].item())) + " did not occur in this model's training."
            )
        if forces.numel() > 0:
            raise RuntimeError("This model takes no forces; it was exported with guidance none.")

    def end_point(
        self, x: Tensor, x0: Tensor, t: Tensor, z_index: Tensor, adjacency: Tensor, distance: Tensor, place: Tensor,
        reference: Tensor, guidance_scale: float,
    ) -> Tensor:  # fmt: skip
        """xhat_1 + guidance_scale (xhat_f - xhat_1), angstrom; at scales 0 and 1 one network does."""
        if self.kernel is not None:
            if guidance_scale != 0.0:
                own_place, own_reference = self.kernel.describe(z_index, adjacency, distance)
                tilted = self.kernel.predict(
                    x, x0, t, self.lag_time, z_index, distance, own_place, own_reference
                )
                if guidance_scale == 1.0:
                    return tilted
                plain = self.field.predict(x, x0, t, self.lag_time, z_index, distance, place, reference)
                return plain + guidance_scale * (tilted - plain)
        return self.field.predict(x, x0, t, self.lag_time, z_index, distance, place, reference)

    def law(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, guidance_scale: float, given: Optional[Tensor] = None,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Mean (n_copies, n_atoms, 3) and Cholesky factor of the covariance of the substep, angstrom, double.

        `check` must have passed the elements. `given`, if there is one, is the end point (angstrom) to head for.
        """
        z_index = self.element_index.lookup[atomic_numbers]
        adjacency, distance, restrained = self.topology(bonds, atomic_numbers.size(0))
        x, x0 = positions * self.angstrom, initial_positions * self.angstrom
        place, reference = self.field.describe(z_index, adjacency.to(x.dtype), distance)
        if given is None:
            end = self.end_point(
                x,
                x0,
                t.to(x.dtype),
                z_index,
                adjacency.to(x.dtype),
                distance,
                place,
                reference,
                guidance_scale,
            )
        else:
            end = given
        t, t_next = t.double(), t_next.double()
        mean = step_mean(x, end, t, t_next)
        if self.group_wise:
            times = self.field.time_features(t.to(x.dtype))
            variances, rest = self.variances(end, place, reference, times, restrained)
            precision = self.precision(end, x0, restrained, variances, rest, t)
            return mean, self.factor(precision, t, t_next)
        scale = (self.field.sigma * (t_next - t).sqrt()).view(-1, 1, 1)
        return mean, scale * torch.eye(3 * x.size(1), dtype=torch.float64, device=x.device)

    def drawn(self, mean: Tensor, factor: Tensor, noise: Tensor) -> Tensor:
        """A state of the law, nm, double."""
        return gaussian_step(mean, factor, noise) * self.nm

    def density_at(self, next_positions: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        """Log density of the law at `next_positions`, nm, with respect to coordinates in nm."""
        density = self.density(next_positions.double() * self.angstrom, mean, factor)
        return density + mean.size(1) * 3 * math.log(self.angstrom)

    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor, noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Next positions (nm) and their log density (of nm coordinates); see docs/model_file.md."""
        self.check(atomic_numbers, forces)
        mean, factor = self.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, guidance_scale
        )
        following = self.drawn(mean, factor, noise).to(positions.dtype)
        return following, self.density_at(following, mean, factor)

    @torch.jit.export
    def log_density(
        self, next_positions: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """Log density of a given substep, shape (n_copies,), double."""
        self.check(atomic_numbers, forces)
        mean, factor = self.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, guidance_scale
        )
        return self.density_at(next_positions, mean, factor)

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """No forces are wanted."""
        return torch.zeros([0], dtype=positions.dtype, device=positions.device)

    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        """Interpolant times, shape (n+1,)."""
        if n < 2 or n > self.most_substeps:
            raise RuntimeError(
                "This model offers 2 to " + str(self.most_substeps) + " substeps, not " + str(n) + "."
            )
        if self.grid_power > 0.0:
            return symmetric_power_grid(n, self.grid_power)
        return uniform_grid(n)

    @torch.jit.export
    def drift(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        guidance_scale: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """(xhat_1 - x_t)/(1 - t) with guidance, nm."""
        z_index = self.element_index(atomic_numbers)
        adjacency, distance, _ = self.topology(bonds, atomic_numbers.size(0))
        x, x0 = positions * self.angstrom, initial_positions * self.angstrom
        adjacency = adjacency.to(x.dtype)
        place, reference = self.field.describe(z_index, adjacency, distance)
        end = self.end_point(
            x, x0, t.to(x.dtype), z_index, adjacency, distance, place, reference, guidance_scale
        )
        return (end - x) * self.nm / (1.0 - t.to(x.dtype).view(-1, 1, 1))
