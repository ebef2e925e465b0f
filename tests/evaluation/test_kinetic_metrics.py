"""Kinetics of chains with known answers; a shuffled run fails them and nothing else."""

import math

import numpy as np
import pytest

from openmm_unisim.evaluation.metrics.basins import BasinSet, shipped_basins
from openmm_unisim.evaluation.metrics.kinetic_metrics import kinetic_metrics
from openmm_unisim.evaluation.metrics.torsion_metrics import torsion_metrics
from tests.evaluation.pairs_of_runs import (
    ALPHA,
    PII,
    by_key,
    of_states,
    pair,
    shipped_torsions,
    two_state_chain,
)

LEAVE = (0.1, 0.2)  # alpha, beta, per frame of 10 ps
ALPHA_L = (60.0, 30.0)


@pytest.fixture(scope="module")
def chains():
    generator = np.random.default_rng(0)
    return [of_states(two_state_chain(8000, *LEAVE, generator)) for _ in range(2)]


def test_known_chain(chains):
    found = by_key(kinetic_metrics(pair(chains[0], chains[1], repeats=20)))
    expected = {
        "stay_alpha[ALA 2]": 1 - LEAVE[0],
        "stay_beta[ALA 2]": 1 - LEAVE[1],
        "implied_timescale_1[ALA 2]": -10.0 / math.log(1 - sum(LEAVE)),
        "mfpt[alpha -> beta, ALA 2]": 10.0 / LEAVE[0],
        "mfpt[beta -> alpha, ALA 2]": 10.0 / LEAVE[1],
        # correlations .7^k: g = 1 + 2 * .7/.3
        "decorrelation_time[ALA 2]": 10.0 * (1 + 2 * 0.7 / 0.3),
    }
    assert set(found) == set(expected)
    for key, value in expected.items():
        metric = found[key]
        assert abs(metric.value - value) < 4 * metric.standard_error, key
        assert abs(metric.reference - value) < 4 * metric.reference_error, key
        combined = math.hypot(metric.standard_error, metric.reference_error)
        assert metric.details["z"] == pytest.approx((metric.value - metric.reference) / combined)
        assert abs(metric.details["z"]) < 4
    assert found["implied_timescale_1[ALA 2]"].unit == "ps"
    details = found["implied_timescale_1[ALA 2]"].details
    assert details["lags_ps"] == [10.0, 20.0, 40.0]
    for time, error in zip(details["model_ps"], details["model_error_ps"]):
        assert abs(time + 10.0 / math.log(0.7)) < 4 * error


def test_every_second_frame_compares_at_20_ps(chains):
    found = by_key(kinetic_metrics(pair(chains[0][::2], chains[1], model_spacing_ps=20.0)))
    stay = found["stay_alpha[ALA 2]"]
    expected = 0.9 * 0.9 + 0.1 * 0.2
    assert stay.details["lag_ps"] == 20.0
    assert abs(stay.value - expected) < 4 * stay.standard_error
    assert abs(stay.reference - expected) < 4 * stay.reference_error
    time = found["decorrelation_time[ALA 2]"]
    expected = 20.0 * (1 + 2 * 0.49 / 0.51)
    assert abs(time.value - expected) < 4 * time.standard_error
    assert abs(time.reference - expected) < 4 * time.reference_error


def test_a_lag_of_its_own_and_a_model_with_finer_frames(chains):
    chosen = by_key(kinetic_metrics(pair(chains[0], chains[1]), lag_ps=30.0))
    assert chosen["stay_beta[ALA 2]"].details["lag_ps"] == 30.0
    finer = by_key(kinetic_metrics(pair(chains[0], chains[1][::3], reference_spacing_ps=30.0)))
    assert finer["stay_beta[ALA 2]"].value == chosen["stay_beta[ALA 2]"].value


@pytest.mark.parametrize(
    "spacings, lag, reason",
    [
        ((None, 10.0), None, "of the model is unknown"),
        ((10.0, None), None, "of the reference is unknown"),
        ((15.0, 10.0), None, "not a whole number of frames"),
        ((10.0, 10.0), 25.0, "not a whole number of frames"),
        ((10.0, 10.0), 1e6, "shorter than the lag"),
    ],
)
def test_without_a_common_lag_nothing_is_available(chains, spacings, lag, reason):
    comparison = pair(
        chains[0][:100], chains[1][:100], model_spacing_ps=spacings[0], reference_spacing_ps=spacings[1]
    )
    metrics = kinetic_metrics(comparison, lag_ps=lag)
    assert len(metrics) == 5
    assert all(metric.value is None and reason in metric.reason for metric in metrics)


