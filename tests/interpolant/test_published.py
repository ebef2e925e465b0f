"""The published interpolant's algebra (spec sections 5, 8 and 9)."""

import math

import pytest
import torch

from openmm_unisim.interpolant import published
from openmm_unisim.interpolant.bridge import interpolate
from openmm_unisim.units import noise_scale

SIGMA = noise_scale(300.0)


def normal(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("t", [0.0, 0.003, 0.37, 0.9, 0.999])
def test_drift_is_velocity_plus_denoiser_and_score_terms(t):
    """b_F = v + gamma' eta + (sigma^2/2) score, each term from its own definition."""
    velocity, denoiser = normal(1, 2)
    time = torch.tensor(t, dtype=torch.float64)
    floored = SIGMA * max(math.sqrt(t * (1 - t)), 0.1)
    slope = (0.5 - t) * SIGMA**2 / floored
    expected = velocity + slope * denoiser + 0.5 * SIGMA**2 * published.score(denoiser, time, SIGMA)
    torch.testing.assert_close(published.drift(velocity, denoiser, time, SIGMA), expected)


def test_drift_coefficients_of_the_published_code():
    eta, zero = torch.ones(1, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    at_start = published.drift(zero, eta, torch.tensor(0.0, dtype=torch.float64), SIGMA)
    assert torch.all(at_start == 0)
    late = published.drift(zero, eta, torch.tensor(14 / 15, dtype=torch.float64), SIGMA)
    assert late[0, 0].item() == pytest.approx(-3.74 * SIGMA, rel=2e-3)


def test_end_points_are_recovered_from_exact_predictions():
    start, end, noise = normal(2, 3)
    time = torch.tensor([[0.1], [0.2], [0.5], [0.8], [1.0]], dtype=torch.float64)  # one per atom
    x = interpolate(start[:, None], end[:, None], time, SIGMA, noise[:, None])[:, 0]  # each atom a copy
    found = published.end_points(x, end - start, noise, time, SIGMA)
    torch.testing.assert_close(found, (start, end))


def test_score_is_the_gaussian_one_away_from_the_floor():
    start, end, noise = normal(3, 3)
    time = torch.tensor(0.4, dtype=torch.float64)
    x = interpolate(start, end, time, SIGMA, noise)[0].requires_grad_()
    mean = (1 - time) * start + time * end
    log_density = -((x - mean) ** 2).sum() / (2 * published.spread(time, SIGMA) ** 2)
    gradient = torch.autograd.grad(log_density, x)[0]
    torch.testing.assert_close(published.score(noise, time, SIGMA), gradient)


def test_intermediate_gradient_meets_the_boundaries():
    first, second, third = normal(4, 3)
    for t, expected in ((0.0, first), (1.0, second), (0.5, 0.5 * first + 0.5 * second + 0.25 * third)):
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(published.intermediate_gradient(first, second, third, time), expected)


def test_guidance_and_its_strength():
    unguided, gradient = normal(5, 2)
    expected = unguided - 0.1 * gradient / 0.5
    torch.testing.assert_close(published.guided_drift(unguided, gradient, 0.1, 0.5), expected)
    assert torch.equal(published.guided_drift(unguided, gradient, 0.0, 0.5), unguided)
    assert published.alpha_of_strength(0.05, SIGMA) == pytest.approx(1.002, abs=1e-3)
    assert published.alpha_of_strength(0.2, SIGMA) == pytest.approx(4.01, abs=1e-2)
    assert published.strength_of_alpha(published.alpha_of_strength(0.3, SIGMA), SIGMA) == pytest.approx(0.3)
