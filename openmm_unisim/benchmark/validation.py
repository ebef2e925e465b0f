"""Is fast MD still right? Checks of a candidate against Reference and against MD of 2 fs.

=======================  =================================================================  =====================
symbol                   meaning                                                            name here
=======================  =================================================================  =====================
<x> +- s                 mean and standard error s = sqrt(var g / n), g: inefficiency        mean_and_error
|<T_kin> - T| < 4 s      equipartition                                                      temperature
|<U> - <U>_2fs| < 4 s    same mean potential energy, s of the difference                    potential_energy
max |d/d_0 - 1|          constraints hold                                                   constraints
=======================  =================================================================  =====================

Four standard errors: a sound candidate fails once in ten thousand. What such a test could have seen, 4 s, is reported
beside its verdict, since a short run passes anything.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..evaluation.estimators.kinetics import statistical_inefficiency

__all__ = ["Check", "check_agreement", "check_sample", "first_failure", "mean_and_error"]

STANDARD_ERRORS = 4.0
CONSTRAINT_LIMIT = 1e-4  # relative; ten times the integrator's default tolerance
FORCE_LIMIT = (
    1e-3  # median relative; OpenMM's single precision reaches 3e-6 (its user's guide, section on testing)
)
ENERGY_LIMIT = 0.1  # kJ/mol at one structure, 0.04 kT at 300 K


@dataclass(frozen=True)
class Check:
    """One comparison of what was found with what was expected.

    Attributes
    ----------
    name, unit : str
    value, expected : float
    tolerance : float
        Largest deviation that passes.
    """

    name: str
    value: float
    expected: float
    tolerance: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        """NaN fails."""
        return bool(abs(self.value - self.expected) <= self.tolerance)

    def describe(self) -> str:
        """In words."""
        space = f" {self.unit}" if self.unit else ""
        return f"{self.name} {self.value:.4g}{space}, expected {self.expected:.4g} within {self.tolerance:.2g}{space}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "passed": self.passed}


def mean_and_error(series: Sequence[float]) -> tuple[float, float]:
    """Mean of a correlated series and its standard error."""
    values = np.asarray(series, dtype=np.float64)
    error = np.sqrt(values.var() * statistical_inefficiency(values) / len(values))
    return float(values.mean()), float(error)


def check_agreement(agreement: dict[str, float]) -> list[Check]:
    """Energy and forces of a platform at one structure against Reference (`md_tasks.time_md`)."""
    return [
        Check("energy off Reference's by", agreement["energy_deviation_kj_mol"], 0.0, ENERGY_LIMIT, "kJ/mol"),
        Check("forces off Reference's by (relative)", agreement["force_deviation"], 0.0, FORCE_LIMIT),
    ]


def check_sample(sample: dict[str, Any], baseline: dict[str, Any], temperature: float) -> list[Check]:
    """A candidate's run against the temperature of the bath and a run of 2 fs.

    Parameters
    ----------
    sample, baseline : dict
        Of `md_tasks.sample_md`, with energies.
    temperature : float
        K.
    """
    kinetic, kinetic_error = mean_and_error(sample["kinetic_temperature_K"])
    energy, error = mean_and_error(sample["potential_energy_kj_mol"])
    expected, expected_error = mean_and_error(baseline["potential_energy_kj_mol"])
    combined = float(np.hypot(error, expected_error))
    return [
        Check("constraints violated by (relative)", sample["constraint_error"], 0.0, CONSTRAINT_LIMIT),
        Check("mean kinetic temperature", kinetic, temperature, STANDARD_ERRORS * kinetic_error, "K"),
        Check("mean potential energy", energy, expected, STANDARD_ERRORS * combined, "kJ/mol"),
    ]


def first_failure(checks: Sequence[Check]) -> str:
    """Description of the first check that failed; empty if all passed."""
    return next((check.describe() for check in checks if not check.passed), "")
