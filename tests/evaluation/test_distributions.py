"""Histograms and Jensen-Shannon distances against hand-computed values; the floor against held-out MD."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmm_unisim.errors import ConfigError, NonFiniteError
from openmm_unisim.evaluation.estimators.distributions import (
    MAXIMUM_JS_DISTANCE,
    js_distance,
    js_divergence,
    same_size_floor,
    torsion_histogram,
    torsion_histogram_2d,
    torsion_js_distances,
    wrap_degrees,
)
from openmm_unisim.evaluation.reference import shipped_reference


@pytest.fixture(scope="module")
def md():
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    return reference.torsions[0].phi, reference.torsions[0].psi


def test_wrapping_puts_180_at_minus_180():
    np.testing.assert_allclose(wrap_degrees([180.0, -180.0, 540.0, 190.0, 0.0]), [-180, -180, -180, -170, 0])


@given(st.floats(-1e6, 1e6))
def test_wrapped_angles_are_in_range(angle):
    assert -180.0 <= wrap_degrees(angle) < 180.0


def test_bins_of_the_torus():
    counts = torsion_histogram([-180.0, 180.0, -174.0, 179.999, -1e-14], bins=60)
    assert counts[0] == 2  # both ends of the circle are one point
    assert counts[1] == 1  # a lower edge belongs to its bin
    assert counts[59] == 1
    assert counts.sum() == 5


def test_joint_histogram_has_phi_first():
    counts = torsion_histogram_2d([-175.0], [175.0], bins=30)
    assert counts[0, 29] == 1 and counts.sum() == 1


def test_js_distance_of_equal_and_disjoint_histograms():
    assert js_distance([1, 2, 3], [10, 20, 30]) == pytest.approx(0.0, abs=1e-8)
    assert js_distance([1, 0], [0, 5]) == pytest.approx(math.sqrt(math.log(2)))
    assert pytest.approx(0.8325546) == MAXIMUM_JS_DISTANCE


def test_js_divergence_by_hand():
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): JSD = 1/2 ln(4/3) + 1/2 (1/2 ln(2/3) + 1/2 ln 2)
    by_hand = 0.5 * math.log(4 / 3) + 0.5 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert js_divergence([1, 0], [1, 1]) == pytest.approx(by_hand)
    assert js_distance([1, 0], [1, 1]) == pytest.approx(math.sqrt(by_hand))


@given(
    st.lists(st.integers(0, 50), min_size=4, max_size=4), st.lists(st.integers(0, 50), min_size=4, max_size=4)
)
def test_js_distance_is_symmetric_and_bounded(first, second):
    if sum(first) == 0 or sum(second) == 0:
        return
    distance = js_distance(first, second)
    assert distance == pytest.approx(js_distance(second, first))
    assert 0.0 <= distance <= MAXIMUM_JS_DISTANCE + 1e-12


def test_bad_histograms_are_refused():
    with pytest.raises(ConfigError, match="empty"):
        js_distance([0, 0], [1, 1])
    with pytest.raises(ConfigError, match="can't be compared"):
        js_distance([1, 1], [1, 1, 1])
    with pytest.raises(NonFiniteError, match="1 of 2 torsions"):
        torsion_histogram([0.0, math.nan])
    with pytest.raises(ConfigError, match="one psi"):
        torsion_histogram_2d([1.0, 2.0], [1.0])


def test_two_halves_of_the_reference_score_at_the_floor(md):
    phi, psi = md
    half = len(phi) // 2
    distances = torsion_js_distances(phi[:half], psi[:half], phi[half:], psi[half:])
    floor = same_size_floor(phi[half:], psi[half:], half, np.random.default_rng(0))
    for key in ("phi", "psi", "phi_psi"):
        assert distances[key] < floor[key].mean + 4 * floor[key].std


def test_a_shifted_copy_scores_far_above_the_floor(md):
    phi, psi = md
    floor = same_size_floor(phi, psi, 2000, np.random.default_rng(0), stride=2)
    distances = torsion_js_distances(phi[:4000:2] + 30.0, psi[:4000:2], phi, psi)
    assert distances["phi"] > floor["phi"].mean + 20 * floor["phi"].std
    assert distances["phi_psi"] > floor["phi_psi"].mean + 20 * floor["phi_psi"].std
    assert distances["psi"] < floor["psi"].mean + 4 * floor["psi"].std


def test_floor_agrees_with_held_out_blocks(md):
    phi, psi = md
    held_out = []
    for start in range(0, 24001, 4000):
        inside = np.zeros(len(phi), dtype=bool)
        inside[start : start + 4000] = True
        block = np.flatnonzero(inside)[::2]
        held_out.append(torsion_js_distances(phi[block], psi[block], phi[~inside], psi[~inside])["phi_psi"])
    floor = same_size_floor(phi, psi, 2000, np.random.default_rng(1), stride=2)["phi_psi"]
    assert floor.mean == pytest.approx(np.mean(held_out), rel=0.05)
    assert floor.as_dict()["n_frames"] == 2000


def test_floor_of_a_known_law():
    # Two bins, n against a far longer reference: JSD ~ chi^2_1 / (8 n), so E[d] = sqrt(2/pi) / sqrt(8 n).
    generator = np.random.default_rng(2)
    psi = np.where(generator.random(50_000) < 0.5, -3.0, 3.0)
    phi = np.full_like(psi, 3.0)
    floor = same_size_floor(phi, psi, 500, generator, block_frames=1, repeats=300)
    assert floor["psi"].mean == pytest.approx(math.sqrt(2 / math.pi / (8 * 500)), rel=0.12)
    assert floor["phi"].mean == pytest.approx(0.0, abs=1e-8)


def test_floor_is_repeatable_and_checks_its_arguments(md):
    first = same_size_floor(*md, 200, np.random.default_rng(5), repeats=3)
    assert first == same_size_floor(*md, 200, np.random.default_rng(5), repeats=3)
    with pytest.raises(ConfigError, match="repeats"):
        same_size_floor(*md, 200, np.random.default_rng(5), repeats=1)
