"""Small modules of the model-file contract with known answers, for the tests of the twin and of the plugin.

Every toy works in the frame of its jump: it subtracts c, the centroid of ``initial_positions``, so it is
translation invariant as the contract asks. Between jumps it is therefore the relative coordinates that follow
the stated law, while the centroid walks freely.

============  =========================================================  ==============
symbol        meaning                                                    name here
============  =========================================================  ==============
x_t           state at interpolant time t, minus c, nm                   y
x_0           start of the jump, minus c, nm                             y0
sigma         noise scale of the interpolant, nm                         sigma
xhat_1, S     mean and variance (per coordinate) of x_1 given x_t, x_0   mean_1, var_1
h             t_next - t                                                 h
============  =========================================================  ==============

Interpolant: x_t = (1 - t) x_0 + t x_1 + sigma sqrt(t (1 - t)) z. Substep laws: theory-notes, "Substep law".
"""

import math
from pathlib import Path
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from openmm_unisim.elements import ATOMIC_NUMBERS
from openmm_unisim.export.exporter import save_model_file
from openmm_unisim.export.metadata import ModelMetadata

TOY_ELEMENTS = (1, 6, 7, 8, 16)


class GaussianToy(nn.Module):
    """A module whose substep is Gaussian with independent coordinates; subclasses give `moments`.

    Parameters
    ----------
    dtype : torch.dtype
        Scalar type of positions.
    times : list of float, optional
        The only time grid offered, from 0 to 1 (interpolant.schedule makes some); unless given, uniform grids
        of any n >= 1.
    """

    def __init__(self, dtype: torch.dtype = torch.float64, times: Optional[List[float]] = None):
        super().__init__()
        self.register_buffer("times", torch.tensor(times or [], dtype=torch.float64))
        self.register_buffer("elements", torch.tensor(TOY_ELEMENTS))
        self.register_buffer("scalar", torch.zeros(1, dtype=dtype))

    def moments(
        self, x: Tensor, x0: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor,
        guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Mean (n_copies, n_atoms, 3) and variance (n_copies, 1, 1) of the next positions.

        All in double; t and t_next have the shape (n_copies, 1, 1).
        """
        raise NotImplementedError

    def bend(self, mean: Tensor) -> Tensor:
        """Change of the mean in `step` and `log_density` alike; none here."""
        return mean

    def spoil(self, mean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What `step` does to the mean before adding noise; nothing here."""
        return mean

    def checked_moments(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, t: Tensor, t_next: Tensor,
        kT: float, forces: Tensor, guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        known = (atomic_numbers.unsqueeze(1) == self.elements).any(dim=1)
        if not bool(known.all()):
            number = int(atomic_numbers[torch.logical_not(known)][0])
            raise RuntimeError("Atomic number " + str(number) + " is unknown to this model.")
        if positions.dtype != self.scalar.dtype:
            raise RuntimeError("The positions have another scalar type than this model.")
        mean, variance = self.moments(
            positions.double(), initial_positions.double(), t.double().reshape(-1, 1, 1),
            t_next.double().reshape(-1, 1, 1), kT, forces.double(), guidance_scale,
        )  # fmt: skip
        return self.bend(mean), variance

    def gaussian(self, following: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Log density, shape (n_copies,), double; nan where the variance is zero (no density)."""
        squares = (following.double() - mean) ** 2 / variance + (2.0 * math.pi * variance).log()
        log_density = -0.5 * squares.sum(dim=(1, 2))
        return torch.where(variance[:, 0, 0] > 0.0, log_density, torch.full_like(log_density, float("nan")))

    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
        noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        mean, variance = self.checked_moments(
            positions, initial_positions, atomic_numbers, t, t_next, kT, forces, guidance_scale
        )
        mean = self.spoil(mean, t, noise)
        following = (mean + variance.sqrt() * noise.double()).to(positions.dtype)
        return following, self.gaussian(following, mean, variance)

    @torch.jit.export
    def log_density(
        self, next_positions: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        mean, variance = self.checked_moments(
            positions, initial_positions, atomic_numbers, t, t_next, kT, forces, guidance_scale
        )
        return self.gaussian(next_positions, mean, variance)

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        return torch.zeros([0], dtype=positions.dtype, device=positions.device)

    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        if n < 1 or (self.times.numel() > 0 and n != self.times.numel() - 1):
            raise RuntimeError("This model offers no grid of " + str(n) + " substeps.")
        if self.times.numel() > 0:
            return self.times.clone()
        return torch.arange(n + 1, dtype=torch.float64, device=self.times.device) / float(n)


class OrnsteinUhlenbeck(GaussianToy):
    """x_1 given x_0 is Gaussian with mean a x_0 and variance s^2 in each coordinate.

    Parameters
    ----------
    a, s, sigma : float
        Decay over one jump; standard deviation (nm); noise scale (nm).
    covariance : bool
        True: the exact bridge law, mean x_t + h (xhat_1 - x_t)/(1-t), variance
        sigma^2 h (1-t-h)/(1-t) + (h/(1-t))^2 S, with which a jump is exact on any grid.
        False: Euler-Maruyama, variance sigma^2 h.
    noiseless_end : bool
        Give the last substep zero variance: such a jump has no density.
    """

    def __init__(
        self, a: float = 0.7, s: float = 0.02, sigma: float = 0.03, covariance: bool = True,
        noiseless_end: bool = False, dtype: torch.dtype = torch.float64, times: Optional[List[float]] = None,
    ):  # fmt: skip
        super().__init__(dtype, times)
        self.a, self.s, self.sigma = a, s, sigma
        self.covariance, self.noiseless_end = covariance, noiseless_end

    def end_point(self, y: Tensor, y0: Tensor, t: Tensor) -> Tuple[Tensor, Tensor]:
        """Mean (n_copies, n_atoms, 3) and variance (n_copies, 1, 1) of x_1 given x_t and x_0."""
        bridge = self.sigma**2 * (1.0 - t)
        total = bridge + t * self.s**2
        mean = (bridge * self.a * y0 + self.s**2 * (y - (1.0 - t) * y0)) / total
        return mean, self.s**2 * bridge / total

    def guide(
        self, mean_1: Tensor, var_1: Tensor, kT: float, forces: Tensor, guidance_scale: float
    ) -> Tensor:
        """The end point that the substep heads for; `mean_1` itself here."""
        return mean_1

    def moments(
        self, x: Tensor, x0: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor,
        guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        centre = x0.mean(dim=1, keepdim=True)
        y, h = x - centre, t_next - t
        mean_1, var_1 = self.end_point(y, x0 - centre, t)
        mean_1 = self.guide(mean_1, var_1, kT, forces, guidance_scale)
        mean = y + h * (mean_1 - y) / (1.0 - t)
        variance = self.sigma**2 * h
        if self.covariance:
            variance = self.sigma**2 * h * (1.0 - t_next) / (1.0 - t) + (h / (1.0 - t)) ** 2 * var_1
        if self.noiseless_end:
            variance = torch.where(t_next >= 1.0, torch.zeros_like(variance), variance)
        return mean + centre, variance

    @torch.jit.export
    def drift(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """(xhat_1 - x_t)/(1 - t), nm; t_next is not used."""
        initial = initial_positions.double()
        centre = initial.mean(dim=1, keepdim=True)
        y, time = positions.double() - centre, t.double().reshape(-1, 1, 1)
        mean_1, var_1 = self.end_point(y, initial - centre, time)
        mean_1 = self.guide(mean_1, var_1, kT, forces.double(), guidance_scale)
        return ((mean_1 - y) / (1.0 - time)).to(positions.dtype)


class GuidedHarmonic(OrnsteinUhlenbeck):
    """The OU toy guided by OpenMM's forces F at the predicted end: xhat_1 becomes xhat_1 + g alpha S F/kT.

    For U = K x^2/2 that is xhat_1 (1 - g alpha K S/kT): the tilt by exp(-g alpha U/kT), to first order.
    """

    def __init__(
        self, alpha: float = 0.5, a: float = 0.7, s: float = 0.02, sigma: float = 0.03,
        covariance: bool = True, dtype: torch.dtype = torch.float64, times: Optional[List[float]] = None,
    ):  # fmt: skip
        super().__init__(a, s, sigma, covariance, False, dtype, times)
        self.alpha = alpha

    def guide(
        self, mean_1: Tensor, var_1: Tensor, kT: float, forces: Tensor, guidance_scale: float
    ) -> Tensor:
        if guidance_scale == 0.0:
            return mean_1
        if forces.numel() != mean_1.numel():
            raise RuntimeError("This model needs OpenMM's forces at guidance_points; none were given.")
        return mean_1 + guidance_scale * self.alpha * var_1 * forces / kT

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        initial = initial_positions.double()
        centre = initial.mean(dim=1, keepdim=True)
        time = t.double().reshape(-1, 1, 1)
        mean_1, _ = self.end_point(positions.double() - centre, initial - centre, time)
        return (mean_1 + centre).to(positions.dtype)


class ConstantDrift(GaussianToy):
    """x moves by `velocity` (nm) over a jump, plus noise of scale `sigma`: simple, and not equivariant.

    With sigma = 0 (the default) a jump is exactly x_0 + velocity for any noise, and has no density.
    """

    def __init__(
        self, velocity: Tuple[float, float, float] = (0.01, -0.02, 0.03), sigma: float = 0.0,
        dtype: torch.dtype = torch.float64, times: Optional[List[float]] = None,
    ):  # fmt: skip
        super().__init__(dtype, times)
        self.register_buffer("velocity", torch.tensor(velocity, dtype=torch.float64))
        self.sigma = sigma

    def moments(
        self, x: Tensor, x0: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor,
        guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        h = t_next - t
        return x + h * self.velocity, self.sigma**2 * h


class NaNModel(OrnsteinUhlenbeck):
    """The OU toy, except that a jump whose first noise number exceeds the (1 - 1/k) quantile ends in NaN.

    The rule reads ``noise[:, 0, 0]`` of the substep at t = 0 only: on average every k-th jump fails, and
    which ones is known from the noise stream alone (k = 1: all of them).
    """

    def __init__(self, k: int = 3, dtype: torch.dtype = torch.float64, times: Optional[List[float]] = None):
        super().__init__(dtype=dtype, times=times)
        self.threshold = nan_threshold(k)

    def spoil(self, mean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        bad = (noise[:, 0, 0] > self.threshold) & (t == 0.0)
        return torch.where(bad.reshape(-1, 1, 1), torch.full_like(mean, float("nan")), mean)


def nan_threshold(k: int) -> float:
    """The (1 - 1/k) quantile of the standard normal distribution."""
    return math.sqrt(2.0) * float(torch.erfinv(torch.tensor(1.0 - 2.0 / k, dtype=torch.float64)))


class TwoBasins(GaussianToy):
    """Two atoms whose distance ends in one of two basins: the exact drift, with Euler-Maruyama noise.

    x_1 is a mixture: with weight 1 - p the start, with weight p the start moved by `distance` nm (the norm
    over both atoms) along the pair's axis, apart; each basin has standard deviation `s` in every coordinate.
    For two atoms only, so `validate_model_file` refuses it.
    """

    def __init__(
        self, p: float = 0.4, distance: float = 0.47, s: float = 0.0025, sigma: float = 0.0316,
        dtype: torch.dtype = torch.float64, times: Optional[List[float]] = None,
    ):  # fmt: skip
        super().__init__(dtype, times)
        self.p, self.distance, self.s, self.sigma = p, distance, s, sigma

    def moments(
        self, x: Tensor, x0: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor,
        guidance_scale: float,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        h = t_next - t
        axis = x0[:, 0] - x0[:, 1]
        axis = axis / (axis**2).sum(dim=1, keepdim=True).sqrt()
        shift = torch.stack([axis, -axis], dim=1) * (self.distance / math.sqrt(2.0))
        total = self.sigma**2 * (1.0 - t) + t * self.s**2
        moved = x - x0  # given the basin: mean t shift_b, variance t total
        near = (moved**2).sum(dim=(1, 2), keepdim=True)
        far = ((moved - t * shift) ** 2).sum(dim=(1, 2), keepdim=True)
        spread = torch.where(t > 0.0, 2.0 * t * total, torch.ones_like(t))
        weight = torch.sigmoid(math.log(self.p / (1.0 - self.p)) + (near - far) / spread)
        end = x0 + weight * shift + self.s**2 * (moved - t * weight * shift) / total
        return x + h * (end - x) / (1.0 - t), self.sigma**2 * h


KINDS = {
    "ou": OrnsteinUhlenbeck,
    "guided": GuidedHarmonic,
    "constant": ConstantDrift,
    "nan": NaNModel,
    "two_basins": TwoBasins,
}


def toy_metadata(kind: str = "ou", dtype: torch.dtype = torch.float64, **changes: object) -> ModelMetadata:
    """Full metadata of a toy; `changes` replace fields."""
    guided = kind == "guided"
    values: dict = dict(
        lag_time_ps=1.0, training_temperature_K=300.0, temperature_range_K=(250.0, 350.0),
        elements=tuple(number for number in ATOMIC_NUMBERS if number in TOY_ELEMENTS), cutoff_nm=0.0,
        periodic=False, symmetry="O(3)", conditioned_on_initial=True, needs_bonds=False, default_substeps=4,
        environment="analytic", force_field="none", constraints="none", masses="any", friction=0.0,
        rigid_motion_removed=False, guidance_alpha=0.5 if guided else 0.0,
        guidance="openmm" if guided else "none", forces_required=guided,
        default_guidance_scale=1.0 if guided else 0.0,
        scalar_type="float64" if dtype == torch.float64 else "float32",
        training_data="none (closed form)", license="MIT",
    )  # fmt: skip
    return ModelMetadata(**{**values, **changes})


def write_toy(
    path: str | Path, kind: str = "ou", dtype: torch.dtype = torch.float64, metadata: Optional[dict] = None,
    **parameters: object,
) -> Path:  # fmt: skip
    """Export the toy `kind` (a key of KINDS) with `parameters` for its constructor; returns the path.

    With a fixed grid (``times``) the default number of substeps is that grid's; `metadata` replaces fields.
    """
    times = parameters.get("times")
    changes = {"default_substeps": len(times) - 1} if isinstance(times, list) else {}
    module = KINDS[kind](dtype=dtype, **parameters)  # type: ignore[arg-type]
    save_model_file(module, toy_metadata(kind, dtype, **{**changes, **(metadata or {})}), path)
    return Path(path)
