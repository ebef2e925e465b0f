"""Jumps with closed-form answers: the Ornstein-Uhlenbeck toy and two basins, through the whole Python jump.

One jump of the OU toy is linear in x_0 and in the noise. So its mean and variance are found without sampling:
copy 0 gets no noise, copy k gets 1 at substep k - 1; the variance is the sum of the squared responses.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

from openmm_unisim.interpolant.schedule import symmetric_geometric_grid, symmetric_power_grid
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.exactness import PathMetropolis
from openmm_unisim.simulation.noise import standard_normals
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.units import BOLTZMANN
from tests.toy_models import GuidedHarmonic, OrnsteinUhlenbeck, TwoBasins, toy_metadata

A, S, SIGMA = 0.7, 0.02, 0.03
START = np.array([[0.11, -0.05, 0.02], [-0.04, 0.09, 0.03]])
GRIDS = {
    "one step": [0.0, 1.0],
    "uniform": [k / 20 for k in range(21)],
    "geometric": symmetric_geometric_grid(20, 0.003).tolist(),
    "power": symmetric_power_grid(10, 2.5).tolist(),
    "irregular": [0.0, 0.5, 0.51, 0.9, 1.0],
}


def jump_of(module, kind="ou", n=0, **arguments):
    times = module.times.numel()
    metadata = toy_metadata(kind, module.scalar.dtype, default_substeps=times - 1 if times else 4)
    return ReferenceJump(module, metadata, atomic_numbers=[6, 1], n_substeps=n, **arguments)


def mean_and_variance(jump):
    """Mean (2, 3) of a jump from START, relative to the centroid, and its variance per coordinate."""
    n = jump.n_substeps
    noise = np.zeros((n, n + 1, 2, 3))
    noise[np.arange(n), np.arange(1, n + 1)] = 1.0
    end = jump.propose(np.tile(START, (n + 1, 1, 1)), noise).positions
    return end[0] - START.mean(axis=0), ((end[1:] - end[0]) ** 2).sum(axis=0)


def discrete_euler_maruyama(times, pull=0.0):
    """Mean factor and variance by recursion; x_1 by Gaussian conditioning, times 1 - pull * variance."""
    factor, variance = 1.0, 0.0  # x_t = factor * x_0 + noise
    for t, t_next in pairwise(times):
        h = t_next - t
        gain = S**2 * t / (t**2 * S**2 + SIGMA**2 * t * (1 - t)) if t > 0 else S**2 / SIGMA**2
        shrink = 1 - pull * S**2 * (1 - t * gain)
        mean_1 = shrink * (A + gain * (factor - (1 - t) - t * A))
        factor, variance = (
            factor + h * (mean_1 - factor) / (1 - t),
            (1 + h * (shrink * gain - 1) / (1 - t)) ** 2 * variance + SIGMA**2 * h,
        )
    return factor, variance


@pytest.mark.parametrize("grid", GRIDS)
def test_covariance_corrected_jump_is_exact_on_any_grid(grid):
    mean, variance = mean_and_variance(jump_of(OrnsteinUhlenbeck(A, S, SIGMA, times=GRIDS[grid])))
    np.testing.assert_allclose(mean, A * (START - START.mean(axis=0)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(variance, S**2, rtol=1e-12)


def test_single_precision_agrees():
    module = OrnsteinUhlenbeck(A, S, SIGMA, dtype=torch.float32, times=GRIDS["geometric"])
    mean, variance = mean_and_variance(jump_of(module))
    np.testing.assert_allclose(mean, A * (START - START.mean(axis=0)), rtol=0, atol=1e-7)
    np.testing.assert_allclose(variance, S**2, rtol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_euler_maruyama_gives_the_known_discrete_law(grid):
    module = OrnsteinUhlenbeck(A, S, SIGMA, covariance=False, times=GRIDS[grid])
    mean, variance = mean_and_variance(jump_of(module))
    factor, expected = discrete_euler_maruyama(GRIDS[grid])
    np.testing.assert_allclose(mean, factor * (START - START.mean(axis=0)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(variance, expected, rtol=1e-12)


def test_euler_maruyama_converges_with_weak_order_one():
    sizes = np.array([20, 40, 80, 160, 320])
    jumps = [jump_of(OrnsteinUhlenbeck(A, S, SIGMA, covariance=False), n=n) for n in sizes.tolist()]
    errors = [abs(mean_and_variance(jump)[1][0, 0] / S**2 - 1) for jump in jumps]
    orders = -np.diff(np.log(errors)) / np.diff(np.log(sizes))
    assert np.all(np.abs(orders - 1) < 0.15), orders
    assert abs(orders[-1] - 1) < abs(orders[0] - 1) + 0.01


def test_guidance_by_forces_shifts_the_mean_as_computed():
    stiffness, alpha, scale = 4000.0, 0.5, 0.8  # kJ/mol/nm^2
    jump = jump_of(
        GuidedHarmonic(alpha, A, S, SIGMA, covariance=False, times=GRIDS["irregular"]), "guided",
        guidance_scale=scale, forces=lambda points: -stiffness * (points - START.mean(axis=0)),
    )  # fmt: skip
    mean, variance = mean_and_variance(jump)
    pull = scale * alpha * stiffness / (BOLTZMANN * 300.0)
    factor, expected = discrete_euler_maruyama(GRIDS["irregular"], pull)
    np.testing.assert_allclose(mean, factor * (START - START.mean(axis=0)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(variance, expected, rtol=1e-11)


def separations(chain, n_jumps):
    """Difference of the two atoms' positions, shape (n_jumps, n_copies, 3)."""
    return np.array([frame.positions[:, 0] - frame.positions[:, 1] for frame in chain.run(n_jumps)])


