"""XTC's rounding is seen, and the other trajectory is rounded alike."""

import numpy as np

from openmm_unisim.evaluation.metrics.coordinate_grid import XTC_GRID, is_rounded, rounded_alike
from openmm_unisim.evaluation.trajectories import load_topology
from tests.evaluation.pairs_of_runs import pair
from tests.evaluation.runs import PDB

STRUCTURE = load_topology(PDB)[1]


def shaken(seed):
    noise = np.random.default_rng(seed).normal(0.0, 0.002, (60, *STRUCTURE.shape))
    return (STRUCTURE + noise + 7.0).astype(np.float32)


def test_a_grid_is_told_from_noise():
    assert is_rounded(np.round(shaken(0), 3)) and not is_rounded(shaken(0))
    assert not is_rounded(np.round(shaken(0), 4))


def test_both_are_rounded_if_one_is():
    exact, rounded = shaken(0), np.round(shaken(1), 3)
    for model, reference in ((exact, rounded), (rounded, exact)):
        found, grid = rounded_alike(pair(model, reference))
        assert grid == XTC_GRID
        assert (found.model == np.round(model, 3)).all() and (found.reference == np.round(reference, 3)).all()
        assert (found.model_series == model).all()
    comparison = pair(exact, exact)
    assert rounded_alike(comparison) == (comparison, None)
