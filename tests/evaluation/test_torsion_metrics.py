"""JS distances per residue against hand-computed values and MD halves."""

import mdtraj
import numpy as np
import pytest

from openmm_unisim.evaluation.comparison import compare
from openmm_unisim.evaluation.metrics.torsion_metrics import torsion_metrics
from openmm_unisim.evaluation.trajectories import LoadedTrajectory
from openmm_unisim.system import build_capped_peptide
from tests.evaluation.pairs_of_runs import ALPHA, PII, by_key, pair, shipped_torsions


def js_by_hand(first, last):
    """Independent: with scipy."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(first.ravel(), last.ravel()))  # square root of the divergence, nats


def test_hand_computed_distances():
    model = np.array([ALPHA] * 75 + [PII] * 25)
    reference = np.array([ALPHA] * 50 + [PII] * 50)
    found = by_key(torsion_metrics(pair(model, reference)))
    expected = js_by_hand(np.array([0.75, 0.25]), np.array([0.5, 0.5]))
    assert found["js_psi[ALA 2]"].value == pytest.approx(expected, abs=1e-12)
    assert found["js_phi_psi[ALA 2]"].value == pytest.approx(expected, abs=1e-12)
    assert found["js_phi[ALA 2]"].value == pytest.approx(0.0, abs=1e-6)
    assert found["js_phi_psi_mean"].value == found["js_phi_psi[ALA 2]"].value


def test_md_halves_score_at_the_floor_and_a_shifted_copy_does_not():
    first, last = shipped_torsions(0, 10000), shipped_torsions(10000, 20000)
    halves = by_key(torsion_metrics(pair(last, first)))
    shifted = by_key(torsion_metrics(pair(last + np.array([0.0, 20.0]), first)))
    for key, metric in halves.items():
        assert metric.value < metric.floor + 5 * metric.floor_std, key
        assert metric.standard_error > 0 and metric.better == "lower"
    for which in ("psi", "phi_psi"):
        metric = shifted[f"js_{which}[ALA 2]"]
        assert metric.value > metric.floor + 20 * metric.floor_std
    assert shifted["js_phi[ALA 2]"].value == pytest.approx(halves["js_phi[ALA 2]"].value, abs=1e-3)


def test_the_mean_is_over_residues_and_against_an_independent_histogram():
    molecule = build_capped_peptide("GA")
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    generator = np.random.default_rng(0)
    noise = [generator.normal(0.0, scale, (200, len(molecule.positions), 3)) for scale in (0.005, 0.02)]
    runs = [LoadedTrajectory((molecule.positions + one).astype(np.float32), topology, None) for one in noise]
    found = by_key(
        torsion_metrics(compare(runs[0], runs[1], topology, molecule.positions.astype(np.float32), repeats=2))
    )
    labels = ["GLY 2", "ALA 3"]
    for which in ("phi", "psi", "phi_psi"):
        values = [found[f"js_{which}[{label}]"].value for label in labels]
        assert found[f"js_{which}_mean"].value == pytest.approx(np.mean(values))
        assert values[0] != values[1]
    psi = [np.degrees(mdtraj.compute_psi(mdtraj.Trajectory(run.positions, topology))[1]) for run in runs]
    edges = np.linspace(-180, 180, 61)
    for residue, label in enumerate(labels):  # psi of ACE doesn't exist, so that columns are residues
        counts = [np.histogram(one[:, residue], edges)[0] for one in psi]
        assert found[f"js_psi[{label}]"].value == pytest.approx(js_by_hand(*counts), abs=1e-9)


def test_a_molecule_without_a_backbone_is_not_available():
    topology = mdtraj.Topology()
    residue = topology.add_residue("LIG", topology.add_chain())
    for name in ("C1", "C2", "C3"):
        topology.add_atom(name, mdtraj.element.carbon, residue)
    frames = np.random.default_rng(0).normal(size=(60, 3, 3)).astype(np.float32)
    run = LoadedTrajectory(frames, topology, 1.0)
    metrics = torsion_metrics(compare(run, run, topology, frames[0]))
    assert [metric.value for metric in metrics] == [None] * 3
    assert all("no residue" in metric.reason for metric in metrics)
