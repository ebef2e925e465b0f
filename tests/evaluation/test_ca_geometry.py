"""Alpha-carbon geometry on a chain whose distances can be worked out by hand."""

import mdtraj
import numpy as np
import pytest

from openmm_unisim.evaluation.estimators import ca_geometry as ca


def chain_topology(numbers=(1, 2, 3, 4, 5, 6), chains=1):
    """Residues with N, CA and C; the numbers are split evenly over the chains."""
    topology = mdtraj.Topology()
    for part in np.split(np.array(numbers), chains):
        chain = topology.add_chain()
        for number in part:
            residue = topology.add_residue("ALA", chain, resSeq=int(number))
            for name, element in (("N", "nitrogen"), ("CA", "carbon"), ("C", "carbon")):
                topology.add_atom(name, getattr(mdtraj.element, element), residue)
    return topology


def straight(n=6, step=0.38):
    """One frame, alpha carbons `step` nm apart on a line, other atoms far off; (1, 3 n, 3)."""
    frame = np.full((1, 3 * n, 3), 99.0)
    frame[0, 1::3] = np.outer(np.arange(n) * step, [1.0, 0.0, 0.0])
    return frame


def test_pairs_of_a_chain_of_six():
    carbons = ca.alpha_carbon_pairs(chain_topology())
    assert carbons.n_ca == 6 and len(carbons.pairs) == 15
    np.testing.assert_array_equal(carbons.atoms, [1, 4, 7, 10, 13, 16])
    assert [tuple(p) for p in carbons.pairs[carbons.distant]] == [(0, 4), (0, 5), (1, 5)]
    assert [tuple(p) for p in carbons.pairs[carbons.sequential]] == [(i, i + 1) for i in range(5)]


def test_sequential_stops_at_chain_ends_and_gaps_in_numbering():
    two = ca.alpha_carbon_pairs(chain_topology(chains=2))
    assert [tuple(p) for p in two.pairs[two.sequential]] == [(0, 1), (1, 2), (3, 4), (4, 5)]
    gap = ca.alpha_carbon_pairs(chain_topology((1, 2, 3, 9, 10, 11)))
    assert [tuple(p) for p in gap.pairs[gap.sequential]] == [(0, 1), (1, 2), (3, 4), (4, 5)]
    inserted = ca.alpha_carbon_pairs(chain_topology((52, 52, 53)))
    assert inserted.sequential.sum() == 2


def test_calcium_is_no_alpha_carbon():
    topology = chain_topology((1, 2))
    topology.add_atom("CA", mdtraj.element.calcium, topology.add_residue("CA", topology.add_chain()))
    assert ca.alpha_carbon_pairs(topology).n_ca == 2


def test_distances_and_radius_of_gyration_on_a_line():
    carbons = ca.alpha_carbon_pairs(chain_topology())
    distances = ca.ca_distances(straight(), carbons)
    np.testing.assert_allclose(distances[0], 0.38 * (carbons.pairs[:, 1] - carbons.pairs[:, 0]))
    # positions (0 ... 5) * 0.38 have variance 35/12 * 0.38^2
    assert ca.radius_of_gyration(straight(), carbons)[0] == pytest.approx(0.38 * np.sqrt(35 / 12))


def test_radius_of_gyration_is_mdtrajs():
    topology, generator = chain_topology(), np.random.default_rng(0)
    positions = generator.normal(size=(4, 18, 3)).astype(np.float32)
    chain = mdtraj.Trajectory(positions, topology).atom_slice(topology.select("name CA"))
    expected = mdtraj.compute_rg(chain)
    np.testing.assert_allclose(
        ca.radius_of_gyration(positions, ca.alpha_carbon_pairs(topology)), expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    "step, valid", [(0.38, True), (0.418, True), (0.42, False), (0.29, False), (0.30001, True)]
)
def test_validity_at_its_limits(step, valid):
    carbons = ca.alpha_carbon_pairs(chain_topology())
    assert ca.chain_is_valid(ca.ca_distances(straight(step=step), carbons), carbons).tolist() == [valid]


def test_clash_of_distant_residues_and_nan_are_faults():
    carbons = ca.alpha_carbon_pairs(chain_topology())
    frames = np.repeat(straight(), 3, axis=0)
    frames[1, 16] = frames[1, 4] + [0.0, 0.2, 0.0]  # residue 6 beside residue 2
    frames[2] = np.nan
    assert ca.chain_is_valid(ca.ca_distances(frames, carbons), carbons).tolist() == [True, False, False]


def test_a_chain_break_is_no_broken_bond():
    topology = chain_topology(chains=2)
    frame = straight()
    frame[0, 10::3, 0] += 3.0  # the second chain is elsewhere
    for carbons, valid in (
        (ca.alpha_carbon_pairs(topology), True),
        (ca.alpha_carbon_pairs(chain_topology()), False),
    ):
        assert ca.chain_is_valid(ca.ca_distances(frame, carbons), carbons).tolist() == [valid]


def test_contact_error_by_hand():
    # three pairs; rates (1, 1/2, 0) and (1, 1, 0.25): sqrt((0 + 1/4 + 1/16) / 3)
    first = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=bool)
    second = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 0]], dtype=bool)
    assert ca.contact_error(first, second) == pytest.approx(np.sqrt(5 / 48))


def test_contact_error_is_the_published_sum():
    carbons, generator = ca.alpha_carbon_pairs(chain_topology()), np.random.default_rng(1)
    first, second = generator.random((2, 40, 15)) < 0.5
    n = carbons.n_ca
    upper = np.triu(ca.contact_matrix(first, carbons) - ca.contact_matrix(second, carbons), 1)
    assert ca.contact_error(first, second) == pytest.approx(np.sqrt(2 / (n * (n - 1)) * np.sum(upper**2)))


def test_contact_matrix_of_a_line():
    carbons = ca.alpha_carbon_pairs(chain_topology())
    matrix = ca.contact_matrix(ca.contacts(ca.ca_distances(straight(), carbons)), carbons)
    i, j = np.indices((6, 6))
    np.testing.assert_array_equal(matrix, (np.abs(i - j) <= 2).astype(float))  # 0.76 nm is in, 1.14 nm is out
