"""Notices: what a user of MD may not expect of jumps, as warnings of the category `JumpWarning`."""

import sys
import warnings
from types import FrameType
from typing import Any

from .errors import JumpWarning

__all__ = ["hear", "remind", "warn_of_unfelt_forces"]

_reminded: list[str] = []  # in this process


def remind(lag_time: float) -> None:
    """Say once what steps are, since MD scripts have large numbers of them."""
    if _reminded:
        return
    _reminded.append(
        f"A step of a UniSimIntegrator is a jump of {lag_time:g} ps: step(n), intervals of reporters and frequencies "
        "of Forces count jumps (docs/units.md); ignore the category JumpWarning to silence this."
    )
    warnings.warn(_reminded[0], JumpWarning, stacklevel=3)


def hear(notice: str) -> None:
    """Called by the plugin, whoever steps the integrator; the warning names the user's own line."""
    warnings.warn(notice, JumpWarning, stacklevel=_level_of_user())


def warn_of_unfelt_forces(integrator: Any, acceptance: str) -> None:
    """What an integrator would tell when it steps, where Python makes its jumps (`ReplicaSimulation`).

    Forces that act once in so many steps don't act there at all.
    """
    for notice in integrator.getNotices() if acceptance != "metropolis" else ():
        if "acts once in" not in notice:
            warnings.warn(notice, JumpWarning, stacklevel=_level_of_user())


def _level_of_user() -> int:
    """For `warnings.warn` in the caller: the frame outside of OpenMM's package and this one."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _package(frame) in ("openmm", "openmm_unisim"):
        level, frame = level + 1, frame.f_back
    return level


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
