"""Basins, transition probabilities and error bars against hand-computed values and solvable chains."""

import math

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.estimators.kinetics import (
    assign_basin,
    basin_statistics,
    lagged_pairs,
    population,
    relaxation_time,
    statistical_inefficiency,
    transition_matrix,
)

ALPHA, BETA = -60.0, 140.0  # psi


def two_state_chain(n_frames, stay_first, stay_second, generator):
    """States 0/1 of a Markov chain."""
    states, uniform = np.zeros(n_frames, dtype=int), generator.random(n_frames)
    for frame in range(1, n_frames):
        stays = uniform[frame] < (stay_first, stay_second)[states[frame - 1]]
        states[frame] = states[frame - 1] if stays else 1 - states[frame - 1]
    return states


def test_basin_borders():
    assert assign_basin([-120.0, 49.999, 50.0, -120.001, 180.0, 240.0, math.nan]).tolist() == [
        0,
        0,
        1,
        1,
        1,
        0,
        -1,
    ]


def test_windows_stay_within_a_copy():
    starts, ends = lagged_pairs([[0, 1, 2], [3, 4, 5]], 2)
    assert starts.tolist() == [0, 3] and ends.tolist() == [2, 5]
    with pytest.raises(ConfigError, match="more than 3 frames"):
        lagged_pairs([0, 1, 0], 3)


def test_transition_matrix_by_hand():
    estimate = transition_matrix([0, 0, 0, 0, 1, 1, -1], [0, 0, 0, 1, 0, 1, 0])
    assert estimate.counts.tolist() == [[3, 1], [1, 1]]
    assert estimate.probability.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert estimate.standard_error[0, 0] == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    halved = transition_matrix([0, 0, 0, 0], [0, 0, 0, 1], overlap=2)
    assert halved.standard_error[0, 0] == pytest.approx(math.sqrt(0.75 * 0.25 / 2))


def test_nothing_seen_is_not_nothing_there():
    estimate = transition_matrix([0, 0], [0, 0])
    assert estimate.standard_error[0, 0] == 0.5  # one event in two windows
    assert np.isnan(estimate.probability[1]).all()


def test_p_stay_by_hand():
    psi = [ALPHA, ALPHA, ALPHA, BETA, BETA, ALPHA]
    result = basin_statistics(np.full(6, -70.0), psi)
    assert result["stay_alpha"]["value"] == pytest.approx(2 / 3) and result["stay_alpha"]["windows"] == 3
    assert result["stay_beta"]["value"] == pytest.approx(1 / 2) and result["stay_beta"]["windows"] == 2
    assert result["population_alpha"]["value"] == pytest.approx(4 / 6)
    assert result["population_beta"]["value"] == pytest.approx(2 / 6)
    assert result["population_phi_positive"]["value"] == 0.0


def test_nan_frames_belong_to_no_basin():
    psi = [ALPHA, math.nan, ALPHA, ALPHA]
    result = basin_statistics([-70.0, math.nan, 60.0, -70.0], psi)
    assert result["population_alpha"]["value"] == 1.0
    assert result["population_phi_positive"]["value"] == pytest.approx(1 / 3)
    assert result["stay_alpha"]["windows"] == 1
    assert result["stay_beta"] is None  # never left from: not available


def test_p_stay_from_single_jumps():
    result = basin_statistics([-70.0], [ALPHA], None, ([ALPHA, ALPHA, BETA], [ALPHA, BETA, BETA]))
    assert result["stay_alpha"]["value"] == 0.5 and result["stay_beta"]["value"] == 1.0
    assert basin_statistics([-70.0], [ALPHA], None)["stay_alpha"] is None


def test_a_chain_is_recovered_within_its_error_bars():
    states = two_state_chain(20_000, 0.7, 0.85, np.random.default_rng(3))
    result = basin_statistics(np.full(states.size, -70.0), np.where(states == 0, ALPHA, BETA))
    truth = {"stay_alpha": 0.7, "stay_beta": 0.85, "population_alpha": 1 / 3, "population_beta": 2 / 3}
    for key, value in truth.items():
        assert abs(result[key]["value"] - value) < 4 * result[key]["standard_error"]
    inefficiency = statistical_inefficiency(states)
    assert inefficiency == pytest.approx((1 + 0.55) / (1 - 0.55), rel=0.1)  # second eigenvalue 0.55


def test_statistical_inefficiency_of_white_noise_and_of_a_constant():
    generator = np.random.default_rng(4)
    assert statistical_inefficiency(generator.normal(size=20_000)) == pytest.approx(1.0, abs=0.1)
    assert statistical_inefficiency(np.ones(100)) == 1.0
    alternating = statistical_inefficiency(np.tile([0.0, 1.0], 50))
    assert alternating == 1.0  # never below 1


def test_population_error_and_absence():
    entry = population(np.tile([True, True, False, False], 1000))
    assert entry["value"] == 0.5
    assert population([True, False], [False, False]) is None


def test_relaxation_time_by_hand():
    assert relaxation_time(math.exp(-0.5), 20.0) == pytest.approx(40.0)
    assert math.isnan(relaxation_time(0.0, 20.0)) and math.isnan(relaxation_time(1.0, 20.0))
