"""The one place where units change.

Public numbers are OpenMM's: nm, ps, kJ/mol, K, Da. Inside the networks lengths are angstrom. The conversion happens
at one moment for each way in: in the export wrapper (simulation) and in the pair reader (training).

============  =====================================  ==================
symbol        meaning                                name here
============  =====================================  ==================
k_B           molar Boltzmann constant, kJ/(mol K)   BOLTZMANN
sigma         s_eu sqrt(k_B T), angstrom             noise_scale
============  =====================================  ==================

Source: OpenMM's own constant (CODATA 2018) and UniSim, spec section 5.
"""

import math
from typing import Any

from .errors import ConfigError

ANGSTROM_PER_NM = 10.0
NM_PER_ANGSTROM = 0.1
BOLTZMANN = 0.0083144626  # kJ/(mol K)
SIGMA_SCALE = 0.2  # s_eu of the paper: sigma = 0.2 A / sqrt(kJ/mol) * sqrt(kT)


def noise_scale(temperature: float) -> float:
    """Interpolant noise scale sigma = 0.2 sqrt(k_B T), the root taken of the number in kJ/mol.

    Parameters
    ----------
    temperature : float
        K.

    Returns
    -------
    float
        sigma in angstrom; 0.31587 at 300 K (UniSim, spec section 5).
    """
    return SIGMA_SCALE * math.sqrt(BOLTZMANN * temperature)


def in_unit(value: Any, unit: Any, name: str) -> float:
    """Return `value` as a plain finite float in `unit`; a bare number is taken to be in that unit already.

    Parameters
    ----------
    value : float or openmm.unit.Quantity
        The quantity.
    unit : openmm.unit.Unit
        The unit of the result.
    name : str
        What the value is, for the error message.

    Raises
    ------
    ConfigError
        If the dimensions differ or the number isn't finite.
    """
    if hasattr(value, "value_in_unit"):
        try:
            number = float(value.value_in_unit(unit))
        except TypeError as error:
            raise ConfigError(
                f"{name} = {value} can't be expressed in {unit}; give a quantity of that dimension."
            ) from error
    else:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{name} = {value!r} is not a number; give a float in {unit}.") from error
    if not math.isfinite(number):
        raise ConfigError(f"{name} = {value} is not finite; give a finite number in {unit}.")
    return number
