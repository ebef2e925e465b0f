"""The conditioned form with the means of its last substeps corrected by OpenMM's forces, behind the step contract.

`interpolant.force_means` has the formula. Everything else is the jump that is corrected, guidance by a kernel included.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from ..interpolant.force_means import at_stiff_end
from ..units import ANGSTROM_PER_NM
from .scripted import ConditionedJump

__all__ = ["ForceMeansJump"]


class ForceMeansJump(nn.Module):
    """One substep of a jump that asks for the forces of the whole potential where sigma sqrt(1-t) is small.

    Parameters
    ----------
    jump : ConditionedJump
        Plain or packed, with group-wise covariance.
    threshold : float, angstrom
        Of sigma sqrt(1-t).
    """

    def __init__(self, jump: ConditionedJump, threshold: float) -> None:
        super().__init__()
        self.jump = jump
        self.threshold = float(threshold)
        self.nm = 1.0 / ANGSTROM_PER_NM
        self.angstrom = float(ANGSTROM_PER_NM)

    def is_stiff(self, t: Tensor) -> Tensor:
        """Which copies want forces, bool, shape (n_copies,)."""
        return at_stiff_end(t, self.jump.field.sigma, self.threshold)

    def law(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """`ConditionedJump.law` with corrected means."""
        self.jump.check(atomic_numbers, forces.new_zeros([0]))
        pull: Optional[Tensor] = None
        if bool(self.is_stiff(t).any()):
            if forces.numel() != positions.numel():
                raise RuntimeError("OpenMM's forces are wanted at guidance_points, and none were given.")
            pull = forces * (self.nm / kT)  # beta F, 1/angstrom
        return self.jump.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, guidance_scale, None, pull,
            self.threshold,
        )  # fmt: skip

    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor, noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Next positions (nm) and their log density (of nm coordinates); see docs/model_file.md."""
        mean, factor = self.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, kT, forces, guidance_scale
        )
        following = self.jump.drawn(mean, factor, noise).to(positions.dtype)
        return following, self.jump.density_at(following, mean, factor)

    @torch.jit.export
    def log_density(
        self, next_positions: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """Log density of a given substep, shape (n_copies,), double."""
        mean, factor = self.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, kT, forces, guidance_scale
        )
        return self.jump.density_at(next_positions, mean, factor)

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """Predicted end points (nm) of copies at the stiff end, NaN for the others; empty if there is none."""
        stiff = self.is_stiff(t)
        if not bool(stiff.any()):
            return torch.zeros([0], dtype=positions.dtype, device=positions.device)
        self.jump.check(atomic_numbers, forces.new_zeros([0]))
        z_index = self.jump.element_index.lookup[atomic_numbers]
        adjacency, distance, _ = self.jump.topology(bonds, atomic_numbers.size(0))
        x, x0 = positions[stiff] * self.angstrom, initial_positions[stiff] * self.angstrom
        adjacency, time = adjacency.to(x.dtype), t[stiff].to(x.dtype)
        place, reference = self.jump.field.describe(z_index, adjacency, distance)
        end = self.jump.end_point(x, x0, time, z_index, adjacency, distance, place, reference, guidance_scale)
        points = torch.full_like(positions, float("nan"))
        points[stiff] = self.nm * end
        return points

    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        """Interpolant times, shape (n+1,)."""
        return self.jump.time_grid(n)
