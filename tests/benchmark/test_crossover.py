"""Bias against variance, by hand."""

import math

import numpy as np
import pytest

from openmm_unisim.benchmark.crossover import (
    crossover,
    crossover_time,
    mean_square_error,
    time_to_error,
    variance_seconds,
)


def test_values_by_hand() -> None:
    assert variance_seconds(0.4, 6.0) == pytest.approx(0.04)
    assert mean_square_error(4.0, 0.1, 0.04) == pytest.approx(0.02)
    assert time_to_error(0.05, 0.03, 0.04) == pytest.approx(0.04 / 0.0016)
    assert time_to_error(0.03, 0.03, 0.04) == math.inf
    assert crossover_time(0.03, 0.04, 0.13) == pytest.approx(100.0)


def test_both_errors_are_equal_at_the_crossover() -> None:
    time = crossover_time(0.02, 0.05, 0.2)
    assert mean_square_error(time, 0.02, 0.05) == pytest.approx(mean_square_error(time, 0.0, 0.2))
    assert mean_square_error(0.5 * time, 0.02, 0.05) < mean_square_error(0.5 * time, 0.0, 0.2)


def test_no_bias_is_never_overtaken_and_no_gain_is_from_the_start() -> None:
    assert crossover_time(0.0, 0.1, 0.2) == math.inf
    assert crossover_time(0.1, 0.2, 0.1) == 0.0


def test_an_unresolved_bias_gives_a_lower_bound_only() -> None:
    found = crossover(0.005, 0.01, 0.1, 0.2)
    assert not found.bias_resolved and found.seconds == math.inf and found.most == math.inf
    assert found.least == pytest.approx(0.1 / 0.025**2)


def test_interval_of_a_resolved_bias() -> None:
    found = crossover(-0.05, 0.01, 0.1, 0.2, errors=(0.06,))
    assert found.bias_resolved
    assert found.seconds == pytest.approx(0.1 / 0.0024)
    assert (found.least, found.most) == (pytest.approx(0.1 / 0.07**2), pytest.approx(0.1 / 0.03**2))
    assert found.times == [
        {"error": 0.06, "seconds": pytest.approx(0.1 / 0.0012), "md_seconds": pytest.approx(0.2 / 0.0036)}
    ]


def test_the_formula_against_repeated_sampling() -> None:
    """20,000 estimates of a population of 0.4 by a sampler of 0.43 with 8 independent samples a second, 5 s each."""
    estimates = np.random.default_rng(0).binomial(40, 0.43, 20_000) / 40
    found = float(np.mean((estimates - 0.4) ** 2))
    assert mean_square_error(5.0, 0.03, variance_seconds(0.43, 8.0)) == pytest.approx(found, rel=0.03)