def test_a_model_that_never_leaves_is_not_available_and_the_reference_is_shown(chains):
    found = by_key(kinetic_metrics(pair(of_states(np.zeros(500, dtype=int)), chains[1])))
    for key in ("implied_timescale_1[ALA 2]", "mfpt[alpha -> beta, ALA 2]", "stay_beta[ALA 2]"):
        assert found[key].value is None and found[key].reason
        assert found[key].reference is not None
    assert found["stay_alpha[ALA 2]"].value == 1.0
    assert found["stay_alpha[ALA 2]"].standard_error > 0  # nothing seen is not nothing there
    assert "never changes" in found["decorrelation_time[ALA 2]"].reason


def test_a_basin_seen_in_few_windows_has_no_probability(chains):
    states = np.zeros(400, dtype=np.int64)
    states[[50, 100, 150, 151]] = 1  # 4 windows start in beta
    found = by_key(kinetic_metrics(pair(of_states(states), chains[1])))
    rare = found["stay_beta[ALA 2]"]
    assert rare.value is None and "fewer than 5 windows" in rare.reason and rare.reference is not None
    assert found["stay_alpha[ALA 2]"].value is not None


def test_nan_frames_break_windows_instead_of_shifting_time():
    states = np.tile([0, 0, 1, 1], 100)
    broken = states.copy()
    broken[2::8] = -1
    positions = of_states(broken)
    found = by_key(kinetic_metrics(pair(positions, of_states(states))))
    # of every 8 frames 0 0 x 1 0 0 1 1 the known windows are 0>0, 1>0, 0>0, 0>1, 1>1, 1>0
    assert found["stay_alpha[ALA 2]"].value == pytest.approx(2 / 3, abs=0.01)
    assert found["stay_beta[ALA 2]"].value == pytest.approx(1 / 3, abs=0.01)


def test_the_file_s_basins_and_an_uncertain_one():
    generator = np.random.default_rng(3)
    states = two_state_chain(4000, *LEAVE, generator)
    visits = states.copy()
    visits[1000:1500] = 2
    places = (ALPHA, PII, ALPHA_L)
    comparison = pair(of_states(visits, places), of_states(states, places))
    found = by_key(kinetic_metrics(comparison, shipped_basins("ACE-ALA-NME")))
    assert found["stay[alphaL]"].details["uncertain"] and found["stay[alphaL]"].value == pytest.approx(
        499 / 500
    )
    assert found["stay[alphaL]"].reference is None
    assert not any("alphaL" in key for key in found if key.startswith("mfpt"))
    time = found["implied_timescale_1"]  # the stay in alphaL isn't in it
    assert abs(time.value - time.reference) < time.standard_error
    assert found["implied_timescale_2"].value is None  # C5 is never visited
    assert found["mfpt[alphaR -> C5]"].value is None
    correlation = found["decorrelation_time"]
    assert correlation.details["indicator"] == "alphaR"
    assert correlation.value == pytest.approx(correlation.reference, rel=0.1)


def test_too_few_certain_basins(chains):
    content = {"name": "x", "basins": [{"name": "all", "regions": [[
        {"residue": 0, "torsion": "phi", "low_degrees": -180, "high_degrees": 180}]]}]}  # fmt: skip
    found = by_key(kinetic_metrics(pair(chains[0], chains[1]), BasinSet.model_validate(content)))
    assert "fewer than two basins" in found["mfpt"].reason
    assert "never changes" in found["decorrelation_time"].reason
    assert found["stay[all]"].value == 1.0


def test_md_halves_agree_and_a_shuffled_copy_fails_kinetics_only():
    first, last = shipped_torsions(0, 8000), shipped_torsions(8000, 16000)
    shuffled = last[np.random.default_rng(0).permutation(len(last))]
    basins = shipped_basins("ACE-ALA-NME")
    halves, mixed = (by_key(kinetic_metrics(pair(run, first), basins)) for run in (last, shuffled))
    for key, metric in halves.items():
        if "alphaL" not in key and key != "implied_timescale_2":  # faster than the lag
            assert abs(metric.details["z"]) < 4, key
    for key in (
        "stay_alpha[ALA 2]",
        "stay_beta[ALA 2]",
        "stay[PII]",
        "mfpt[PII -> alphaR]",
        "decorrelation_time",
    ):
        assert mixed[key].details["z"] < -4, key
    torsions = [by_key(torsion_metrics(pair(run, first, repeats=2))) for run in (last, shuffled)]
    for key, metric in torsions[0].items():
        assert torsions[1][key].value == pytest.approx(metric.value, abs=1e-12)
