"""The two-temperature check on analytic harmonic oscillators."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.metrics.ensemble_check import ensemble_check, measured_slope
from openmm_unisim.evaluation.uncertainty import Resampling
from openmm_unisim.units import BOLTZMANN

DIMENSIONS = 60


def harmonic(temperature, n, generator):
    """Energies of `DIMENSIONS` oscillators: a Gamma distribution, k = d/2, scale kT."""
    return generator.gamma(DIMENSIONS / 2, BOLTZMANN * temperature, n)


def test_harmonic_oscillators_give_one_within_the_error():
    generator = np.random.default_rng(0)
    metric = ensemble_check(harmonic(300.0, 4000, generator), 300.0, harmonic(320.0, 3000, generator), 320.0)
    assert abs(metric.value - 1.0) < 3 * metric.standard_error < 0.3
    assert metric.reference == 1.0 and abs(metric.details["z"]) < 3
    expected = 1 / (BOLTZMANN * 300.0) - 1 / (BOLTZMANN * 320.0)
    assert metric.details["expected_slope_mol_per_kj"] == pytest.approx(expected)
    assert metric.details["samples"] == [4000, 3000]


def test_the_order_of_the_temperatures_does_not_matter():
    generator = np.random.default_rng(1)
    cold, hot = harmonic(300.0, 500, generator), harmonic(320.0, 500, generator)
    first, last = ensemble_check(cold, 300.0, hot, 320.0), ensemble_check(hot, 320.0, cold, 300.0)
    assert first.value == pytest.approx(last.value) and first.value > 0


def test_a_wrong_temperature_is_measured():
    generator = np.random.default_rng(2)
    metric = ensemble_check(harmonic(300.0, 4000, generator), 300.0, harmonic(310.0, 4000, generator), 320.0)
    expected = (1 / 300 - 1 / 310) / (1 / 300 - 1 / 320)
    assert abs(metric.value - expected) < 3 * metric.standard_error
    assert metric.details["z"] < -3


def test_a_distribution_of_the_wrong_width_is_found():
    """Right mean energies, but Gaussians of half the width: the slope is four times too steep."""
    generator = np.random.default_rng(3)
    means = [DIMENSIONS / 2 * BOLTZMANN * temperature for temperature in (300.0, 320.0)]
    width = math.sqrt(DIMENSIONS / 2) * BOLTZMANN * 310.0 / 2
    cold, hot = (generator.normal(mean, width, 4000) for mean in means)
    metric = ensemble_check(cold, 300.0, hot, 320.0)
    assert metric.value == pytest.approx((means[1] - means[0]) / width**2 / metric.details["expected_slope_mol_per_kj"],
                                         abs=3 * metric.standard_error)  # fmt: skip
    assert metric.value > 3


def test_the_slope_maximises_the_likelihood():
    generator = np.random.default_rng(4)
    first, last = harmonic(300.0, 300, generator), harmonic(320.0, 200, generator)

    def minus_log_likelihood(parameters):
        exponents = [parameters[0] + parameters[1] * (energies - 75.0) for energies in (first, last)]
        return np.logaddexp(0, exponents[0]).sum() + np.logaddexp(0, -exponents[1]).sum()

    found = minimize(
        minus_log_likelihood, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    assert measured_slope(first, last) == pytest.approx(found.x[1], rel=1e-5)


def test_blocks_widen_the_error_of_correlated_energies():
    generator = np.random.default_rng(5)
    cold, hot = (np.repeat(harmonic(t, 300, generator), 10) for t in (300.0, 320.0))
    plain = ensemble_check(cold, 300.0, hot, 320.0)
    blocks = ensemble_check(cold, 300.0, hot, 320.0, Resampling(block_frames=50, repeats=50))
    assert blocks.standard_error > 2 * plain.standard_error


def test_no_overlap_few_samples_and_nan():
    generator = np.random.default_rng(6)
    energies = harmonic(300.0, 100, generator)
    apart = ensemble_check(energies, 300.0, energies + 1000.0, 320.0)
    assert apart.value is None and "don't overlap" in apart.reason
    few = ensemble_check(energies[:10], 300.0, energies, 320.0)
    assert few.value is None and "fewer than 50" in few.reason
    with_nan = np.concatenate([energies, [np.nan] * 3])
    assert ensemble_check(with_nan, 300.0, energies, 320.0).details["nan_samples"] == [3, 0]
    assert ensemble_check(np.ones(100), 300.0, np.ones(100), 320.0).value is None


@pytest.mark.parametrize("temperatures", [(300.0, 300.0), (0.0, 300.0), (300.0, -1.0)])
def test_useless_temperatures_are_refused(temperatures):
    with pytest.raises(ConfigError, match="two different positive"):
        ensemble_check(np.ones(60), temperatures[0], np.ones(60), temperatures[1])
