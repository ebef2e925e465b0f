"""Agreement between platforms"""

import numpy as np
import pytest

from tests.platforms.systems import MODEL, dipeptide, jumps, solution
from tests.plugin.systems import ALL_PLATFORMS, positions_of, tolerance


def after_one_jump(setup, platform: str, model) -> np.ndarray:
    """Positions after one jump of the same noise, nm."""
    simulation, integrator = jumps(setup, platform, model, seed=17)
    simulation.step(1)
    assert integrator.getNumAccepted() == 1
    return positions_of(simulation)


@pytest.mark.feature(
    "one jump of the same noise: within 1e-6 nm (double), 1e-5 (mixed), 1e-4 (single) of Reference"
)
@pytest.mark.parametrize("kind", ["flexible", "HBonds", "AllBonds", "water"])
@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_platforms_agree(platform: str, kind: str) -> None:
    setup = solution() if kind == "water" else dipeptide("obc2", kind)
    expected = after_one_jump(setup, "Reference", MODEL)
    found = after_one_jump(setup, platform, MODEL)
    assert np.abs(expected - setup.positions)[setup.solute].max() > 0.01
    assert np.abs(found - expected).max() < tolerance(platform)
