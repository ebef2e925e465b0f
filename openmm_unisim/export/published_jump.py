"""The published vector field behind the step contract: nm in, nm out, one substep's law (docs/model_file.md).

===============  ====================================================  ======================
symbol           meaning                                               variable
===============  ====================================================  ======================
b_F              drift, guidance included, angstrom                    total_drift
sigma            diffusion, angstrom, of the training temperature      sigma
h                t_next - t                                            t_next, t
x + b_F h        mean of the substep                                   mean
sigma sqrt(h)    its standard deviation; 0 in the last substep         width
===============  ====================================================  ======================

Source: UniSim, spec sections 5, 8 and 9; docs/deviations.md says where this departs from it.
"""

import math
from typing import Tuple

import torch
from torch import Tensor, nn

from ..interpolant.published import drift, guided_drift, intermediate_gradient, strength_of_alpha
from ..interpolant.schedule import uniform_grid
from ..model.embedding import ElementIndex
from ..model.guidance_kernel import GuidanceKernel
from ..model.neighbour_search import NeighbourSearch
from ..model.vector_field import VectorField
from ..units import ANGSTROM_PER_NM

__all__ = ["MOST_SUBSTEPS", "GuidedPublishedJump", "PublishedJump"]

MOST_SUBSTEPS = 1000


class PublishedJump(nn.Module):
    """One Euler-Maruyama substep of dX = b_F dt + sigma dW; the last one adds no noise.

    Parameters
    ----------
    search : NeighbourSearch
    field : VectorField
    sigma : float, angstrom
        `units.noise_scale` of the training temperature.
    elements : Tensor, shape (n_elements,), int64
        Atomic numbers that occurred in training.
    """

    elements: Tensor

    def __init__(self, search: NeighbourSearch, field: VectorField, sigma: float, elements: Tensor) -> None:
        super().__init__()
        self.search = search
        self.field = field
        self.sigma = float(sigma)
        self.nm = 1.0 / ANGSTROM_PER_NM
        self.angstrom = float(ANGSTROM_PER_NM)
        self.most_substeps = MOST_SUBSTEPS
        self.element_index = ElementIndex()
        self.register_buffer("elements", elements)

    def total_drift(
        self, x: Tensor, molecule: Tensor, z_index: Tensor, t: Tensor, guidance_scale: float
    ) -> Tensor:
        """b_F of all atoms of all copies, shape (n_atoms, 3), angstrom."""
        table = self.search(x, molecule, z_index)
        velocity, denoiser, _ = self.field(x, z_index, t, table)
        return drift(velocity, denoiser, t.unsqueeze(1), self.sigma)

    def checked_drift(
        self, positions: Tensor, atomic_numbers: Tensor, t: Tensor, guidance_scale: float
    ) -> Tensor:
        """b_F, shape (n_copies, n_atoms, 3), angstrom; unknown elements raise."""
        known = torch.isin(atomic_numbers, self.elements)
        if not bool(known.all()):
            unknown = atomic_numbers[torch.logical_not(known)]
            raise RuntimeError(
                "Atomic number " + str(int(unknown[0].item())) + " did not occur in this model's training."
            )
        n_copies, n_atoms = positions.size(0), positions.size(1)
        copy = torch.arange(n_copies, device=positions.device).repeat_interleave(n_atoms)
        z_index = self.element_index(atomic_numbers).repeat(n_copies)
        x = (positions * self.angstrom).reshape(-1, 3)
        return self.total_drift(x, copy, z_index, t.to(x.dtype)[copy], guidance_scale).view_as(positions)

    def law(
        self, positions: Tensor, atomic_numbers: Tensor, t: Tensor, t_next: Tensor, forces: Tensor,
        guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Mean (n_copies, n_atoms, 3) and standard deviation (n_copies, 1, 1) of the substep, angstrom, double."""
        if forces.numel() > 0:
            raise RuntimeError("This model takes no forces of OpenMM.")
        change = self.checked_drift(positions, atomic_numbers, t, guidance_scale).double()
        step = (t_next.double() - t.double()).view(-1, 1, 1)
        width = self.sigma * step.sqrt()
        last = (t_next >= 1.0).view(-1, 1, 1)
        return positions.double() * self.angstrom + change * step, width.masked_fill(last, 0.0)

    def density(self, following: Tensor, mean: Tensor, width: Tensor) -> Tensor:
        """log K (n_copies,) of positions in nm, with respect to nm, double; nan where there is no noise."""
        freedoms = 3 * mean.size(1)
        squared = (following.double() * self.angstrom - mean).square().sum([1, 2])
        spread = width.view(-1)
        normal = freedoms * (spread.log() + 0.5 * math.log(2.0 * math.pi) - math.log(self.angstrom))
        value = -0.5 * squared / spread.square() - normal
        return value.masked_fill(spread == 0.0, float("nan"))

    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor, noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Next positions (nm) and their log density (of nm coordinates); see docs/model_file.md."""
        mean, width = self.law(positions, atomic_numbers, t, t_next, forces, guidance_scale)
        following = ((mean + width * noise) * self.nm).to(positions.dtype)
        return following, self.density(following, mean, width)

    @torch.jit.export
    def log_density(
        self, next_positions: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """Log density of a given substep, shape (n_copies,), double; nan in the last one."""
        mean, width = self.law(positions, atomic_numbers, t, t_next, forces, guidance_scale)
        return self.density(next_positions, mean, width)

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """No forces are wanted: at inference the published guidance is a network."""
        return torch.zeros([0], dtype=positions.dtype, device=positions.device)

    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        """k/n, shape (n+1,)."""
        if n < 2 or n > self.most_substeps:
            raise RuntimeError(
                "This model offers 2 to " + str(self.most_substeps) + " substeps, not " + str(n) + "."
            )
        return uniform_grid(n)

    @torch.jit.export
    def drift(self, positions: Tensor, atomic_numbers: Tensor, t: Tensor, guidance_scale: float) -> Tensor:
        """b_F, nm."""
        return self.checked_drift(positions, atomic_numbers, t, guidance_scale) * self.nm


class GuidedPublishedJump(PublishedJump):
    """The same with the learned force-guidance kernel.

    Parameters
    ----------
    search, field, sigma, elements
        Of `PublishedJump`.
    kernel : GuidanceKernel
    alpha : float
        How many times the potential tilts the density at guidance_scale = 1.
    """

    def __init__(
        self, search: NeighbourSearch, field: VectorField, sigma: float, elements: Tensor,
        kernel: GuidanceKernel, alpha: float,
    ) -> None:  # fmt: skip
        super().__init__(search, field, sigma, elements)
        self.kernel = kernel
        self.kernel_scale = kernel.guidance_scale
        self.strength = strength_of_alpha(alpha, self.sigma)

    def total_drift(
        self, x: Tensor, molecule: Tensor, z_index: Tensor, t: Tensor, guidance_scale: float
    ) -> Tensor:
        """`PublishedJump.total_drift` - g I / (the scale that the kernel was trained with)."""
        table = self.search(x, molecule, z_index)
        velocity, denoiser, scalars = self.field(x, z_index, t, table)
        time = t.unsqueeze(1)
        unguided = drift(velocity, denoiser, time, self.sigma)
        if guidance_scale == 0.0:
            return unguided
        start, end, correction = self.kernel(x, z_index, t, table, scalars)
        gradient = intermediate_gradient(start, end, correction, time)
        return guided_drift(unguided, gradient, guidance_scale * self.strength, self.kernel_scale)
