"""The conditioned form guided by OpenMM's forces, alone or beside a trained kernel, behind the step contract.

The end point changes by -sigma^2 (1-t) alpha s J^T grad eps(xhat_1), J = d xhat_1 / d x_t (docs/theory.md, section 9).
J^T is one backward pass through a differentiable copy of the field; everything else is the jump that is guided, so that
without guidance a step is that jump's to the last bit.
"""

from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from ..geometry import remove_rigid_motion
from ..interpolant.live_guidance import EARLIEST, handed_over, live_change
from ..model.conditioned import ConditionedField
from ..units import ANGSTROM_PER_NM
from .metadata import GUIDANCE_SOURCES
from .scripted import ConditionedJump

__all__ = ["LiveJump"]


class LiveJump(nn.Module):
    """One substep of a jump whose source of guidance is an argument.

    Parameters
    ----------
    jump : ConditionedJump
        Plain or packed, with or without a kernel.
    differentiable : ConditionedField
        The jump's field in a form that has derivatives by positions wherever the file is used, C++ included. Its
        parameters are made constant.
    """

    def __init__(self, jump: ConditionedJump, differentiable: ConditionedField) -> None:
        super().__init__()
        self.jump = jump
        self.differentiable = differentiable.requires_grad_(False)
        self.nm = 1.0 / ANGSTROM_PER_NM
        self.angstrom = float(ANGSTROM_PER_NM)
        self.earliest = EARLIEST
        self.learned = GUIDANCE_SOURCES.index("learned")
        self.openmm = GUIDANCE_SOURCES.index("openmm")
        self.residual = GUIDANCE_SOURCES.index("openmm+residual")
        self.has_kernel = jump.kernel is not None

    def is_live(self, guidance_scale: float, guidance_source: int) -> bool:
        """Whether forces are wanted; an unknown source, or one without its kernel, raises."""
        if guidance_scale == 0.0 or guidance_source == 0:
            return False
        if guidance_source == self.openmm:
            return True
        if guidance_source != self.learned and guidance_source != self.residual:
            raise RuntimeError("This model has no guidance source " + str(guidance_source) + ".")
        if not self.has_kernel:
            raise RuntimeError("This model has no kernel, so it can only be guided by OpenMM's forces.")
        return guidance_source == self.residual

    def own_scale(self, guidance_scale: float, guidance_source: int) -> float:
        """Scale of the jump's own guidance."""
        return guidance_scale if guidance_source == self.learned else 0.0

    def pulled_back(
        self, x: Tensor, x0: Tensor, t: Tensor, z_index: Tensor, adjacency: Tensor, distance: Tensor, gradient: Tensor
    ) -> Tensor:  # fmt: skip
        """J^T `gradient`, shape (n_copies, n_atoms, 3), by one backward pass."""
        recorded = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        place, reference = self.differentiable.describe(z_index, adjacency, distance)
        torch.set_grad_enabled(True)
        at = x.detach().clone().requires_grad_(True)
        end = self.differentiable.predict(
            at, x0, t.clamp(min=self.earliest), self.jump.lag_time, z_index, distance, place, reference
        )
        given: List[Optional[Tensor]] = [gradient]
        found = torch.autograd.grad([end], [at], given)[0]
        torch.set_grad_enabled(recorded)
        assert found is not None
        return found.detach()

    def guided_end(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        kT: float, forces: Tensor, guidance_scale: float, guidance_alpha: float, guidance_source: int,
    ) -> Tensor:  # fmt: skip
        """The end point with live guidance, angstrom."""
        if forces.numel() != positions.numel():
            raise RuntimeError("OpenMM's forces are wanted at guidance_points, and none were given.")
        z_index = self.jump.element_index.lookup[atomic_numbers]
        adjacency, distance, _ = self.jump.topology(bonds, atomic_numbers.size(0))
        x, x0 = positions * self.angstrom, initial_positions * self.angstrom
        adjacency, time = adjacency.to(x.dtype), t.to(x.dtype)
        place, reference = self.jump.field.describe(z_index, adjacency, distance)
        sigma, displacement = self.jump.field.sigma, self.jump.field.displacement
        lag = self.jump.lag_time
        plain = self.jump.field.predict(x, x0, time, lag, z_index, distance, place, reference)
        gradient = forces * (-self.nm / kT)  # of eps, in 1/angstrom
        pulled = self.pulled_back(x, x0, time, z_index, adjacency, distance, gradient)
        change = live_change(pulled, time, sigma, guidance_alpha)
        # Superposed end points stay so under any weights, which an inexact J doesn't know.
        change = remove_rigid_motion(x0 + change, x0) - x0
        if guidance_source == self.residual:
            tilted = self.jump.end_point(x, x0, time, z_index, adjacency, distance, place, reference, 1.0)
            change = handed_over(change, tilted - plain, time, sigma, displacement)
        return plain + guidance_scale * change

    def law(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, guidance_alpha: float, guidance_source: int,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """`ConditionedJump.law` with guidance."""
        self.jump.check(atomic_numbers, forces.new_zeros([0]))
        end: Optional[Tensor] = None
        if self.is_live(guidance_scale, guidance_source):
            end = self.guided_end(
                positions, initial_positions, atomic_numbers, bonds, t, kT, forces, guidance_scale, guidance_alpha,
                guidance_source,
            )  # fmt: skip
        own = self.own_scale(guidance_scale, guidance_source)
        return self.jump.law(positions, initial_positions, atomic_numbers, bonds, t, t_next, own, end)

    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, guidance_alpha: float,
        guidance_source: int, box_vectors: Tensor, noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Next positions (nm) and their log density (of nm coordinates); see docs/model_file.md."""
        mean, factor = self.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, kT, forces, guidance_scale, guidance_alpha,
            guidance_source,
        )  # fmt: skip
        following = self.jump.drawn(mean, factor, noise).to(positions.dtype)
        return following, self.jump.density_at(following, mean, factor)

    @torch.jit.export
    def log_density(
        self, next_positions: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        guidance_alpha: float, guidance_source: int, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """Log density of a given substep, shape (n_copies,), double."""
        mean, factor = self.law(
            positions, initial_positions, atomic_numbers, bonds, t, t_next, kT, forces, guidance_scale, guidance_alpha,
            guidance_source,
        )  # fmt: skip
        return self.jump.density_at(next_positions, mean, factor)

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, guidance_alpha: float,
        guidance_source: int, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """Predicted end points (nm), where live guidance wants forces; empty for the other sources."""
        if not self.is_live(guidance_scale, guidance_source):
            return torch.zeros([0], dtype=positions.dtype, device=positions.device)
        self.jump.check(atomic_numbers, forces.new_zeros([0]))
        z_index = self.jump.element_index.lookup[atomic_numbers]
        adjacency, distance, _ = self.jump.topology(bonds, atomic_numbers.size(0))
        x, x0 = positions * self.angstrom, initial_positions * self.angstrom
        adjacency = adjacency.to(x.dtype)
        place, reference = self.jump.field.describe(z_index, adjacency, distance)
        lag = self.jump.lag_time
        return self.nm * self.jump.field.predict(
            x, x0, t.to(x.dtype), lag, z_index, distance, place, reference
        )

    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        """Interpolant times, shape (n+1,)."""
        return self.jump.time_grid(n)

    @torch.jit.export
    def drift(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        kT: float, forces: Tensor, guidance_alpha: float, guidance_source: int, guidance_scale: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """(xhat_1 - x_t)/(1 - t) with guidance, nm."""
        if not self.is_live(guidance_scale, guidance_source):
            own = self.own_scale(guidance_scale, guidance_source)
            return self.jump.drift(positions, initial_positions, atomic_numbers, bonds, t, own)
        end = self.guided_end(
            positions, initial_positions, atomic_numbers, bonds, t, kT, forces, guidance_scale, guidance_alpha,
            guidance_source,
        )  # fmt: skip
        return (end * self.nm - positions) / (1.0 - t.to(positions.dtype).view(-1, 1, 1))
