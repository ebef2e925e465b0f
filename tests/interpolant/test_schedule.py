"""Time grids."""

import pytest
import torch

from openmm_unisim.interpolant.schedule import symmetric_geometric_grid, symmetric_power_grid, uniform_grid

GRIDS = [uniform_grid(20), symmetric_power_grid(20, 2.5), symmetric_geometric_grid(20, 0.003)]


@pytest.mark.parametrize("grid", GRIDS)
def test_grids_rise_from_zero_to_one_and_are_symmetric(grid):
    assert len(grid) == 21 and grid[0] == 0 and grid[-1] == 1
    assert (grid.diff() > 0).all()
    assert torch.allclose(grid + grid.flip(0), torch.ones(21, dtype=torch.float64), atol=1e-9)


def test_geometric_grid_begins_with_the_asked_step():
    grid = symmetric_geometric_grid(20, 0.003)
    assert grid[1] == pytest.approx(0.003, rel=1e-3)
    ratio = grid.diff()[1:10] / grid.diff()[:9]
    assert torch.allclose(ratio, ratio[:1].expand(9), rtol=1e-6)


def test_power_one_is_uniform():
    assert torch.allclose(symmetric_power_grid(7, 1.0), uniform_grid(7))
