"""Histograms on the reference's range against numpy and scipy, and what happens outside it."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.estimators.distributions import js_distance, torsion_histogram_2d
from openmm_unisim.evaluation.estimators.histograms import (
    Grid,
    checked_mode,
    reference_columns,
    reference_grid,
    torus_grid,
)

MAXIMUM = np.sqrt(np.log(2.0))


def column(values):
    return np.asarray(values)[:, None]


def paper_js(reference, model):
    """The published definition in numpy and scipy alone."""
    edges = np.linspace(reference.min(), reference.max(), 50)
    densities = [np.histogram(values, edges, density=True)[0] + 1e-6 for values in (reference, model)]
    return jensenshannon(*densities)


def paper_js_2d(reference, model):
    edges = [np.linspace(reference[:, k].min(), reference[:, k].max(), 50) for k in (0, 1)]
    densities = [
        np.histogram2d(*values.T, bins=edges, density=True)[0].ravel() + 1e-6 for values in (reference, model)
    ]
    return jensenshannon(*densities)


def grid_js(reference, model, mode="paper"):
    grid = reference_grid(reference, mode)
    return grid.distance(grid.cells(model), grid.cells(reference))


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_paper_histogram_is_numpys_and_scipys(shift):
    generator = np.random.default_rng(0)
    reference, model = generator.normal(size=3000), generator.normal(shift, 1.2, size=1000)
    assert grid_js(column(reference), column(model)) == pytest.approx(paper_js(reference, model), abs=1e-12)


def test_paper_histogram_in_two_dimensions():
    generator = np.random.default_rng(1)
    reference, model = generator.normal(size=(3000, 2)), generator.normal(0.2, 1.1, size=(1000, 2))
    assert grid_js(reference, model) == pytest.approx(paper_js_2d(reference, model), abs=1e-12)


def test_paper_has_49_bins_closed_on_the_right():
    grid = reference_grid(column(np.linspace(0.0, 49.0, 50)), "paper")
    assert grid.shape == (51,)
    cells = grid.cells(column([-0.1, 0.0, 0.5, 1.0, 48.5, 49.0, 49.1, np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(cells, [0, 1, 1, 2, 49, 49, 50, 50, 50, 0])


def test_two_bins_by_hand():
    # counts (3, 1) and (1, 3): JSD = 3/4 ln(3/2) + 1/4 ln(1/2)
    grid = Grid((np.array([0.0, 1.0, 2.0]),), counts_outside=True)
    first, second = grid.cells(column([0.1, 0.2, 0.3, 1.5])), grid.cells(column([0.1, 1.2, 1.3, 1.5]))
    expected = np.sqrt(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert grid.distance(first, second) == pytest.approx(expected)


def test_gaussians_score_what_integration_gives():
    generator = np.random.default_rng(2)
    reference, model = generator.normal(1.2, 0.05, 200_000), generator.normal(1.25, 0.05, 200_000)
    x = np.linspace(0.9, 1.6, 20_001)
    p, q = norm.pdf(x, 1.2, 0.05), norm.pdf(x, 1.25, 0.05)
    m = (p + q) / 2
    divergence = np.trapezoid(p * np.log(p / m) + q * np.log(q / m), x) / 2
    assert grid_js(column(reference), column(model), "strict") == pytest.approx(
        np.sqrt(divergence), abs=0.003
    )


def test_samples_outside_vanish_in_paper_and_count_in_strict():
    reference = np.linspace(0.0, 1.0, 1000)
    model = np.concatenate([reference[::2], np.full(500, 7.0)])  # half of it has exploded
    paper, strict = reference_grid(column(reference), "paper"), reference_grid(column(reference), "strict")
    scores = [
        grid.distance(grid.cells(column(model)), grid.cells(column(reference))) for grid in (paper, strict)
    ]
    assert scores[0] < 0.02  # the paper's definition doesn't see it
    # half of q in a bin where p is empty: JSD = 1/2 ln(4/3) + 1/4 ln(2/3) + 1/4 ln 2
    expected = 0.5 * np.log(4 / 3) + 0.25 * np.log(2 / 3) + 0.25 * np.log(2.0)
    assert scores[1] == pytest.approx(np.sqrt(expected), abs=0.003)
    assert [grid.outside(grid.cells(column(model))) for grid in (paper, strict)] == [0.5, 0.5]


@pytest.mark.parametrize("mode", ["paper", "strict"])
@pytest.mark.parametrize("value", [50.0, -50.0, np.nan])
def test_a_model_wholly_outside_is_disjoint_not_nan(mode, value):
    reference = np.random.default_rng(3).normal(size=(500, 1))
    assert grid_js(reference, np.full((100, 1), value), mode) == pytest.approx(MAXIMUM, abs=1e-9)


def test_strict_goes_on_beyond_the_reference_by_a_tenth():
    grid = reference_grid(column(np.linspace(0.0, 49.0, 100)), "strict")
    (edges,) = grid.edges
    assert (edges[0], edges[-1], len(edges)) == (pytest.approx(-5.0), pytest.approx(54.0), 60)
    np.testing.assert_allclose(np.diff(edges), 1.0)
    assert grid.outside(grid.cells(column([-4.9, 53.9, 25.0, 60.0]))) == 0.25


@pytest.mark.parametrize("mode", ["paper", "strict"])
def test_sign_of_an_axis_doesn_t_matter(mode):
    generator = np.random.default_rng(4)
    reference, model = generator.normal(size=(2000, 2)), generator.normal(0.3, 1.0, size=(700, 2))
    flip = np.array([-1.0, 1.0])
    assert grid_js(reference * flip, model * flip, mode) == pytest.approx(grid_js(reference, model, mode))


def test_what_never_varies_has_no_grid():
    assert reference_grid(np.ones((10, 1)), "paper") is None
    assert reference_grid(np.stack([np.arange(10.0), np.ones(10)], axis=1), "strict") is None
    assert reference_columns(np.stack([np.arange(10.0), np.ones(10)], axis=1), "strict") is None


def test_columns_are_averaged():
    generator = np.random.default_rng(5)
    reference, model = generator.normal(size=(2000, 3)), generator.normal(0.3, 1.0, size=(700, 3))
    columns = reference_columns(reference, "paper")
    expected = np.mean([paper_js(reference[:, k], model[:, k]) for k in range(3)])
    assert columns.distance(columns.cells(model), columns.cells(reference)) == pytest.approx(expected)


def test_torus_is_that_of_the_torsion_metrics():
    generator = np.random.default_rng(6)
    first, second = generator.uniform(-180.0, 180.0, (2, 400, 2)) * 0.999
    grid = torus_grid()
    expected = js_distance(torsion_histogram_2d(*first.T), torsion_histogram_2d(*second.T))
    assert grid.distance(grid.cells(first), grid.cells(second)) == pytest.approx(expected)


def test_wrong_use_is_named():
    with pytest.raises(ConfigError, match="'loose' is unknown"):
        checked_mode("loose")
    with pytest.raises(ConfigError, match="2 axes"):
        torus_grid().cells(np.zeros((5, 3)))
