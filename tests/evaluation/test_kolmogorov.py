"""The Kolmogorov-Smirnov test of correlated series, on series whose distribution is known."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from openmm_unisim.errors import ConfigError, NonFiniteError
from openmm_unisim.evaluation.estimators.kolmogorov import kolmogorov_test


def correlated(number: int, memory: float, generator: np.random.Generator, shift: float = 0.0) -> np.ndarray:
    """A series of unit variance whose neighbours correlate by `memory`."""
    series, value = np.empty(number), generator.normal()
    for k in range(number):
        value = memory * value + np.sqrt(1.0 - memory**2) * generator.normal()
        series[k] = value
    return series + shift


def test_independent_samples_give_the_usual_test() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=1500), generator.normal(size=900)
    found, known = kolmogorov_test(first, second), ks_2samp(first, second, method="asymp")
    assert found.distance == pytest.approx(known.statistic, abs=1e-12)
    assert found.effective[0] > 1000 and found.effective[1] > 600
    assert found.p_value > 0.5 * known.pvalue


def test_correlations_are_counted() -> None:
    """Of 60 pairs of like series few have a small p, which the usual test says of many; g of 19 leaves 100 samples."""
    generator = np.random.default_rng(2)
    pairs = [[correlated(2000, 0.9, generator) for _ in range(2)] for _ in range(60)]
    p = np.array([kolmogorov_test(*pair).p_value for pair in pairs])
    naive = np.array([ks_2samp(*pair, method="asymp").pvalue for pair in pairs])
    assert (p < 0.05).sum() <= 10  # 3 expected; a binomial has more than 10 once in 2,000
    assert (naive < 0.05).sum() > 30
    assert 60 < kolmogorov_test(*pairs[0]).effective[0] < 250


def test_another_distribution_is_seen() -> None:
    generator = np.random.default_rng(3)
    first, second = correlated(3000, 0.8, generator), correlated(3000, 0.8, generator, shift=0.5)
    assert kolmogorov_test(first, second).p_value < 1e-4


def test_walkers_apart_count_as_correlated() -> None:
    """Two walkers, each stuck in another state: few samples, whatever their number of frames."""
    stuck = np.repeat([[-1.0], [1.0]], 500, axis=1) + 1e-3 * np.random.default_rng(4).normal(size=(2, 500))
    assert kolmogorov_test(stuck, stuck[::-1]).effective[0] < 10


def test_what_cannot_be_tested() -> None:
    with pytest.raises(ConfigError, match="A series of 1 values can't be tested"):
        kolmogorov_test([1.0], [1.0, 2.0])
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        kolmogorov_test([1.0, np.nan], [1.0, 2.0])
