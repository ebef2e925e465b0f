"""An Ornstein-Uhlenbeck module through the whole C++ path against its closed form.

Given x_0 with centroid c, the toy's x_1 is Gaussian with mean c + a (x_0 - c) and standard deviation s.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.plugin.systems import free_atoms, jumper, positions_of, random_positions
from tests.toy_models import OrnsteinUhlenbeck

N_ATOMS = 3000
A, S, SIGMA = 0.7, 0.02, 0.03  # of the toy


def end_of_jump(model: Path, n_substeps: int, platform: str) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of one jump of many independent atoms, relative to the centroid of the start."""
    topology, system = free_atoms(N_ATOMS)
    start = random_positions(N_ATOMS, centre=(5.0, -3.0, 2.0))
    simulation, _ = jumper(model, topology, system, start, platform, numSubsteps=n_substeps)
    simulation.step(1)
    centroid = start.mean(axis=0)
    return start - centroid, positions_of(simulation) - centroid


def check_moments(start: np.ndarray, end: np.ndarray, factor: float, deviation: float) -> None:
    """Slope, mean and variance within five standard errors."""
    residual = (end - factor * start) / deviation
    n = residual.size
    slope = (residual * start).sum() / (start**2).sum()
    assert abs(slope) < 5.0 / np.sqrt((start**2).sum())
    assert abs(residual.mean()) < 5.0 / np.sqrt(n)
    assert abs(residual.var() - 1.0) < 5.0 * np.sqrt(2.0 / n)


@pytest.mark.parametrize("n_substeps", [1, 2, 7])
def test_substeps_with_covariance_are_exact_on_any_grid(toys, platform, n_substeps: int) -> None:
    start, end = end_of_jump(toys["ou"], n_substeps, platform)
    check_moments(start, end, A, S)


def test_single_precision_model_far_from_the_origin(toys) -> None:
    start, end = end_of_jump(toys["ou32"], 4, "Reference")
    check_moments(start, end, A, S)


@pytest.mark.parametrize("n_substeps", [2, 8])
def test_isotropic_substeps_have_the_moments_of_euler_maruyama(toys, n_substeps: int) -> None:
    start, end = end_of_jump(toys["euler"], n_substeps, "Reference")
    factor, variance = euler_moments(n_substeps)
    check_moments(start, end, factor, np.sqrt(variance))


def test_the_moments_of_euler_maruyama_converge_with_first_order() -> None:
    """Of the closed form that the C++ path is held to above; tests/physical measures the order itself."""
    errors = [abs(euler_moments(n)[1] - S**2) for n in (64, 128, 256)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.25)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.15)


def euler_moments(n: int) -> tuple[float, float]:
    """Slope and variance of x_1 given x_0 after n uniform Euler-Maruyama substeps of the linear SDE."""
    module = OrnsteinUhlenbeck(A, S, SIGMA)
    factor, variance, h = 1.0, 0.0, 1.0 / n
    for k in range(n):
        t = k * h
        bridge = module.sigma**2 * (1.0 - t)
        total = bridge + t * module.s**2
        slope = module.s**2 / total  # of the end point in x_t
        offset = (bridge * module.a - module.s**2 * (1.0 - t)) / total  # of the end point in x_0
        keep = 1.0 + h * (slope - 1.0) / (1.0 - t)
        factor = keep * factor + h * offset / (1.0 - t)
        variance = keep**2 * variance + module.sigma**2 * h
    return factor, variance
