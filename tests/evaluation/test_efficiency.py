"""Speeds and energies by hand."""

import numpy as np
import pytest

from openmm_unisim.evaluation.estimators.counters import jump_counters, rate
from openmm_unisim.evaluation.estimators.efficiency import (
    energy_comparison,
    energy_histograms,
    nominal_ns_per_day,
)
from openmm_unisim.units import BOLTZMANN


def test_nominal_speed_by_hand():
    assert nominal_ns_per_day(10.0, 20.0) == pytest.approx(10 * 0.02 * 86400)


def test_energy_shift_in_kt_by_hand():
    kt = BOLTZMANN * 300.0
    result = energy_comparison([1.0, 2.0, 3.0, np.nan], [1.0, 1.0 - kt, 1.0 + kt], 300.0, 22)
    assert result["median_kj_mol"] == 2.0 and result["md_median_kj_mol"] == 1.0
    assert result["median_shift_kt"] == pytest.approx(1.0 / kt)
    assert result["median_shift_kt_per_ten_atoms"] == pytest.approx(1.0 / kt / 2.2)
    assert result["iqr_kj_mol"] == pytest.approx(1.0)


def test_no_md_energies_is_none_not_zero():
    result = energy_comparison([1.0], None, 300.0, 22)
    assert result["median_shift_kt"] is None and result["md_median_kj_mol"] is None
    assert energy_comparison([np.nan], [], 300.0, 22)["median_kj_mol"] is None


def test_histogram_densities_are_normalised_and_outliers_stay_counted():
    generator = np.random.default_rng(0)
    md = generator.normal(0.0, 1.0, 20_000)
    run = np.concatenate([generator.normal(0.0, 1.0, 9_000), np.full(1_000, 1e9)])
    histograms = energy_histograms(run, md)
    width = histograms["centre_kj_mol"][1] - histograms["centre_kj_mol"][0]
    assert histograms["centre_kj_mol"][-1] < 100  # one exploded tenth doesn't stretch the axis
    assert sum(histograms["model"]) * width == pytest.approx(0.9, abs=0.01)
    assert histograms["outside"] == pytest.approx(0.1, abs=0.01)
    assert sum(histograms["md"]) * width == pytest.approx(1.0, abs=0.01)
    assert energy_histograms([np.nan], None) is None
    assert energy_histograms([1.0, 1.0], None)["md"] == []


def test_limits_of_a_rate():
    none_seen = rate(0, 2000)
    assert none_seen["lower_95"] == 0.0
    assert none_seen["upper_95"] == pytest.approx(1 - 0.025 ** (1 / 2000))  # closed form for k = 0
    half = rate(50, 100)
    assert half["lower_95"] == pytest.approx(0.3983, abs=1e-4) and half["upper_95"] == pytest.approx(
        0.6017, abs=1e-4
    )
    assert rate(0, 0)["fraction"] is None and rate(3, 3)["upper_95"] == 1.0


def test_jump_counters_by_hand():
    jumps = {
        "jump": np.arange(1.0, 6.0),
        "nan": np.array([0.0, 1.0, 0.0, 0.0, 0.0]),
        "max_bond_deviation_nm": np.array([0.01, np.nan, 0.03, 0.06, 0.01]),
        "chirality_flips": np.array([0.0, 0.0, 2.0, 0.0, 0.0]),
        "clashes": np.array([0.0, 0.0, 1.0, 1.0, 0.0]),
        "accepted": np.array([1.0, 0.0, 0.0, 0.0, 1.0]),
    }
    counters = jump_counters(jumps)
    counted = {name: counters[name]["count"] for name in counters if name != "max_bond_deviation_nm"}
    assert counted == {
        "nan": 1, "explosions": 2, "bond_off": 3, "chirality_flips": 1, "clashes": 2, "rejected": 3
    }  # fmt: skip
    assert counters["max_bond_deviation_nm"] == 0.06
