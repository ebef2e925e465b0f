"""MD that samples the Boltzmann distribution exactly at any time step: generalised hybrid Monte Carlo.

One step is

1. v <- c v + sqrt(1 - c^2) sqrt(kT/m) R, part of the momentum drawn afresh (keeps the distribution of v);
2. one velocity-Verlet step (x, v) -> (x', v'), which preserves volume and, with v' turned round, is its own inverse;
3. accept with probability min(1, exp(-(H' - H)/kT)), else back to (x, -v).

Step 2 with the flip is an involution, so step 3 leaves exp(-H/kT) unchanged whatever the time step; what a longer
step costs is acceptance, and each rejection turns the trajectory back. For c = 0 this is MALA.

==========  ===========================================  ==========
symbol      meaning                                      name here
==========  ===========================================  ==========
c           exp(-friction x time step)                   kept
H, H'       kinetic and potential energy, kJ/mol         before, after
==========  ===========================================  ==========

Source: A. M. Horowitz, Phys. Lett. B 268 (1991) 247; P. J. Rossky et al., J. Chem. Phys. 69 (1978) 4628 (MALA).
"""

import math
from typing import Any

import openmm
from openmm import unit

from ..errors import ConfigError
from ..units import BOLTZMANN, in_unit

__all__ = ["GHMCIntegrator", "refuse_inexact"]

_THERMOSTATS = ("AndersenThermostat", "CMMotionRemover")


class GHMCIntegrator(openmm.CustomIntegrator):
    """Generalised hybrid Monte Carlo: MD whose every step is accepted or rejected by its error of energy.

    It samples the Boltzmann distribution of the System exactly, at any time step, for Systems that
    `refuse_inexact` lets pass: no constraints, virtual sites, barostat, or force that moves particles or velocities
    on its own. The clock advances on rejections, too. It works on every platform; in single precision the test of
    energies is as exact as these are.

    Parameters
    ----------
    temperature : float or Quantity
        K.
    frictionCoeff : float or Quantity
        1/ps; infinite friction (``math.inf``) draws all momenta in each step, which is MALA.
    stepSize : float or Quantity
        ps; 0.001 with flexible bonds, 0.002 where hydrogens have 4 Da, are accepted in more than 9 of 10 steps.

    Notes
    -----
    Copies, XML and checkpoints hold settings and counts, since all of them are variables of the integrator. The
    random numbers are OpenMM's, which a checkpoint holds and a State doesn't.
    """

    def __init__(self, temperature: Any, frictionCoeff: Any, stepSize: Any):
        super().__init__(_positive(stepSize, unit.picosecond, "stepSize"))
        self.addGlobalVariable("kT", BOLTZMANN * _positive(temperature, unit.kelvin, "temperature"))
        self.addGlobalVariable("friction", _friction(frictionCoeff))
        for name in ("accepted", "tried", "kept", "before", "after", "take", "carry", "potential", "trial"):
            self.addGlobalVariable(name, 0.0)
        for name in ("oldx", "oldv"):
            self.addPerDofVariable(name, 0.0)
        self.addUpdateContextState()
        self.addComputeGlobal("kept", "exp(-friction*dt)")
        self.addComputePerDof("v", "kept*v + sqrt((1 - kept^2)*kT/m)*gaussian")
        self.addComputeSum("before", "0.5*m*v*v")
        self.beginIfBlock("carry = 0")
        self.addComputeGlobal("potential", "energy")  # OpenMM evaluates it anew in each step that asks
        self.endBlock()
        self.addComputeGlobal("before", "before + potential")
        self.addComputePerDof("oldx", "x")
        self.addComputePerDof("oldv", "v")
        self.addComputePerDof("v", "v + 0.5*dt*f/m")
        self.addComputePerDof("x", "x + dt*v")
        self.addComputePerDof("v", "v + 0.5*dt*f/m")
        self.addComputeSum("after", "0.5*m*v*v")
        self.addComputeGlobal("trial", "energy")
        self.addComputeGlobal("after", "after + trial")
        # a comparison with NaN is false, so a step into nowhere is a rejection
        self.addComputeGlobal("take", "0")
        self.beginIfBlock("log(uniform) < (before - after)/kT")
        self.addComputeGlobal("take", "1")
        self.addComputeGlobal("potential", "trial")
        self.endBlock()
        self.beginIfBlock("take = 0")
        self.addComputePerDof("x", "oldx")
        self.addComputePerDof("v", "-oldv")
        self.endBlock()
        self.addComputeGlobal("accepted", "accepted + take")
        self.addComputeGlobal("tried", "tried + 1")

    def getTemperature(self) -> unit.Quantity:
        """Temperature of the heat bath."""
        return self.getGlobalVariableByName("kT") / BOLTZMANN * unit.kelvin

    def setTemperature(self, temperature: Any) -> None:
        """Set the temperature of the heat bath, K or a Quantity."""
        kelvin = _positive(temperature, unit.kelvin, "temperature")
        self.setGlobalVariableByName("kT", BOLTZMANN * kelvin)

    def getFriction(self) -> unit.Quantity:
        """Rate at which momenta are drawn afresh."""
        return self.getGlobalVariableByName("friction") / unit.picosecond

    def setFriction(self, frictionCoeff: Any) -> None:
        """Set the rate at which momenta are drawn afresh, 1/ps or a Quantity."""
        self.setGlobalVariableByName("friction", _friction(frictionCoeff))

    def getCarriesEnergy(self) -> bool:
        """Whether a step takes over the potential energy that the last one ended with."""
        return self.getGlobalVariableByName("carry") != 0.0

    def setCarriesEnergy(self, carries: bool) -> None:
        """Set whether a step takes over the potential energy that the last one ended with, which halves its cost.

        True is right only as long as this integrator alone changes positions, box and parameters: set it after a
        first step, and back to False before anything else acts. The default is False; `HybridSimulation` does this.
        """
        self.setGlobalVariableByName("carry", float(carries))

    def getNumTried(self) -> int:
        """Number of steps."""
        return round(self.getGlobalVariableByName("tried"))

    def getNumAccepted(self) -> int:
        """Number of steps that moved the System."""
        return round(self.getGlobalVariableByName("accepted"))

    def getAcceptanceRate(self) -> float:
        """Share of the steps that were accepted; NaN before the first."""
        tried = self.getNumTried()
        return self.getNumAccepted() / tried if tried else math.nan

    def resetCounters(self) -> None:
        """Set both counts to zero."""
        for name in ("accepted", "tried"):
            self.setGlobalVariableByName(name, 0.0)


