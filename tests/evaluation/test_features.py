"""Torsions and superposition."""

import mdtraj
import numpy as np
import pytest

from openmm_unisim.evaluation.estimators.features import backbone_torsions, superposed
from openmm_unisim.evaluation.trajectories import load_topology

from .runs import PDB, dipeptide


def test_torsions_are_those_the_molecule_was_turned_to():
    topology, _ = load_topology(PDB)
    phi, psi = np.array([-60.0, 60.0, -179.5, 179.5]), np.array([-45.0, 150.0, 10.0, -120.0])
    (residue,) = backbone_torsions(dipeptide(phi, psi), topology)
    assert residue.label == "ALA 2"
    np.testing.assert_allclose(residue.phi, phi, atol=0.01)
    np.testing.assert_allclose(residue.psi, psi, atol=0.01)


def test_nan_positions_give_nan_torsions():
    topology, _ = load_topology(PDB)
    positions = dipeptide(np.array([-60.0, -60.0]), np.array([0.0, 0.0]))
    positions[1] = np.nan
    (residue,) = backbone_torsions(positions, topology)
    assert np.isfinite(residue.phi[0]) and np.isnan(residue.phi[1]) and np.isnan(residue.psi[1])


def test_a_molecule_without_backbone_has_no_torsions():
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    topology.add_atom("C1", mdtraj.element.carbon, residue)
    assert backbone_torsions(np.zeros((3, 1, 3)), topology) == []


def test_superposition_undoes_rotation_and_translation():
    generator = np.random.default_rng(0)
    frame = generator.normal(size=(6, 3))
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    frames = np.stack([frame, frame @ rotation.T + [1.0, -2.0, 3.0]])
    laid = superposed(frames)
    np.testing.assert_allclose(laid[0], laid[1], atol=1e-12)
    np.testing.assert_allclose(laid.mean(axis=1), 0.0, atol=1e-12)


def test_superposition_never_mirrors():
    frame = np.random.default_rng(1).normal(size=(6, 3))
    laid = superposed(np.stack([frame, frame * [1.0, 1.0, -1.0]]))
    volumes = [np.linalg.det(positions[1:4] - positions[0]) for positions in laid]
    assert volumes[0] == pytest.approx(-volumes[1])
