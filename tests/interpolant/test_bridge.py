"""The conditioned interpolant."""

import pytest
import torch

from openmm_unisim.interpolant import bridge

SIGMA, D = 0.316, 0.5


def test_interpolant_meets_its_ends():
    start, end, noise = (torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(k)) for k in range(3))
    assert torch.allclose(bridge.interpolate(start, end, torch.zeros(2), SIGMA, noise), start)
    assert torch.allclose(bridge.interpolate(start, end, torch.ones(2), SIGMA, noise), end)


@pytest.mark.parametrize("t", [1e-3, 0.1, 0.5, 0.9, 0.999])
def test_scalings_are_the_linear_gaussian_optimum(t):
    """For x_1 - x_0 ~ N(0, D^2): slope and residual spread of x_1 on x_t, by their closed form from moments."""
    generator = torch.Generator().manual_seed(0)
    n = 400_000
    jump = D * torch.randn(n, generator=generator, dtype=torch.float64)
    z = torch.randn(n, generator=generator, dtype=torch.float64)
    moved = t * jump + SIGMA * (t * (1 - t)) ** 0.5 * z
    slope = (jump * moved).mean() / moved.square().mean()
    time = torch.tensor(t, dtype=torch.float64)
    assert float(bridge.skip_scale(time, SIGMA, D)) == pytest.approx(float(slope), rel=0.03, abs=0.03)
    assert float(bridge.input_scale(time, SIGMA, D)) == pytest.approx(float(moved.std()), rel=0.01)
    rest = (jump - slope * moved).std()
    assert float(bridge.output_scale(time, SIGMA, D)) == pytest.approx(float(rest), rel=0.01)
