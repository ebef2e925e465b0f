"""Effective samples of processes whose autocorrelation time is known."""

import emcee
import numpy as np
import pytest

from openmm_unisim.evaluation.estimators.paper_ess import effective_samples, longest_finite_stretch


def ar1(n_frames, memory, seed=0):
    generator = np.random.default_rng(seed)
    series = np.zeros(n_frames)
    for index in range(1, n_frames):
        series[index] = memory * series[index - 1] + generator.normal()
    return series


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_ar1_has_tau_of_one_plus_a_over_one_minus_a(memory):
    result = effective_samples(ar1(40_000, memory))
    expected = (1 + memory) / (1 - memory)
    assert result.integrated_time == pytest.approx(expected, rel=4 * result.relative_error)
    assert result.relative_error < 0.12 and result.trusted
    assert result.value == pytest.approx(40_000 / result.integrated_time)


def test_error_bar_is_the_scatter_over_seeds():
    results = [effective_samples(ar1(4000, 0.8, seed)) for seed in range(30)]
    scatter = np.std([r.integrated_time for r in results], ddof=1) / np.mean(
        [r.integrated_time for r in results]
    )
    assert 0.6 < scatter / np.mean([r.relative_error for r in results]) < 1.7


def test_value_is_emcees():
    series = ar1(2000, 0.7, 3)
    assert effective_samples(series).value == 2000 / emcee.autocorr.integrated_time(series, quiet=True)[0]


def test_short_series_are_marked():
    assert not effective_samples(ar1(200, 0.95)).trusted


def test_walkers_share_their_autocorrelation():
    walkers = np.stack([ar1(5000, 0.8, seed) for seed in range(4)], axis=1)
    result = effective_samples(walkers)
    assert result.integrated_time == pytest.approx(9.0, rel=0.15) and result.n_frames == 5000


def test_constant_series_have_none():
    assert effective_samples(np.ones(100)) is None
    assert effective_samples(np.zeros(0)) is None


def test_longest_finite_stretch():
    series = np.array([1.0, np.nan, 2.0, 3.0, 4.0, np.inf, 5.0])
    assert longest_finite_stretch(series) == slice(2, 5)
    assert longest_finite_stretch(np.full(3, np.nan)) == slice(0, 0)
    assert longest_finite_stretch(np.ones(3)) == slice(0, 3)
