"""TICA against a generalised eigenvalue problem written out, and its features against mdtraj."""

import mdtraj
import numpy as np
import pytest
from scipy.linalg import eigh

from openmm_unisim.errors import DataError
from openmm_unisim.evaluation.estimators import tica
from openmm_unisim.evaluation.trajectories import load_topology
from openmm_unisim.system import load_molecule

from .runs import PDB, dipeptide


def triatomic():
    """Three carbons and a hydrogen in one residue without a backbone."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for index in range(3):
        topology.add_atom(f"C{index}", mdtraj.element.carbon, residue)
    topology.add_atom("H", mdtraj.element.hydrogen, residue)
    return topology


def wandering(n_frames, memory=(0.98, 0.8, 0.3), seed=0):
    """Three carbons whose side lengths are independent AR(1) processes about 1 nm; (n_frames, 4, 3)."""
    generator = np.random.default_rng(seed)
    sides = np.ones((n_frames, 3))
    for index in range(1, n_frames):
        sides[index] = 1.0 + memory * (sides[index - 1] - 1.0) + generator.normal(0.0, 0.02, 3)
    a, b, c = sides.T
    positions = np.zeros((n_frames, 4, 3))
    positions[:, 1, 0] = a
    positions[:, 2, 0] = (a**2 + b**2 - c**2) / (2 * a)
    positions[:, 2, 1] = np.sqrt(b**2 - positions[:, 2, 0] ** 2)
    positions[:, 3] = generator.normal(size=(n_frames, 3))  # the hydrogen is nowhere to be seen
    return positions.astype(np.float32)


def test_small_molecules_are_seen_by_their_heavy_distances():
    features = tica.tica_features(triatomic())
    assert features.n_features == 3
    positions = wandering(50)
    expected = np.stack(
        [np.linalg.norm(positions[:, i] - positions[:, j], axis=-1) for i, j in ((0, 1), (0, 2), (1, 2))],
        axis=1,
    )
    np.testing.assert_allclose(features(positions), expected, atol=1e-6)


def test_dipeptide_features_are_distances_of_c_n_s_and_torsions():
    topology, _ = load_topology(PDB)
    features = tica.tica_features(topology)
    assert (
        features.n_features == 28 + 2 * 2
    )  # 8 atoms of C and N; phi and psi (mdtraj knows no omega of caps)
    phi, psi = np.array([-60.0, 50.0]), np.array([-45.0, 150.0])
    values = features(dipeptide(phi, psi))
    np.testing.assert_allclose(values[:, 28], np.sin(np.radians(phi)), atol=1e-3)
    np.testing.assert_allclose(values[:, 31], np.cos(np.radians(psi)), atol=1e-3)
    elements = [atom.element.symbol for atom in topology.atoms]
    assert {elements[i] for i in features.pairs.ravel()} == {"C", "N"}


def test_proteins_are_seen_by_their_torsions_only():
    topology = mdtraj.Topology.from_openmm(load_molecule("ACE-GGGGGGGGGGG-NME").topology)
    features = tica.tica_features(topology)
    assert tica.is_protein(topology) and len(features.pairs) == 0 and len(features.torsions) == 11 + 11 + 10


@pytest.mark.parametrize("block", [10**7, 900])
def test_components_solve_the_generalised_eigenvalue_problem(block, monkeypatch):
    monkeypatch.setattr(tica, "_BLOCK_ELEMENTS", block)  # one block, or many
    positions, lag = wandering(4000), 5
    fitted = tica.fit_tica(positions, tica.tica_features(triatomic()), lag)
    chi = tica.tica_features(triatomic())(positions)
    x, y = chi[:-lag], chi[lag:]
    mean = (x.mean(axis=0) + y.mean(axis=0)) / 2
    x, y = x - mean, y - mean
    c_0 = (x.T @ x + y.T @ y) / (2 * len(x))
    c_lag = (x.T @ y + y.T @ x) / (2 * len(x))
    values, vectors = eigh(c_lag, c_0)
    np.testing.assert_allclose(fitted.eigenvalues, values[::-1], atol=1e-8)
    expected = (chi - mean) @ (vectors[:, ::-1] * values[::-1])
    np.testing.assert_allclose(np.abs(fitted.project(positions)), np.abs(expected), atol=1e-6)


def test_slowest_side_is_found():
    fitted = tica.fit_tica(wandering(20_000), tica.tica_features(triatomic()), 10)
    assert fitted.eigenvalues[0] == pytest.approx(0.98**10, abs=0.03)
    assert np.argmax(np.abs(fitted.components[:, 0])) == 0  # the distance of atoms 0 and 1


def test_koopman_weights_are_one_at_equilibrium_and_are_deeptimes():
    from deeptime.covariance import KoopmanWeightingEstimator
    from deeptime.decomposition import TICA

    positions, features = wandering(4000, seed=1), tica.tica_features(triatomic())
    weighted = tica.fit_tica(positions, features, 5, koopman=True)
    assert weighted.koopman
    chi = features(positions)
    weights = KoopmanWeightingEstimator(lagtime=5).fit(chi).fetch_model()
    direct = TICA(lagtime=5, dim=4).fit(chi, weights=weights).fetch_model()
    np.testing.assert_allclose(np.abs(weighted.project(positions)), np.abs(direct.transform(chi)), atol=1e-6)
    np.testing.assert_allclose(
        weighted.eigenvalues, tica.fit_tica(positions, features, 5).eigenvalues, atol=0.05
    )


def test_negative_koopman_weights_are_left_out_and_said():
    drifting = wandering(400)
    drifting[:, 1, 0] += np.linspace(0.0, 5.0, 400)  # nowhere near equilibrium
    assert not tica.fit_tica(drifting, tica.tica_features(triatomic()), 5, koopman=True).koopman


def test_rank_deficient_features_give_fewer_components():
    positions = wandering(1000)
    positions[:, :3] = positions[:1, :3]
    positions[:, 1, 0] = wandering(1000, seed=2)[:, 1, 0]
    positions[:, 2] = [0.5, 0.8, 0.0]
    fitted = tica.fit_tica(positions, tica.tica_features(triatomic()), 5)
    assert 1 <= fitted.components.shape[1] <= 2


@pytest.mark.parametrize(
    "frames, lag, message",
    [
        (wandering(100), 50, "needs 500 reference frames to fit on, not 100"),
        (wandering(100)[:1].repeat(100, 0), 2, "varies"),
    ],
)
def test_what_cannot_be_fitted_is_named(frames, lag, message):
    with pytest.raises(DataError, match=message):
        tica.fit_tica(frames, tica.tica_features(triatomic()), lag)


def test_one_atom_has_nothing_to_fit():
    topology = mdtraj.Topology()
    topology.add_atom("AR", mdtraj.element.argon, topology.add_residue("AR", topology.add_chain()))
    with pytest.raises(DataError, match="no torsion and no pair"):
        tica.fit_tica(np.zeros((100, 1, 3)), tica.tica_features(topology), 1)


def test_exploded_frames_project_to_something_not_finite_without_a_crash():
    positions = wandering(500)
    fitted = tica.fit_tica(positions, tica.tica_features(triatomic()), 5)
    broken = positions[:3].copy()
    broken[1] = np.nan
    broken[2] *= 1e30
    projected = fitted.project(broken)
    assert np.isfinite(projected[0]).all() and not np.isfinite(projected[1:]).any()
