"""Markov models against chains with analytic answers."""

import math

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.estimators.msm import (
    block_counts,
    first_passage_times,
    implied_timescales,
    markov_figures,
    markov_model,
)
from tests.evaluation.pairs_of_runs import two_state_chain

LEAVE = (0.1, 0.3)  # of two states
# reversible: birth-death chain
THREE = np.array([[0.90, 0.10, 0.00], [0.05, 0.80, 0.15], [0.00, 0.20, 0.80]])


def stationary_of(matrix):
    values, vectors = np.linalg.eig(matrix.T)
    vector = np.real(vectors[:, np.argmax(np.real(values))])
    return vector / vector.sum()


def exact_counts(matrix, total=10**8):
    return np.rint(total * stationary_of(matrix)[:, None] * matrix).astype(np.int64)


def test_two_states_have_the_analytic_timescale_and_passage_times():
    matrix = np.array([[1 - LEAVE[0], LEAVE[0]], [LEAVE[1], 1 - LEAVE[1]]])
    model = markov_model(exact_counts(matrix), lag_time=5.0)
    assert model.probability == pytest.approx(matrix, abs=1e-6)
    assert model.stationary == pytest.approx([0.75, 0.25], abs=1e-6)
    assert implied_timescales(model) == pytest.approx([-5.0 / math.log(1 - sum(LEAVE))], rel=1e-5)
    times = first_passage_times(model, 2)
    assert times[0, 1] == pytest.approx(5.0 / LEAVE[0], rel=1e-5)
    assert times[1, 0] == pytest.approx(5.0 / LEAVE[1], rel=1e-5)
    assert np.isnan(np.diag(times)).all()


def test_three_states_against_eigenvalues_and_birth_death_passage_times():
    model = markov_model(exact_counts(THREE), lag_time=2.0)
    eigenvalues = np.sort(np.real(np.linalg.eigvals(THREE)))[::-1][1:]
    assert implied_timescales(model) == pytest.approx(-2.0 / np.log(eigenvalues), rel=1e-4)
    times = first_passage_times(model, 3) / 2.0
    # by hand: m_01 = 1/.1; m_12 = (1 + .05 m_01)/.15; m_02 = m_01 + m_12
    assert times[0, 1] == pytest.approx(10.0, rel=1e-4)
    assert times[1, 2] == pytest.approx(10.0, rel=1e-4)
    assert times[0, 2] == pytest.approx(20.0, rel=1e-4)
    assert times[2, 1] == pytest.approx(5.0, rel=1e-4)
    assert times[1, 0] == pytest.approx((1 + 0.15 * 5.0) / 0.05, rel=1e-4)


def test_counts_by_block_sum_to_all_windows_and_belong_to_the_block_they_start_in():
    states = np.array([0, 0, 1, -1, 1, 0, 1, 1])
    blocks = block_counts(states, lag_frames=2, n_states=2, block_frames=3)
    # windows: 0>1, 0>nan, 1>1 | nan>0, 1>1, 0>1
    assert blocks.tolist() == [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]
    long = np.random.default_rng(0).integers(-1, 3, 500)
    total = np.zeros((3, 3), dtype=int)
    for first, last in zip(long[:-7], long[7:]):
        if first >= 0 and last >= 0:
            total[first, last] += 1
    assert (block_counts(long, 7, 3, 40).sum(axis=0) == total).all()


def test_a_lag_longer_than_the_run_is_named():
    with pytest.raises(ConfigError, match="a lag of 9 frames"):
        block_counts(np.zeros(9, dtype=int), 9, 2, 3)


def test_states_that_are_not_reached_again_are_left_out():
    counts = np.array([[50, 10, 1], [10, 50, 0], [0, 0, 0]])
    model = markov_model(counts, 1.0)
    assert model.states.tolist() == [0, 1]
    times = first_passage_times(model, 3)
    assert np.isfinite(times[0, 1]) and np.isnan(times[:, 2]).all() and np.isnan(times[2]).all()
    assert markov_model(np.array([[9, 1], [0, 9]]), 1.0) is None  # never back
    assert markov_model(np.zeros((2, 2), dtype=int), 1.0) is None


def test_error_bars_agree_with_the_scatter_of_independent_chains():
    generator = np.random.default_rng(1)
    figures = [
        markov_figures(
            two_state_chain(2500, *LEAVE, generator), 2, lag_frames=1, lag_time=1.0, block_frames=50, repeats=40,
            generator=generator,
        )
        for _ in range(40)
    ]  # fmt: skip
    times = np.array([one.timescales[0] for one in figures])
    errors = np.array([one.timescale_errors[0] for one in figures])
    assert np.mean(errors) == pytest.approx(np.std(times), rel=0.3)
    assert np.mean(times) == pytest.approx(-1.0 / math.log(0.6), abs=4 * np.std(times) / math.sqrt(40))
    passages = np.array([one.passage_times[0, 1] for one in figures])
    assert np.mean([one.passage_errors[0, 1] for one in figures]) == pytest.approx(np.std(passages), rel=0.3)


def test_the_timescale_does_not_depend_on_the_lag_of_a_markov_chain():
    states = two_state_chain(40000, 0.02, 0.03, np.random.default_rng(2))
    for lag in (1, 4):
        figures = markov_figures(
            states, 2, lag_frames=lag, lag_time=10.0 * lag, block_frames=500, repeats=20,
            generator=np.random.default_rng(0),
        )  # fmt: skip
        assert abs(figures.timescales[0] + 10.0 / math.log(0.95)) < 4 * figures.timescale_errors[0]


def test_a_run_of_two_blocks_has_no_error_bar():
    figures = markov_figures(
        np.array([0, 1] * 50), 2, lag_frames=1, lag_time=1.0, block_frames=50, repeats=5,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert figures.timescale_errors is None and figures.passage_errors is None
    assert figures.windows == 99