def variance_with_error(values):
    """Mean square over everything and its standard error, taking copies (axis 1) as independent."""
    by_copy = (values**2).mean(axis=(0, 2))
    return by_copy.mean(), by_copy.std(ddof=1) / np.sqrt(len(by_copy))


def test_stationary_distribution_and_memory_of_many_jumps():
    """Between jumps the separation d of two atoms is an OU chain: factor a, variance 2 s^2 / (1 - a^2)."""
    chain = JumpChain(jump_of(OrnsteinUhlenbeck(A, S, SIGMA)), np.zeros((200, 2, 3)), seed=5)
    values = separations(chain, 120)[20:]
    variance, error = variance_with_error(values)
    expected = 2 * S**2 / (1 - A**2)
    assert error < 0.02 * expected and abs(variance - expected) < 3 * error
    assert np.mean(values[1:] * values[:-1]) / variance == pytest.approx(A, abs=0.02)
    assert (chain.proposed, chain.accepted, chain.nan) == (120 * 200, 120 * 200, 0)


def spring(stiffness):
    """U = k |x_a - x_b|^2 / 2; then each coordinate of the separation has the variance kT/k."""
    return lambda positions: 0.5 * stiffness * ((positions[:, 0] - positions[:, 1]) ** 2).sum(axis=1)


@pytest.mark.parametrize("grid", ["one step", "uniform", "geometric", "power"])
def test_a_perfect_model_is_always_accepted(grid):
    """Forward and reversed path weigh the same on symmetric grids, if the target is the model's own."""
    jump = jump_of(OrnsteinUhlenbeck(A, S, SIGMA, times=GRIDS[grid]))
    stiffness = BOLTZMANN * 300.0 * (1 - A**2) / (2 * S**2)
    start = 0.02 * standard_normals(1, 0, np.arange(10)[:, None], np.arange(2)) + 5.0
    chain = JumpChain(jump, start, seed=3, acceptance=PathMetropolis(jump, spring(stiffness)))
    for frame in chain.run(5):
        np.testing.assert_allclose(frame.log_acceptance, 0.0, atol=1e-8)
        assert frame.accepted.all()


@pytest.mark.parametrize("dtype, times", [(torch.float64, []), (torch.float32, [0.0, 0.3, 0.55, 0.8, 1.0])])
def test_metropolis_repairs_a_wrong_model(dtype, times):
    """Wrong variance and decay, coarse substeps, perhaps an asymmetric grid: still the target."""
    stiffness = 2500.0
    target = BOLTZMANN * 300.0 / stiffness
    module = OrnsteinUhlenbeck(0.5, 0.022, 0.024, covariance=False, dtype=dtype, times=times)
    jump = jump_of(module)
    start = np.zeros((300, 2, 3))
    start[:, 0] = np.sqrt(target) * standard_normals(9, 0, 0, np.arange(300))
    unguarded, error = variance_with_error(separations(JumpChain(jump, start, seed=100), 60)[20:])
    assert abs(unguarded - target) > 10 * error  # the model alone is wrong
    chain = JumpChain(jump, start, seed=100, acceptance=PathMetropolis(jump, spring(stiffness)))
    variance, error = variance_with_error(separations(chain, 150))
    assert 0.2 < chain.accepted / chain.proposed < 0.9
    assert error < 0.03 * target and abs(variance - target) < 3 * error


@pytest.mark.parametrize("distance, uniform, geometric", [(0.47, 0.33, 0.39), (0.8, 0.26, 0.38)])
def test_a_grid_must_be_fine_at_the_start_to_choose_the_basin(distance, uniform, geometric):
    """Weight 0.40 in the far basin, exact drift: 20 uniform substeps lose much, a symmetric grid little."""
    start = np.tile([[[0.05, 0.0, 0.0], [-0.05, 0.0, 0.0]]], (6000, 1, 1))
    found = []
    for times in (GRIDS["uniform"], GRIDS["geometric"]):
        jump = jump_of(TwoBasins(0.4, distance, times=times))
        (frame,) = JumpChain(jump, start, seed=1).run(1)
        moved = (frame.positions[:, 0, 0] - frame.positions[:, 1, 0] - 0.1) / np.sqrt(2)
        found.append(np.mean(moved > distance / 2))
    error = np.sqrt(0.24 / len(start))
    assert abs(found[0] - uniform) < 0.02 + 3 * error
    assert abs(found[1] - geometric) < 0.01 + 3 * error
