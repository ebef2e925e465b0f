"""The System in which the solvent moves during a switch: no barostat, and if wished a solute that can be scaled.

======================  ==============================================================  ====================
symbol                  meaning                                                         name here
======================  ==============================================================  ====================
lambda_q                scale of the solute's charges                                   CHARGES
lambda_r                soft-core coupling                                              STERICS
u(r)                    4 eps lambda_r (1/b^2 - 1/b), b = (r/sigma)^6 + (1-lambda_r)/2  SOFT_CORE
======================  ==============================================================  ====================

Soft core: T. C. Beutler et al., Chem. Phys. Lett. 222 (1994) 529. The acceptance rule takes energies from the
user's own Context, so nothing here has to be exact: it only makes some switches cheaper than others.
"""

import openmm
from numpy.typing import NDArray
from openmm import unit

from ..errors import ConfigError

__all__ = ["CHARGES", "STERICS", "switching_system"]

CHARGES = "unisim_solute_charges"
STERICS = "unisim_solute_sterics"
SOFT_CORE = f"4*sqrt(epsilon1*epsilon2)*{STERICS}*(1/b^2-1/b);b=(r/(0.5*(sigma1+sigma2)))^6+0.5*(1-{STERICS})"
# They act in updateContextState, which a switch never calls; without them a copy is also quicker to set up.
_BETWEEN_MOVES = (
    "MonteCarloBarostat",
    "MonteCarloAnisotropicBarostat",
    "MonteCarloFlexibleBarostat",
    "MonteCarloMembraneBarostat",
    "AndersenThermostat",
    "CMMotionRemover",
)


def switching_system(system: openmm.System, solute: NDArray, alchemical: bool) -> openmm.System:
    """A copy of `system` for the solvent's dynamics during a switch.

    Parameters
    ----------
    system : openmm.System
        Left as it is.
    solute : ndarray of int, shape (n_solute,)
    alchemical : bool
        Make the Context parameters `CHARGES` and `STERICS`.

    Raises
    ------
    ConfigError
        If interactions shall be scaled and there isn't exactly one NonbondedForce.
    """
    copy: openmm.System = openmm.XmlSerializer.clone(system)
    for index in reversed(range(copy.getNumForces())):
        if copy.getForce(index).getName() in _BETWEEN_MOVES or _class(copy, index) in _BETWEEN_MOVES:
            copy.removeForce(index)
    if alchemical:
        _scale(copy, [int(particle) for particle in solute])
    return copy


def _class(system: openmm.System, index: int) -> str:
    return type(system.getForce(index)).__name__


def _scale(system: openmm.System, solute: list[int]) -> None:
    found = [force for force in system.getForces() if isinstance(force, openmm.NonbondedForce)]
    if len(found) != 1:
        raise ConfigError(
            f"The System has {len(found)} NonbondedForces and this protocol scales one; "
            "use 'straight' or 'path'."
        )
    nonbonded = found[0]
    soft = _soft_core(nonbonded)
    nonbonded.addGlobalParameter(CHARGES, 1.0)
    for particle in range(nonbonded.getNumParticles()):
        charge, sigma, epsilon = nonbonded.getParticleParameters(particle)
        # an epsilon of 0 often comes with a sigma of 0, which (r/sigma) can't take
        soft.addParticle([sigma if epsilon.value_in_unit(unit.kilojoule_per_mole) > 0 else 0.3, epsilon])
    for index in range(nonbonded.getNumExceptions()):
        first, second, *_ = nonbonded.getExceptionParameters(index)
        soft.addExclusion(first, second)
    for particle in solute:
        charge, sigma, _ = nonbonded.getParticleParameters(particle)
        nonbonded.setParticleParameters(particle, 0.0, sigma, 0.0)
        nonbonded.addParticleParameterOffset(CHARGES, particle, charge, 0.0, 0.0)
    others = sorted(set(range(nonbonded.getNumParticles())) - set(solute))
    soft.addInteractionGroup(solute, others)
    system.addForce(soft)


def _soft_core(nonbonded: openmm.NonbondedForce) -> openmm.CustomNonbondedForce:
    """Without particles yet: cutoff and switching function as in `nonbonded`."""
    soft = openmm.CustomNonbondedForce(SOFT_CORE)
    soft.addGlobalParameter(STERICS, 1.0)
    soft.addPerParticleParameter("sigma")
    soft.addPerParticleParameter("epsilon")
    method = nonbonded.getNonbondedMethod()
    kinds = {
        openmm.NonbondedForce.NoCutoff: openmm.CustomNonbondedForce.NoCutoff,
        openmm.NonbondedForce.CutoffNonPeriodic: openmm.CustomNonbondedForce.CutoffNonPeriodic,
    }
    soft.setNonbondedMethod(kinds.get(method, openmm.CustomNonbondedForce.CutoffPeriodic))
    soft.setCutoffDistance(nonbonded.getCutoffDistance())
    soft.setUseSwitchingFunction(nonbonded.getUseSwitchingFunction())
    soft.setSwitchingDistance(nonbonded.getSwitchingDistance())
    soft.setForceGroup(nonbonded.getForceGroup())
    return soft
