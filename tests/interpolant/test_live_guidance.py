"""Live guidance in closed form: pairs whose end point is Gaussian given the start."""

import pytest
import torch

from openmm_unisim.interpolant.bridge import skip_scale
from openmm_unisim.interpolant.live_guidance import handed_over, live_change, told_share

SIGMA, WIDTH, MEAN = 0.4, 0.7, 0.2  # of x_1 given x_0 = 0


def posterior(x: torch.Tensor, t: float) -> tuple[torch.Tensor, float]:
    """Mean and variance of x_1 given x_t and x_0 = 0."""
    bridge = SIGMA**2 * (1 - t)
    total = bridge + t * WIDTH**2
    return (bridge * MEAN + WIDTH**2 * x) / total, WIDTH**2 * bridge / total


def pulled_back(x: torch.Tensor, t: float, gradient) -> torch.Tensor:
    at = x.clone().requires_grad_()
    end = posterior(at, t)[0]
    return torch.autograd.grad([end], [at], [gradient(end).detach()])[0]


@pytest.mark.parametrize("t", [0.0, 0.003, 0.4, 0.98])
def test_it_is_exact_for_a_linear_energy(t):
    """eps = b x tilts a Gaussian by -alpha b times its variance."""
    x, slope, strength = torch.randn(5, 4, 3, dtype=torch.double), 1.7, 0.8
    pulled = pulled_back(x, t, lambda end: torch.full_like(end, slope))
    found = live_change(pulled, torch.full((5,), t, dtype=torch.double), SIGMA, strength)
    expected = torch.full_like(x, -strength * slope * posterior(x, t)[1])
    torch.testing.assert_close(found, expected)


def test_for_a_quadratic_energy_it_is_the_first_order_and_exact_at_the_end():
    """eps = k x^2 / 2: the mean becomes mean / (1 + alpha k V); here mean (1 - alpha k V)."""
    x, k, strength = torch.randn(6, 1, 1, dtype=torch.double), 0.9, 0.7
    errors = {}
    for t in (0.2, 0.9, 0.99, 0.999):
        mean, variance = posterior(x, t)
        exact = mean / (1 + strength * k * variance) - mean
        found = live_change(
            pulled_back(x, t, lambda end: k * end), torch.full((6,), t, dtype=torch.double), SIGMA, strength
        )
        torch.testing.assert_close(found, -strength * k * variance * mean)
        errors[t] = float(((found - exact) / exact).abs().max())
        assert errors[t] == pytest.approx(strength * k * variance)
    assert errors[0.999] < 2e-4  # of the order 1 - t


def test_the_handing_over_is_the_share_that_is_told():
    t = torch.tensor([0.0, 1e-3, 0.1, 0.5, 0.9, 1.0], dtype=torch.double)
    share = told_share(t, SIGMA, WIDTH)
    assert float(share[0]) == 0.0 and float(share[-1]) == pytest.approx(1.0)
    assert bool((share.diff() > 0).all())
    # R^2 of the linear guess, from its definition: variance of a (x_t - x_0) over that of x_1 - x_0
    spread = WIDTH**2 * t**2 + SIGMA**2 * t * (1 - t)
    torch.testing.assert_close(share, skip_scale(t, SIGMA, WIDTH) ** 2 * spread / WIDTH**2)
    live, learned = torch.full((6, 1, 3), 2.0).double(), torch.full((6, 1, 3), -1.0).double()
    found = handed_over(live, learned, t, SIGMA, WIDTH)
    torch.testing.assert_close(found[0], learned[0])
    torch.testing.assert_close(found[-1], live[-1])
    torch.testing.assert_close(handed_over(live, live, t, SIGMA, WIDTH), live)
