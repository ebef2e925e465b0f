"""Geometric means and their intervals, by hand."""

import math

import pytest

from openmm_unisim.benchmark.intervals import geometric_mean
from openmm_unisim.errors import ConfigError


def test_three_values_by_hand() -> None:
    """1, 2, 4: mean of logarithms ln 2, standard deviation ln 2; t(0.975, 2) = 4.302653."""
    mean = geometric_mean([1.0, 2.0, 4.0])
    half = 4.302653 * math.log(2.0) / math.sqrt(3.0)
    assert mean.value == pytest.approx(2.0) and mean.n == 3
    assert mean.low == pytest.approx(2.0 * math.exp(-half), rel=1e-6)
    assert mean.high == pytest.approx(2.0 * math.exp(half), rel=1e-6)


def test_equal_values_have_no_width_and_one_value_no_interval() -> None:
    assert geometric_mean([3.0] * 5).low == pytest.approx(3.0)
    assert math.isnan(geometric_mean([3.0]).low)


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [1.0, float("nan")]])
def test_what_has_no_geometric_mean(values: list[float]) -> None:
    with pytest.raises(ConfigError, match="positive numbers"):
        geometric_mean(values)
