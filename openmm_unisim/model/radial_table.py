"""Edge filters of the distance alone, tabulated as a cubic Hermite spline.

=========  ==========================================================  ==============
symbol     meaning                                                     variable
=========  ==========================================================  ==============
f(r)       filters: linear in the radial basis, then perhaps SiLU      filters
u(r)       1 - exp(-alpha r) + alpha r / 10, argument of the spline    argument
alpha      5 / r_c, per angstrom                                       decay
h          distance of the knots in u                                  spacing
=========  ==========================================================  ==============

The radial basis is Gaussian in exp(-alpha r), where knots evenly spaced in u serve all functions alike; the linear
term keeps them from thinning out at the cutoff, where the envelope bends. f is constant beyond the cutoff.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigError

__all__ = ["RadialTable"]

TOLERANCE = 5e-6  # of the largest filter, between the knots
HALF_TOLERANCE = 5e-4  # bfloat16 itself is good to 2e-3
FEWEST_KNOTS, MOST_KNOTS = 64, 8192
TAIL = 0.1  # weight of the linear term


class RadialTable(nn.Module):
    """Knots of a layer's filters.

    Parameters
    ----------
    radial : nn.Module
        Distances to radial basis; evaluated in double.
    weight : Tensor, shape (C, R)
    bias : Tensor, shape (C,)
    cutoff : float, angstrom
    activate : bool
        Whether SiLU follows the linear map.
    half : bool
        Fewer knots, rounded to bfloat16.

    Attributes
    ----------
    knots : Tensor, shape (n_knots, 2, C)
        Values, and derivatives by u times the spacing, in the type of `weight` or bfloat16.
    spacing, decay, slope : float
        h, alpha and alpha / 10.
    error : float
        Largest error seen between the knots, relative to the largest filter.
    """

    knots: Tensor

    def __init__(
        self,
        radial: nn.Module,
        weight: Tensor,
        bias: Tensor,
        cutoff: float,
        activate: bool,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.decay = 5.0 / cutoff
        self.slope = TAIL * self.decay
        basis = {name: value.detach().double() for name, value in radial.state_dict().items()}
        wide, shift = weight.detach().double(), bias.detach().double()

        def filters(r: Tensor) -> Tensor:
            linear = torch.func.functional_call(radial, basis, (r,)) @ wide.T + shift
            return functional.silu(linear) if activate else linear

        end = 1.0 - math.exp(-self.decay * cutoff) + self.slope * cutoff
        count = FEWEST_KNOTS
        while True:
            self.spacing = end / (count - 1)
            knots = self._knots(filters, count, cutoff)
            self.error = self._largest_error(filters, knots, cutoff)
            if self.error <= (HALF_TOLERANCE if half else TOLERANCE):
                break
            if count >= MOST_KNOTS:
                raise ConfigError(
                    f"The edge filters can't be tabulated: with {count} knots the error is {self.error:.1e} of the "
                    "largest; use the plain layers for these weights."
                )
            count = math.ceil(1.2 * count)
        self.register_buffer("knots", knots.to(torch.bfloat16 if half else weight.dtype), persistent=False)

    def _distances(self, argument: Tensor, cutoff: float) -> Tensor:
        """r of u, by Newton's method from below, where u is steepest; double."""
        r = torch.zeros_like(argument)
        for _ in range(100):
            value = 1.0 - torch.exp(-self.decay * r) + self.slope * r
            r = r + (argument - value) / (self.decay * torch.exp(-self.decay * r) + self.slope)
        return r.clamp(0.0, cutoff)

    def _knots(self, filters: Callable[[Tensor], Tensor], count: int, cutoff: float) -> Tensor:
        """Values and scaled derivatives at the knots, double."""
        r = self._distances(torch.arange(count, dtype=torch.float64) * self.spacing, cutoff)
        r[-1] = math.nextafter(cutoff, 0.0)  # the basis is cut off at and beyond the cutoff
        value, slope = torch.func.jvp(filters, (r,), (torch.ones_like(r),))[:2]
        by_argument = slope / (self.decay * torch.exp(-self.decay * r) + self.slope).unsqueeze(1)
        return torch.stack([value, by_argument * self.spacing], 1)

    def _largest_error(self, filters: Callable[[Tensor], Tensor], knots: Tensor, cutoff: float) -> float:
        """Of the spline, a quarter, half and three quarters of the way between knots."""
        largest = 0.0
        for x in (0.25, 0.5, 0.75):
            place = torch.arange(knots.size(0) - 1, dtype=torch.float64) + x
            found = (
                (1 + 2 * x) * (1 - x) ** 2 * knots[:-1, 0] + x * (1 - x) ** 2 * knots[:-1, 1]
                + x * x * (3 - 2 * x) * knots[1:, 0] - x * x * (1 - x) * knots[1:, 1]
            )  # fmt: skip
            true = filters(self._distances(place * self.spacing, cutoff))
            largest = max(largest, float((found - true).abs().max()))
        return largest / float(knots[:, 0].abs().max())
