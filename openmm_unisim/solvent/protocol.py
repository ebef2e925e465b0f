"""How a solute is switched from where it is to where a jump would bring it: a schedule symmetric in time.

====================  ====================================================================  ==========
symbol                meaning                                                               name here
====================  ====================================================================  ==========
N                     steps of the solvent during a switch                                  n_steps
s_k                   place of the solute along its track at step k: 0 at k = 0, 1 at N     position
lambda_q, lambda_r    scale of the solute's charges, and of its soft-core repulsion and     charges,
                      dispersion, toward the solvent                                        sterics
====================  ====================================================================  ==========

Symmetric means s_{N-k} = 1 - s_k and lambda_{N-k} = lambda_k: the switch of the reversed jump, run by the same
rule, is then the time reversal of this one (docs/theory.md, "Jumps in explicit solvent").
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, check_choice

__all__ = ["PROTOCOLS", "Schedule", "SwitchingProtocol"]

PROTOCOLS = ("straight", "path", "discharge", "decouple")


class Schedule(NamedTuple):
    """Values at steps 0 to N, each of shape (n_steps + 1,)."""

    position: NDArray[np.float64]
    charges: NDArray[np.float64]
    sterics: NDArray[np.float64]


@dataclass(frozen=True)
class SwitchingProtocol:
    """How the solute travels, how long, and what it shows to the solvent meanwhile.

    Attributes
    ----------
    kind : {"straight", "path", "discharge", "decouple"}
        "straight": each atom on its straight line, interactions whole. "path": along the jump's own states.
        "discharge": charges toward the solvent to `lowest_charges`, straight move, charges back.
        "decouple": charges, then soft-core repulsion and dispersion to `lowest_sterics`, straight move, and back.
    duration : float
        ps of solvent dynamics; 0 moves at once.
    step_size : float
        ps, of velocity Verlet.
    lowest_charges, lowest_sterics : float
        From 0 (decoupled) to 1.
    moving : float
        Part of the duration in which the solute moves, where interactions are scaled; else it moves all the time.
    """

    kind: str = "straight"
    duration: float = 0.5
    step_size: float = 0.002
    lowest_charges: float = 0.0
    lowest_sterics: float = 0.5
    moving: float = 0.3

    def __post_init__(self) -> None:
        check_choice("Protocol", self.kind, PROTOCOLS)
        if not (np.isfinite(self.duration) and self.duration >= 0):
            raise ConfigError(f"A switching duration of {self.duration} ps must be 0 or more.")
        if not (np.isfinite(self.step_size) and self.step_size > 0):
            raise ConfigError(f"A step size of {self.step_size} ps must be positive.")
        if self.duration > 0 and self.duration < self.step_size:
            raise ConfigError(
                f"A switch of {self.duration} ps is shorter than its step of {self.step_size} ps, so it would have no "
                "step; give both in ps (2 fs are 0.002), or a duration of 0 to switch at once."
            )
        if self.moving == 1:
            raise ConfigError("moving = 1 leaves no time to scale interactions; give a smaller part.")
        for name in ("lowest_charges", "lowest_sterics", "moving"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must lie between 0 and 1.")

    @property
    def n_steps(self) -> int:
        """Solvent steps of one switch."""
        return round(self.duration / self.step_size)

    @property
    def alchemical(self) -> bool:
        """Whether interactions are scaled."""
        return self.kind in ("discharge", "decouple")

    def schedule(self) -> Schedule:
        """Place and scales at each step."""
        s = np.arange(self.n_steps + 1) / max(self.n_steps, 1)
        ones = np.ones_like(s)
        if not self.alchemical:
            return Schedule(s, ones, ones)
        ramp = 0.5 * (1.0 - self.moving)  # from whole to lowest, at either end
        progress = np.clip(np.minimum(s, 1.0 - s) / ramp, 0.0, 1.0)
        at_once = 0.5 * (1.0 + np.sign(s - 0.5))
        position = np.clip((s - ramp) / self.moving, 0.0, 1.0) if self.moving > 0 else at_once
        if self.kind == "discharge":
            return Schedule(position, 1.0 - (1.0 - self.lowest_charges) * progress, ones)
        first, second = np.clip(2 * progress, 0, 1), np.clip(2 * progress - 1, 0, 1)
        return Schedule(
            position,
            1.0 - (1.0 - self.lowest_charges) * first,
            1.0 - (1.0 - self.lowest_sterics) * second,
        )
