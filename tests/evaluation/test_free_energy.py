"""Free energies of basins against logarithms of hand-counted populations."""

import math

import numpy as np
import pytest

from openmm_unisim.evaluation.metrics.basins import shipped_basins
from openmm_unisim.evaluation.metrics.free_energy import free_energy_metrics
from tests.evaluation.pairs_of_runs import (
    ALPHA,
    PII,
    by_key,
    of_states,
    pair,
    shipped_torsions,
    two_state_chain,
)

C5, ALPHA_L = (-150.0, 150.0), (60.0, 30.0)
PLACES = (ALPHA, PII, C5, ALPHA_L)


def run(*counts):
    return of_states(np.repeat(np.arange(4), counts), PLACES)


def test_hand_computed_free_energies_and_an_uncertain_basin_out_of_the_summary():
    comparison = pair(run(10, 60, 20, 10), run(25, 50, 24, 1), block_ps=10.0)
    found = by_key(free_energy_metrics(comparison, shipped_basins("ACE-ALA-NME")))
    # of 90 and 99 frames in certain basins
    model = {"alphaR": 10 / 90, "PII": 60 / 90, "C5": 20 / 90, "alphaL": 10 / 90}
    reference = {"alphaR": 25 / 99, "PII": 50 / 99, "C5": 24 / 99, "alphaL": 1 / 99}
    errors = {}
    for name in model:
        assert found[f"free_energy[{name}]"].value == pytest.approx(-math.log(model[name]))
        assert found[f"free_energy[{name}]"].reference == pytest.approx(-math.log(reference[name]))
        assert found[f"free_energy[{name}]"].unit == "kT"
        errors[name] = math.log(reference[name] / model[name])
        assert found[f"free_energy_error[{name}]"].value == pytest.approx(errors[name])
        assert found[f"free_energy_error[{name}]"].details["uncertain"] == (name == "alphaL")
    certain = [abs(errors[name]) for name in ("alphaR", "PII", "C5")]
    assert found["free_energy_error_mean"].value == pytest.approx(np.mean(certain))
    assert found["free_energy_error_max"].value == pytest.approx(max(certain))
    assert abs(errors["alphaL"]) > max(certain)
    assert found["free_energy_error_mean"].better == "lower"
    assert found["free_energy[PII]"].details["population"] == 0.6
    # independent frames: the error of ln p is sqrt((1-p)/(p n))
    assert found["free_energy[PII]"].standard_error == pytest.approx(math.sqrt(0.5 / 90), rel=0.6)


def test_an_unvisited_basin_is_not_available_and_named():
    found = by_key(
        free_energy_metrics(pair(run(40, 40, 0, 0), run(40, 30, 10, 0)), shipped_basins("ACE-ALA-NME"))
    )
    assert found["free_energy[C5]"].value is None
    assert "basin C5 is never visited by the model" == found["free_energy_error[C5]"].reason
    assert found["free_energy_error_max"].value is None and "C5" in found["free_energy_error_max"].reason
    assert (
        found["free_energy[alphaL]"].reason == "basin alphaL is never visited by the model and the reference"
    )
    assert "alphaL" not in found["free_energy_error_max"].reason  # uncertain


def test_without_a_file_alpha_and_beta_of_each_residue():
    generator = np.random.default_rng(0)
    chains = [of_states(two_state_chain(3000, 0.1, 0.2, generator)) for _ in range(2)]
    found = by_key(free_energy_metrics(pair(*chains, repeats=20), None))
    metric = found["free_energy[alpha, ALA 2]"]
    assert abs(metric.value + math.log(2 / 3)) < 4 * metric.standard_error
    assert set(found) == {
        "free_energy_error_mean",
        "free_energy_error_max",
        *(f"free_energy{kind}[{name}, ALA 2]" for kind in ("", "_error") for name in ("alpha", "beta")),
    }


def test_a_stay_in_the_uncertain_basin_says_nothing_about_the_others():
    found = by_key(
        free_energy_metrics(pair(run(20, 40, 20, 80), run(25, 50, 25, 0)), shipped_basins("ACE-ALA-NME"))
    )
    assert found["free_energy_error_max"].value == pytest.approx(0.0, abs=1e-12)
    assert found["free_energy_error[alphaL]"].reason == "basin alphaL is never visited by the reference"
    own = found["free_energy[alphaL]"]
    assert own.value == pytest.approx(0.0) and own.reference is None and own.reference_error is None


def test_nan_frames_count_in_no_basin():
    states = np.array([0, 1, -1, 1] * 40)
    found = by_key(free_energy_metrics(pair(of_states(states), of_states(np.array([0, 1] * 60))), None))
    assert found["free_energy[alpha, ALA 2]"].value == pytest.approx(math.log(3))


def test_md_halves_score_at_the_floor_and_a_shifted_copy_does_not():
    first, last = shipped_torsions(0, 10000), shipped_torsions(10000, 20000)
    basins = shipped_basins("ACE-ALA-NME")
    halves, shifted = (
        by_key(free_energy_metrics(pair(run, first), basins))["free_energy_error_mean"]
        for run in (last, last + np.array([0.0, 60.0]))
    )
    assert halves.value < halves.floor + 4 * halves.floor_std
    assert shifted.value > shifted.floor + 10 * shifted.floor_std


def test_one_certain_basin_has_no_free_energy_error_to_speak_of():
    """Its free energy is zero by definition on both sides: agreement that says nothing."""
    shipped = shipped_basins("ACE-ALA-NME")
    doubtful = [basin.model_copy(update={"uncertain": True}) for basin in shipped.basins]
    basins = shipped.model_copy(update={"basins": doubtful})
    found = by_key(free_energy_metrics(pair(run(10, 60, 20, 10), run(25, 50, 24, 1), block_ps=10.0), basins))
    assert found["free_energy_error_mean"].value is None
    assert "fewer than two" in found["free_energy_error_mean"].reason
