"""Populations, distances and biases of runs pooled over seeds."""

import math

import numpy as np
import pytest

from openmm_unisim.benchmark.sample_quality import PooledSide, bias_figures, distance_figures
from openmm_unisim.benchmark.side_record import make_record
from openmm_unisim.evaluation.estimators.distributions import torsion_js_distances
from openmm_unisim.evaluation.estimators.features import ResidueTorsions
from openmm_unisim.evaluation.reference import TorsionReference
from tests.benchmark.chains import sample


def side(name: str, *seeds: int, alpha: float = 0.4) -> PooledSide:
    return PooledSide([make_record(name, seed, sample(3000, 0.5, seed, alpha=alpha)) for seed in seeds])


def trajectory(name: str, n_frames: int, alpha: float) -> TorsionReference:
    torsions = sample(n_frames, 0.5, 77, alpha=alpha)["torsions"][0]
    return TorsionReference(name, [ResidueTorsions("ALA 2", torsions["phi"], torsions["psi"])], 10.0)


def test_pooled_population_and_its_error() -> None:
    """Three runs of 3000 frames with g = 3: standard error sqrt(0.24 / 3000) = 0.0089."""
    value, error = side("md", 1, 2, 3).alpha(0)
    assert value == pytest.approx(0.4, abs=0.03)
    assert 0.8 * 0.0089 < error < 3 * 0.0089  # or the scatter over seeds, if that is larger
    one = side("md", 1).runs[0]["residues"][0]["alpha"]
    assert side("md", 1).alpha(0) == pytest.approx((one["value"], one["standard_error"]))


def test_distances_of_pooled_runs_are_those_of_all_frames() -> None:
    reference, unisim = trajectory("judge", 4000, 0.4), side("unisim", 1, 2)
    frames = [sample(3000, 0.5, seed)["torsions"][0] for seed in (1, 2)]
    phi, psi = (np.concatenate([f[key] for f in frames]) for key in ("phi", "psi"))
    expected = torsion_js_distances(phi, psi, reference.torsions[0].phi, reference.torsions[0].psi)
    row = distance_figures(unisim, side("md", 5, 6), reference, seed=1)[0]
    for kind, value in expected.items():
        assert row[kind]["unisim"] == pytest.approx(value)
        assert row[kind]["floor"] > 0 and row[kind]["md"] > 0 and len(row[kind]["unisim_by_seed"]) == 2


def test_bias_against_a_reference_and_with_a_long_run() -> None:
    unisim, md = side("unisim", 1, 2, alpha=0.3), side("md", 5, 6)
    row = bias_figures(unisim, md, trajectory("judge", 40_000, 0.4))[0]
    assert row["reference"] == pytest.approx(0.4, abs=0.02) and row["unisim"] == pytest.approx(0.3, abs=0.04)
    assert row["crossover"]["bias"] == pytest.approx(row["unisim"] - row["reference"])
    assert row["crossover"]["bias_error"] == pytest.approx(
        math.hypot(row["unisim_error"], row["reference_error"])
    )
    long = bias_figures(unisim, md, trajectory("judge", 40_000, 0.4), trajectory("long", 40_000, 0.3))[0]
    assert long["unisim_source"] == "long" and long["unisim_error"] < 0.5 * row["unisim_error"]
    assert long["crossover"]["variance_s"] == row["crossover"]["variance_s"]
