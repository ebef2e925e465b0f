"""Schedules are symmetric in time, whatever their kind."""

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.solvent.protocol import PROTOCOLS, SwitchingProtocol


@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize("duration", [0.0, 0.002, 0.05, 0.101])
@pytest.mark.parametrize("moving", [0.0, 0.3, 0.9])
def test_the_reversed_schedule_is_the_schedule(kind: str, duration: float, moving: float) -> None:
    schedule = SwitchingProtocol(kind, duration, 0.002, moving=moving).schedule()
    assert len(schedule.position) == round(duration / 0.002) + 1
    if len(schedule.position) > 1:
        np.testing.assert_allclose(schedule.position, 1 - schedule.position[::-1], atol=1e-12)
        assert schedule.position[0] == 0 and schedule.position[-1] == 1
    for scale in (schedule.charges, schedule.sterics):
        np.testing.assert_allclose(scale, scale[::-1], atol=1e-12)
        assert scale[0] == scale[-1] == 1


def test_decoupling_takes_charges_first() -> None:
    schedule = SwitchingProtocol("decouple", 0.2, 0.002, 0.1, 0.4).schedule()
    assert schedule.charges.min() == pytest.approx(0.1)
    assert schedule.sterics.min() == pytest.approx(0.4)
    assert (schedule.charges[schedule.sterics < 1] == schedule.charges.min()).all()
    assert (
        schedule.sterics[(schedule.position > 0) & (schedule.position < 1)] == schedule.sterics.min()
    ).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "fast"},
        {"duration": -1.0},
        {"step_size": 0.0},
        {"step_size": 2.0},  # femtoseconds by mistake
        {"lowest_charges": 2.0},
        {"moving": -0.1},
        {"moving": 1},
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        SwitchingProtocol(**settings)
