"""The tilted losses on Ornstein-Uhlenbeck pairs with a linear and a quadratic eps: known change, known log h_t."""

import pytest
import torch

from openmm_unisim.training.tilted_losses import log_tilt_loss, tilted_change_error

DECAY, WIDTH, SIGMA = 0.6, 0.8, 0.5  # x_1 given x_0 is Gaussian: mean DECAY x_0, variance WIDTH^2
ALPHA, SIZE = 0.7, 60_000


def pairs(t: float, seed: int = 0):
    """x_0, x_1, x_t, shape (SIZE,), double."""
    z = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = z[0]
    end = DECAY * start + WIDTH * z[1]
    return start, end, (1 - t) * start + t * end + SIGMA * (t * (1 - t)) ** 0.5 * z[2]


def posterior(start, x, t: float):
    """Mean and variance of x_1 given x_t and x_0."""
    variance = 1 / (1 / WIDTH**2 + t / (SIGMA**2 * (1 - t)))
    return variance * (DECAY * start / WIDTH**2 + (x - (1 - t) * start) / (SIGMA**2 * (1 - t))), variance


def tilted(start, x, t: float, linear: float, quadratic: float):
    """Known change of the end point, for f = exp(-ALPHA (linear x + quadratic x^2 / 2))."""
    mean, variance = posterior(start, x, t)
    narrow = 1 / (1 / variance + ALPHA * quadratic)
    return narrow * (mean / variance - ALPHA * linear) - mean


def features(start, x, degree: int):
    columns = [torch.ones_like(x), x, start]
    if degree == 2:
        columns += [x * x, x * start, start * start]
    return torch.stack(columns, 1)


def minimised(loss, size: int, iterations: int):
    """Coefficients at the minimum of a convex loss, by Newton's method."""
    found = torch.zeros(size, dtype=torch.float64)
    for _ in range(iterations):
        gradient = torch.autograd.functional.jacobian(loss, found)
        hessian = torch.autograd.functional.hessian(loss, found)
        found = found - torch.linalg.solve(hessian, gradient)
    return found


POTENTIALS = {"linear": (1.2, 0.0), "quadratic": (0.4, 1.5)}


@pytest.mark.parametrize("baseline", [0.0, 1.0])
@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize("t", [0.02, 0.6])
def test_weighted_regression_finds_the_tilted_end_point(t, name, baseline):
    start, end, x = pairs(t)
    linear, quadratic = POTENTIALS[name]
    weight = torch.exp(-ALPHA * (linear * end + 0.5 * quadratic * end * end))
    weight = weight / weight.mean()
    residual = (end - posterior(start, x, t)[0]).view(-1, 1, 1)
    columns, ones = features(start, x, 1), torch.ones_like(x)

    def loss(c):
        return tilted_change_error((columns @ c).view(-1, 1, 1), residual, weight, ones, baseline).mean()

    found, expected = columns @ minimised(loss, 3, 1), tilted(start, x, t, linear, quadratic)
    assert float((found - expected).square().mean().sqrt()) < 0.08 * float(expected.square().mean().sqrt())


def test_a_baseline_makes_the_fit_steadier_and_no_tilt_no_change():
    t, linear = 0.6, POTENTIALS["linear"][0]
    errors = []
    for baseline in ("none", "one", "known"):
        start, end, x = pairs(t, seed=5)
        mean, variance = posterior(start, x, t)
        weight = torch.exp(-ALPHA * 0.5 * linear * end)
        known = torch.exp(-ALPHA * 0.5 * linear * mean + (ALPHA * 0.5 * linear) ** 2 * variance / 2)
        b = {"none": 0.0, "one": weight.mean(), "known": known}[baseline]
        change = torch.zeros(SIZE, 1, 1, dtype=torch.float64, requires_grad=True)
        tilted_change_error(
            change, (end - mean).view(-1, 1, 1), weight, torch.ones_like(x), b
        ).sum().backward()
        errors.append(float(change.grad.std() / weight.mean()))
    assert errors[1] < 0.6 * errors[0] and errors[2] < 0.7 * errors[1]
    change = torch.randn(7, 2, 3)
    one, residual = torch.ones(7), torch.randn(7, 2, 3)
    torch.testing.assert_close(
        tilted_change_error(change, residual, one, one), change.square().mean((1, 2))
    )  # f = 1: least at no change, whatever the frozen field's error


@pytest.mark.parametrize("name", POTENTIALS)
def test_log_of_the_tilt_and_its_drift(name):
    """u is quadratic here; sigma^2 grad u is the drift that the tilted end point gives: change / (1 - t)."""
    t, (linear, quadratic) = 0.3, POTENTIALS[name]
    start, end, x = pairs(t, seed=2)
    weight = torch.exp(-ALPHA * (linear * end + 0.5 * quadratic * end * end))
    columns = features(start, x, 2)
    found = minimised(lambda c: log_tilt_loss(columns @ c, weight).mean(), 6, 12)
    gradient = found[1] + 2 * found[3] * x + found[4] * start
    drift, expected = SIGMA**2 * gradient, tilted(start, x, t, linear, quadratic) / (1 - t)
    assert float((drift - expected).square().mean().sqrt()) < 0.08 * float(expected.square().mean().sqrt())
    mean, variance = posterior(start, x, t)
    if quadratic == 0:
        known = -ALPHA * linear * mean + 0.5 * (ALPHA * linear) ** 2 * variance
        assert float((columns @ found - known).abs().mean()) < 0.05
