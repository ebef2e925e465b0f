"""score_torsions: a perfect run, a run with wrong kinetics, runs with gaps, and what is not available."""

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.reference import shipped_reference
from openmm_unisim.evaluation.run.score import score_ala2, score_torsions


@pytest.fixture(scope="module")
def md():
    residue = shipped_reference("ACE-ALA-NME", "obc2").torsions[0]
    return residue.phi, residue.psi


def test_md_itself_scores_as_md(md):
    phi, psi = md
    score = score_ala2(phi[:4000:2], psi[:4000:2], phi, psi, generator=np.random.default_rng(0))
    floor = score["js_floor"]["phi_psi"]
    assert score["js"]["phi_psi"] < floor["mean"] + 4 * floor["std"]
    assert floor["mean"] == pytest.approx(0.135, abs=0.01)
    for basin in ("alpha", "beta"):
        error = np.hypot(
            score["model"][f"stay_{basin}"]["standard_error"],
            score["reference"][f"stay_{basin}"]["standard_error"],
        )
        assert abs(score["stay_difference"][basin]) < 4 * error
    assert score["reference"]["stay_alpha"]["value"] == pytest.approx(0.671, abs=0.001)
    assert score["reference"]["stay_beta"]["value"] == pytest.approx(0.778, abs=0.001)
    assert score["relaxation_time_ps"]["reference"] == pytest.approx(25.0, abs=0.1)
    assert score["n_frames"] == 2000 and score["nan_frames"] == 0


def test_shuffled_frames_keep_the_distribution_and_lose_the_kinetics(md):
    phi, psi = md
    order = np.random.default_rng(1).permutation(4000)
    score = score_ala2(phi[order], psi[order], phi, psi, generator=np.random.default_rng(0))
    assert score["js"]["phi_psi"] < 1.2 * score["js_floor"]["phi_psi"]["mean"]
    assert score["stay_difference"]["alpha"] < -0.2


def test_copies_and_gaps(md):
    phi, psi = (angle[:4000:2].reshape(4, 500).copy() for angle in md)
    phi[0, 5] = psi[0, 5] = np.nan
    score = score_ala2(phi, psi, *md, generator=np.random.default_rng(0))
    assert score["n_frames"] == 2000 and score["nan_frames"] == 1
    windows = score["model"]["stay_alpha"]["windows"] + score["model"]["stay_beta"]["windows"]
    assert windows == 4 * 499 - 2


def test_what_cannot_be_computed_is_none(md):
    phi, psi = (angle[:100] for angle in md)
    alone = score_torsions(phi, psi, None, None, lag_time_ps=20.0, generator=np.random.default_rng(0))
    assert alone["js"] is None and alone["js_floor"] is None and alone["reference"] is None
    assert alone["stay_difference"] == {"alpha": None, "beta": None}
    unknown_lag = score_torsions(phi, psi, *md, lag_time_ps=20.0, generator=np.random.default_rng(0))
    assert unknown_lag["js"] is not None and unknown_lag["reference"]["stay_alpha"] is None
    single = score_torsions(
        phi[:1], psi[:1], None, None, lag_time_ps=20.0, generator=np.random.default_rng(0)
    )
    assert single["model"]["stay_alpha"] is None and single["relaxation_time_ps"]["model"] is None


def test_bad_input_is_refused(md):
    with pytest.raises(ConfigError, match="differ in shape"):
        score_ala2([1.0], [1.0, 2.0], *md, generator=np.random.default_rng(0))
    with pytest.raises(ConfigError, match="every frame"):
        score_ala2([np.nan], [np.nan], *md, generator=np.random.default_rng(0))
