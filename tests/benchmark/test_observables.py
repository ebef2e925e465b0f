"""Effective samples of series whose correlation time is known."""

import numpy as np
import pytest

from openmm_unisim.benchmark.observables import (
    LEAST_TRANSITIONS,
    ObservableSamples,
    measure_observables,
    slowest,
)
from openmm_unisim.evaluation.estimators.kinetics import statistical_inefficiency
from tests.benchmark.chains import two_state_psi


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_inefficiency_of_an_autoregressive_series(coefficient: float) -> None:
    """x_k = c x_(k-1) + noise has rho_k = c^k, so g = (1 + c) / (1 - c)."""
    generator, n = np.random.default_rng(3), 100_000
    series = np.empty(n)
    value = 0.0
    for index, noise in enumerate(generator.normal(size=n)):
        value = coefficient * value + noise
        series[index] = value
    expected = (1.0 + coefficient) / (1.0 - coefficient)
    assert statistical_inefficiency(series) == pytest.approx(expected, rel=0.08)


def test_basin_indicator_of_a_markov_chain() -> None:
    """Eigenvalue 0.7 + 0.8 - 1 = 0.5: g = 1.5 / 0.5 = 3."""
    n = 40_000
    generator = np.random.default_rng(1)
    torsions = [
        {
            "label": "ALA 2",
            "phi": generator.normal(-80, 10, n),
            "psi": two_state_psi(n, 0.7, 0.8, generator),
        }
    ]
    rows = {row.name: row for row in measure_observables(torsions)}
    assert list(rows) == [
        "alpha[ALA 2]", "cos_phi[ALA 2]", "sin_phi[ALA 2]", "cos_psi[ALA 2]", "sin_psi[ALA 2]",
    ]  # fmt: skip
    alpha = rows["alpha[ALA 2]"]
    assert alpha.inefficiency == pytest.approx(3.0, rel=0.08)
    assert alpha.effective_samples == pytest.approx(n / 3.0, rel=0.08)
    assert alpha.transitions == pytest.approx(
        n * 2 * 0.4 * 0.3, rel=0.05
    )  # population of alpha 0.4, leaves by 0.3
    assert rows["cos_phi[ALA 2]"].inefficiency == pytest.approx(1.0, rel=0.1)
    assert slowest(list(rows.values())).name in ("alpha[ALA 2]", "cos_psi[ALA 2]", "sin_psi[ALA 2]")


def test_an_indicator_that_never_changes_has_no_ess_and_is_the_slowest() -> None:
    n = 500
    torsions = [{"label": "ALA 2", "phi": np.random.default_rng(0).normal(size=n), "psi": np.full(n, 150.0)}]
    rows = measure_observables(torsions)
    assert rows[0].effective_samples is None and rows[0].transitions == 0
    assert f"{LEAST_TRANSITIONS} are needed" in rows[0].reason
    assert slowest(rows).name == "alpha[ALA 2]"


def test_a_drift_has_too_few_effective_samples() -> None:
    phi = np.linspace(-90.0, -60.0, 400)
    psi = two_state_psi(400, 0.5, 0.5, np.random.default_rng(2))
    rows = {row.name: row for row in measure_observables([{"label": "A 1", "phi": phi, "psi": psi}])}
    assert rows["cos_phi[A 1]"].effective_samples is None and "run longer" in rows["cos_phi[A 1]"].reason
    assert rows["alpha[A 1]"].effective_samples is not None


def test_the_fewest_effective_samples_count() -> None:
    rows = [ObservableSamples("a", 100, 2.0, 50.0), ObservableSamples("b", 100, 5.0, 20.0)]
    assert slowest(rows).name == "b"