def refuse_inexact(system: openmm.System) -> None:
    """Raise `ConfigError` naming what in a System would make `GHMCIntegrator`, or a Metropolis jump, inexact.

    Parameters
    ----------
    system : openmm.System
    """
    if system.getNumConstraints() > 0:
        first, second, _ = system.getConstraintParameters(0)
        raise ConfigError(
            f"Exact sampling needs flexible molecules, and this System has {system.getNumConstraints()} constraints "
            f"(the first between particles {first} and {second}); create it with constraints=None and "
            "rigidWater=False."
        )
    for particle in range(system.getNumParticles()):
        if system.isVirtualSite(particle):
            raise ConfigError(
                f"Exact sampling can't place virtual sites, and particle {particle} is one; use a force field without."
            )
    for force in system.getForces():
        kind = type(force).__name__
        if "Barostat" in kind or kind in _THERMOSTATS:
            raise ConfigError(
                f"Exact sampling can't account for the System's {kind}, which changes positions or velocities between "
                "the tests; remove it."
            )


def _positive(value: Any, in_units: unit.Unit, name: str) -> float:
    number = in_unit(value, in_units, name)
    if number <= 0:
        raise ConfigError(f"{name} = {value} must be positive.")
    return number


def _friction(value: Any) -> float:
    """1/ps; infinity becomes a number so large that exp(-friction dt) is 0 for any time step in use."""
    if (value._value if unit.is_quantity(value) else value) == math.inf:
        return 1e300
    number = in_unit(value, unit.picosecond**-1, "frictionCoeff")
    if number < 0:
        raise ConfigError(f"frictionCoeff = {value} can't be negative.")
    return number
