"""The published kernel's targets on Ornstein-Uhlenbeck pairs, where every conditional mean is known."""

import numpy as np
import pytest
import torch

from openmm_unisim.interpolant.published import spread
from openmm_unisim.training.published_guidance import (
    normalised_energies,
    posterior_target,
    published_guidance_loss,
    published_target,
)

VARIANCE, DECAY, SIGMA, STIFFNESS = 2.0, 0.5, 1.0, 0.3347  # eps = STIFFNESS x^2 / 2
TARGET = 1 / (1 / VARIANCE + STIFFNESS)


def pairs(size: int, t: float, seed: int = 0):
    """x_0, x_1 and x_t, shape (size, 1, 3) each; double."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, size, 1, 3, generator=generator, dtype=torch.float64)
    start = VARIANCE**0.5 * z[0]
    end = DECAY * start + (VARIANCE * (1 - DECAY**2)) ** 0.5 * z[1]
    time = torch.tensor(t, dtype=torch.float64)
    return start, end, (1 - t) * start + t * end + spread(time, SIGMA) * z[2], time


def energy(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * STIFFNESS * x.square().sum((1, 2))


def width(t: float) -> float:
    """Var x_t."""
    return VARIANCE * ((1 - t) ** 2 + t**2 + 2 * t * (1 - t) * DECAY) + SIGMA**2 * t * (1 - t)


def tilted_width(t: float) -> float:
    """Var x_t under q_t(x) E[e^-(eps_0 + eps_1) | x]."""
    covariance = VARIANCE * np.array([[1, DECAY], [DECAY, 1]])
    tilted = np.linalg.inv(np.linalg.inv(covariance) + STIFFNESS * np.eye(2))
    m = np.array([1 - t, t])
    return float(m @ tilted @ m + SIGMA**2 * t * (1 - t))


GRADIENTS = {  # grad eps_t(x) / x
    "none": lambda t: 0.0,
    "transported": lambda t: STIFFNESS * VARIANCE / width(t),  # carried along the flow from eps_0
    "live": lambda t: STIFFNESS,  # of x_t itself
    "posterior": lambda t: 1 / tilted_width(t) - 1 / width(t),  # the published intermediate potential
}


def stationary_variance(gradient, n: int = 2000) -> float:
    """Of jumps with the exact drift and guidance of alpha = 1; both linear in x."""
    factor, variance, h = 1.0, 0.0, 1 / n
    for t in (np.arange(n) + 0.5) / n:
        velocity = VARIANCE * (2 * t - 1) * (1 - DECAY) / width(t)
        rate = velocity - t * SIGMA**2 / width(t) - 0.5 * SIGMA**2 * gradient(t)
        growth = np.exp(rate * h)
        factor, variance = factor * growth, variance * growth**2 + SIGMA**2 * h * (1 + growth**2) / 2
    return variance / (1 - factor**2)


@pytest.mark.parametrize(
    "name, expected", [("none", 2.0), ("transported", TARGET), ("live", 1.240), ("posterior", 1.135)]
)
def test_which_intermediate_potential_gives_the_target(name, expected):
    """Only the transported one: the live one guides too little, the published one too much, being eps - ln P e^-eps
    instead of eps at both ends."""
    assert stationary_variance(GRADIENTS[name]) == pytest.approx(expected, abs=1e-3)


def test_the_published_potential_disagrees_with_the_boundary_heads():
    assert GRADIENTS["posterior"](0.0) > 1.15 * STIFFNESS
    assert GRADIENTS["transported"](0.0) == pytest.approx(STIFFNESS)


@pytest.mark.parametrize("t", [0.2, 0.5])
def test_the_posterior_average_is_the_gradient_of_its_potential(t):
    start, end, x, time = pairs(3000, t)
    x, start, end = (a[:, :, :1] for a in (x, start, end))  # one dimension: many pairs lead to one x_t
    mean = (1 - t) * start + t * end
    found = posterior_target(x, mean, time, SIGMA, energy(start) + energy(end)).flatten()
    x = x.flatten()
    near = x.abs() < 1.5
    slope = float((found * x)[near].sum() / x[near].square().sum())
    assert slope == pytest.approx(GRADIENTS["posterior"](t), abs=0.03)


def test_the_published_target_changes_strength_with_position():
    """Its conditional mean is grad eps_t times E[e^-(eps_0 + eps_1) | x] / Z, where 1 would be right."""
    t = 0.5
    start, end, x, time = (a[:, :, :1] if a.dim() else a for a in pairs(400_000, t))
    mean, score = (1 - t) * start + t * end, -x / width(t)
    target = published_target(score, x, mean, time, SIGMA, energy(start) + energy(end)).flatten()
    x = x.flatten()

    def strength(low: float, high: float) -> float:
        inside = (x.abs() > low) & (x.abs() < high)
        return float((target * x)[inside].sum() / x[inside].square().sum()) / GRADIENTS["posterior"](t)

    inner, outer = strength(0.2, 0.6), strength(2.0, 2.6)
    assert inner > 2.0 and outer < 0.6 * inner


def test_the_published_target_depends_on_the_unit_of_length():
    """g is a gradient times a length: metres of another size change it more than a gradient changes."""
    start, end, x, time = pairs(64, 0.5)
    mean, energies = 0.5 * (start + end), energy(start) + energy(end)
    one = published_target(-x / width(0.5), x, mean, time, SIGMA, energies)
    ten = published_target(-x / width(0.5) / 10, 10 * x, 10 * mean, time, 10 * SIGMA, energies)
    torch.testing.assert_close(ten, one)  # a gradient would be a tenth


def test_loss_leaves_the_boundary_heads_to_their_own_part():
    start, end, correction = (torch.randn(5, 2, 3).requires_grad_() for _ in range(3))
    forces, target, t = (torch.randn(5, 2, 3), torch.randn(5, 2, 3)), torch.randn(5, 2, 3), torch.tensor(0.3)
    published_guidance_loss((start, end, correction), forces, target, t).backward()
    torch.testing.assert_close(start.grad, 2 * (start + forces[0]).detach() / start.numel())
    assert correction.grad.abs().sum() > 0
    with torch.no_grad():
        exact = (0.5 * target - 0.7 * start - 0.3 * end) / 0.21
        assert float(published_guidance_loss((-forces[0], -forces[1], exact), forces, target, t)) > 0
        exact = (0.5 * target + 0.7 * forces[0] + 0.3 * forces[1]) / 0.21
        loss = published_guidance_loss((-forces[0], -forces[1], exact), forces, target, t)
    assert float(loss) < 1e-10


def test_energies_are_mapped_to_minus_one_and_zero():
    found = normalised_energies(torch.tensor([3.0, 7.0, 11.0]))
    assert found.tolist() == [-1.0, -0.5, 0.0]
