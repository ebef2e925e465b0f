"""Each counter against a structure broken by hand."""

import mdtraj
import numpy as np
import pytest

from openmm_unisim.evaluation.estimators.validity import (
    alpha_carbons,
    bond_deviations,
    bond_pairs,
    check_trajectory,
    chirality_volumes,
    distant_heavy_pairs,
    force_field_bond_lengths,
)
from openmm_unisim.evaluation.trajectories import load_topology

from .runs import PDB, reference_run

CA, HA, CB, O_ALA = 8, 9, 12, 11


@pytest.fixture(scope="module")
def ala2():
    topology, structure = load_topology(PDB)
    return topology, structure, force_field_bond_lengths(topology)


def check(ala2, positions):
    topology, structure, lengths = ala2
    return check_trajectory(np.asarray(positions), topology, structure, lengths)


def test_force_field_lengths(ala2):
    topology, _, lengths = ala2
    by_bond = {frozenset(map(int, pair)): length for pair, length in zip(bond_pairs(topology), lengths)}
    assert len(by_bond) == 21
    assert by_bond[frozenset((4, 5))] == pytest.approx(0.1229)  # C=O of ff14SB
    assert by_bond[frozenset((CA, HA))] == pytest.approx(0.1090)


def test_bond_deviation_by_hand():
    positions = np.array([[[0.0, 0.0, 0.0], [0.3, 0.4, 0.0]]])
    assert bond_deviations(positions, np.array([[0, 1]]), np.array([0.45]))[0, 0] == pytest.approx(0.05)


def test_chirality_volume_by_hand():
    # centre at the origin, N, C, CB along x, y, z: triple product +1; mirrored: -1
    centre = np.array([[0, 1, 2, 3]])
    axes = np.concatenate([np.zeros((1, 3)), np.eye(3)])[None]
    assert chirality_volumes(axes, centre)[0, 0] == pytest.approx(1.0)
    assert chirality_volumes(-axes, centre)[0, 0] == pytest.approx(-1.0)


def test_l_alanine_is_positive(ala2):
    topology, structure, _ = ala2
    assert alpha_carbons(topology).tolist() == [[CA, 6, 10, CB]]
    assert chirality_volumes(structure[None], alpha_carbons(topology))[0, 0] > 0


def test_sound_frames_count_nothing(ala2):
    report = check(ala2, reference_run(50))
    assert report.explosions == report.frames_bond_off == report.frames_chirality_flipped == 0
    assert report.frames_clash == report.nan_frames == 0
    assert report.max_heavy_bond_deviation_nm < 0.016 and report.max_hydrogen_bond_deviation_nm < 0.002


def test_each_fault_is_counted_once(ala2):
    positions = reference_run(6).astype(float)
    direction = positions[1, HA] - positions[1, CA]
    positions[1, HA] += 0.03 * direction / np.linalg.norm(direction)  # off, no explosion
    positions[2, HA] += 0.06 * (positions[2, HA] - positions[2, CA]) / 0.109  # off and explosion
    positions[3, 0, 0] = np.nan
    positions[4] *= [1.0, 1.0, -1.0]  # mirror image
    report = check(ala2, positions)
    assert report.nan_frames == 1
    assert report.frames_bond_off == 2
    assert report.explosions == 2  # the long bond and the NaN
    assert report.frames_chirality_flipped == 1
    assert report.max_hydrogen_bond_deviation_nm == pytest.approx(0.06, abs=0.003)
    assert report.as_dict()["fraction_explosions"] == pytest.approx(2 / 6)
    assert report.as_dict()["fraction_nan"] == pytest.approx(1 / 6)


def test_clash_of_distant_heavy_atoms(ala2):
    topology, _, _ = ala2
    pairs = {tuple(pair) for pair in distant_heavy_pairs(topology).tolist()}
    assert (5, 11) in pairs and (0, 8) not in pairs  # O...O; CH3 and CA are three bonds apart
    positions = reference_run(2)
    positions[1, 5] = positions[1, O_ALA] + [0.15, 0.0, 0.0]
    assert check(ala2, positions).frames_clash == 1


def test_an_unknown_molecule_has_no_bond_figures():
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    atoms = [topology.add_atom(f"C{index}", mdtraj.element.carbon, residue) for index in range(2)]
    topology.add_bond(*atoms)
    assert force_field_bond_lengths(topology) is None
    positions = np.array([[[0.0, 0.0, 0.0], [0.15, 0.0, 0.0]]])
    report = check_trajectory(positions, topology, positions[0], None)
    assert report.explosions is None and report.frames_chirality_flipped is None
    assert report.as_dict()["fraction_explosions"] is None


def test_all_frames_nan(ala2):
    report = check(ala2, np.full((3, 22, 3), np.nan))
    assert report.nan_frames == 3 and report.explosions == 3 and report.max_heavy_bond_deviation_nm is None
