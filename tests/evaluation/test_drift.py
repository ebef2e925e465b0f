"""Slopes over windows: against scipy, a run that drifts, and one that doesn't."""

import numpy as np
import pytest
from scipy import stats

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.estimators.distributions import js_distance, torsion_histogram_2d
from openmm_unisim.evaluation.metrics.drift import drift_metrics, line_slope
from tests.evaluation.pairs_of_runs import by_key, of_states, pair, shipped_torsions

KEYS = {"drift_js_phi_psi[ALA 2]", "drift_population_alpha[ALA 2]", "worst_window_js_phi_psi[ALA 2]"}


def test_slope_and_error_are_those_of_scipy():
    values = np.random.default_rng(0).normal(size=9) + 0.3 * np.arange(9)
    expected = stats.linregress(np.arange(9), values)
    assert line_slope(values) == pytest.approx((expected.slope, expected.stderr))


def test_stationary_md_does_not_drift():
    found = by_key(drift_metrics(pair(shipped_torsions(10000, 20000), shipped_torsions(0, 10000)), windows=8))
    assert set(found) == KEYS
    for key in ("drift_js_phi_psi[ALA 2]", "drift_population_alpha[ALA 2]"):
        metric = found[key]
        assert metric.details["drifts"] is False, key
        assert metric.details["z"] == pytest.approx(metric.value / metric.standard_error)
        expected = stats.linregress(np.arange(8), metric.details["values"])
        assert metric.details["p_value"] == pytest.approx(expected.pvalue)
    worst = found["worst_window_js_phi_psi[ALA 2]"]
    assert abs(worst.value - worst.floor) < 5 * worst.floor_std
    assert worst.floor > found["drift_js_phi_psi[ALA 2]"].details["floor"]


def test_a_run_whose_population_drifts_is_found_and_its_windows_are_hand_counted():
    generator = np.random.default_rng(1)
    probability = np.linspace(0.3, 0.7, 2000)
    states = (generator.random(2000) > probability).astype(int)  # 0 is alpha
    reference = of_states((generator.random(4000) > 0.3).astype(int))
    found = by_key(drift_metrics(pair(of_states(states), reference), windows=10))
    alpha = found["drift_population_alpha[ALA 2]"]
    assert alpha.details["values"] == pytest.approx((states.reshape(10, 200) == 0).mean(axis=1))
    assert alpha.value == pytest.approx(0.4 / 10, abs=4 * alpha.standard_error)
    assert alpha.details["drifts"] and found["drift_js_phi_psi[ALA 2]"].details["drifts"]
    worst = found["worst_window_js_phi_psi[ALA 2]"]
    assert worst.details["worst_window"] in (8, 9) and worst.value > worst.floor + 5 * worst.floor_std


def test_a_broken_window_is_the_worst_one_though_the_slope_is_zero():
    model = shipped_torsions(10000, 20000)
    model[4500:5500] = [60.0, 30.0]
    reference = shipped_torsions(0, 10000)
    found = by_key(drift_metrics(pair(model, reference), windows=10))
    worst = found["worst_window_js_phi_psi[ALA 2]"]
    assert worst.details["worst_window"] in (4, 5)
    histograms = [torsion_histogram_2d(one[:, 0], one[:, 1]) for one in (model[5000:6000], reference)]
    assert found["drift_js_phi_psi[ALA 2]"].details["values"][5] == pytest.approx(
        js_distance(*histograms), abs=1e-3
    )
    assert worst.value > worst.floor + 20 * worst.floor_std


def test_windows_that_are_too_short_or_broken_are_not_available():
    short = drift_metrics(pair(shipped_torsions(0, 400), shipped_torsions(0, 400)))
    assert all(metric.value is None and "fewer than 50" in metric.reason for metric in short)
    states = np.zeros(1000, dtype=int)
    states[:80] = -1
    broken = by_key(drift_metrics(pair(of_states(states), shipped_torsions(0, 400))))
    assert set(broken) == KEYS and all("finite" in metric.reason for metric in broken.values())
    with pytest.raises(ConfigError, match="at least 3"):
        drift_metrics(pair(shipped_torsions(0, 400), shipped_torsions(0, 400)), windows=2)
