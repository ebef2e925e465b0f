"""Weights and strength of the tilt."""

import math

import pytest
import torch

from openmm_unisim.errors import ConfigError, NonFiniteError
from openmm_unisim.interpolant.tilt import (
    calibrated_alpha,
    effective_share,
    energy_memory,
    tilt_drift,
    tilt_weights,
)


def energies(memory: float, size: int = 200_000):
    z = torch.randn(2, size, generator=torch.Generator().manual_seed(1))
    return 3.0 * z[0] - 40.0, 3.0 * (memory * z[0] + (1 - memory**2) ** 0.5 * z[1]) - 40.0


@pytest.mark.parametrize("memory, alpha", [(0.0, 1.0), (0.5, 2 / 3), (1.0, 0.5)])
def test_alpha_of_linear_response(memory, alpha):
    start, end = energies(memory)
    assert calibrated_alpha(start, end) == pytest.approx(alpha, abs=0.01)
    assert energy_memory(start, end) == pytest.approx(memory, abs=0.01)


def test_weights_are_normalised_and_their_effective_size_is_that_of_a_log_normal():
    start, end = energies(0.0)
    found = tilt_weights(start, end, 0.3, 0.0)
    assert float(found.weights.mean()) == pytest.approx(1.0)
    assert found.effective == pytest.approx(math.exp(-((0.3 * 3.0) ** 2)), rel=0.05)
    assert found.clipped == 0.0
    torch.testing.assert_close(
        found.weights[0] / found.weights[1], torch.exp(-0.3 * (end[0] - end[1]).double()), rtol=1e-5, atol=0
    )


def test_energy_that_is_remembered_costs_no_samples():
    start, end = energies(0.9)
    plain, balanced = tilt_weights(start, end, 0.5, 0.0), tilt_weights(start, end, 0.5, 0.9)
    assert balanced.effective > 0.55 > 0.3 > plain.effective


def test_clipping_is_reported_and_keeps_the_mean():
    start, end = energies(0.0)
    found = tilt_weights(start, end, 0.5, 0.0, clip=5.0)
    assert 0.01 < found.clipped < 0.1 and float(found.weights.mean()) == pytest.approx(1.0)
    assert found.effective > tilt_weights(start, end, 0.5, 0.0).effective
    assert effective_share(torch.tensor([1.0, 1.0, 0.0, 0.0])) == 0.5


def test_errors_and_units():
    flat = torch.zeros(5)
    with pytest.raises(ConfigError, match="nothing to be guided by"):
        calibrated_alpha(flat, flat)
    with pytest.raises(NonFiniteError, match="not finite"):
        calibrated_alpha(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.0]))
    assert energy_memory(flat, flat) == 0.0
    assert tilt_drift(torch.tensor(2.0), 0.5) == 0.5
