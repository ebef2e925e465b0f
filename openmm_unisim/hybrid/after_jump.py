"""What decides whether a jump of a hybrid simulation is kept: nothing, the Metropolis test, or quality.

==============  =====================================================  ================================================
afterJump       a jump is kept                                         what is sampled
==============  =====================================================  ================================================
"accept"        if it is finite                                        the model's own distribution, and MD's
"metropolis"    by the test on paths (docs/theory.md, section 10)      with the exact kernel, the force field's,
                                                                       whatever the model
"relax"         if, after minimisation and short MD, no bond, centre,  neither exactly; no broken molecules
                clash or energy is beyond its limit
==============  =====================================================  ================================================
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openmm
from openmm import unit

from ..errors import ConfigError
from ..simulation.quality import Quality, QualityLimits, QualityMonitor

__all__ = ["AFTER_JUMP", "Relaxation", "reason_of"]

AFTER_JUMP = ("accept", "metropolis", "relax")


@dataclass(frozen=True)
class Relaxation:
    """How a jump is relaxed before it is judged, and the limits it is judged by.

    Attributes
    ----------
    minimizationSteps : int
        Iterations of OpenMM's minimiser; 0 for none.
    mdSteps : int
        Steps of the simulation's own MD, from drawn velocities, after the minimisation; 0 for none.
    maxEnergyRise : float
        kJ/mol; how far the potential energy may lie above the one before the jump. Infinity: as far as it likes.
    limits : QualityLimits
        Of bonds, clashes and coordinates; stereocentres must keep the handedness of the first structure.
    """

    minimizationSteps: int = 0
    mdSteps: int = 0
    maxEnergyRise: float = math.inf
    limits: QualityLimits = field(default_factory=QualityLimits)

    def __post_init__(self) -> None:
        for name in ("minimizationSteps", "mdSteps", "maxEnergyRise"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} = {getattr(self, name)} of a Relaxation can't be negative.")


def reason_of(quality: Quality, energy_rise: float, relaxation: Relaxation) -> str:
    """Why a relaxed jump is rejected, one of `ledger.REASONS`; empty if it is kept.

    Parameters
    ----------
    quality : Quality
    energy_rise : float
        Potential energy minus the one before the jump, kJ/mol.
    relaxation : Relaxation
    """
    for broken, reason in (
        (quality.nan, "nan"),
        (quality.bond_broken, "bond"),
        (quality.chirality_flips > 0, "chirality"),
        (quality.clashes > 0, "clash"),
        (not energy_rise <= relaxation.maxEnergyRise, "energy"),
    ):
        if broken:
            return reason
    return ""


def assess(monitor: QualityMonitor, state: Any) -> Quality:
    """Quality of a State with positions and energy."""
    positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return monitor.assess(np.asarray(positions), potential_energy(state))


def potential_energy(state: openmm.State) -> float:
    """kJ/mol."""
    return float(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
