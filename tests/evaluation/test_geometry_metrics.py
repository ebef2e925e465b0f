"""Bonds, angles, handedness and counts against hand-made distortions and published intervals."""

import mdtraj
import numpy as np
import pytest

from openmm_unisim.evaluation.comparison import compare
from openmm_unisim.evaluation.metrics.geometry_metrics import (
    bonded_angles,
    clopper_pearson,
    fraction_metric,
    geometry_metrics,
    peptide_torsions,
    stereocentres,
)
from openmm_unisim.evaluation.trajectories import LoadedTrajectory, load_topology
from openmm_unisim.system import build_capped_peptide
from tests.evaluation.pairs_of_runs import by_key, pair
from tests.evaluation.runs import PDB, turn

TOPOLOGY, STRUCTURE = load_topology(PDB)
NOISE = 0.002  # nm


def shaken(n_frames, seed, noise=NOISE, structure=STRUCTURE):
    generator = np.random.default_rng(seed)
    return (structure + generator.normal(0.0, noise, (n_frames, *structure.shape))).astype(np.float32)


def names_of(topology, rows):
    return {"-".join(topology.atom(int(index)).name for index in row) for row in rows}


@pytest.fixture(scope="module")
def isoleucine():
    molecule = build_capped_peptide("IT")
    return mdtraj.Topology.from_openmm(molecule.topology), molecule.positions.astype(np.float32)


@pytest.mark.parametrize(
    "count, total, interval",
    [
        (0, 100, (0.0, 1 - 0.025**0.01)),  # closed forms at the ends
        (100, 100, (0.025**0.01, 1.0)),
        (5, 10, (0.18709, 0.81291)),  # textbook values
        (1, 20, (0.00127, 0.24873)),
    ],
)
def test_clopper_pearson(count, total, interval):
    assert clopper_pearson(count, total) == pytest.approx(interval, abs=2e-5)


def test_the_interval_covers_the_truth_at_least_as_often_as_it_says():
    counts = np.random.default_rng(0).binomial(50, 0.1, 400)
    bounds = np.array([clopper_pearson(int(count), 50) for count in counts])
    assert ((bounds[:, 0] <= 0.1) & (0.1 <= bounds[:, 1])).mean() >= 0.95


def test_fraction_metric_shows_both_sides():
    metric = fraction_metric("x", "X", (2, 0), (10, 40), note="n")
    assert (metric.value, metric.reference) == (0.2, 0.0)
    assert metric.details["interval_95"] == pytest.approx(clopper_pearson(2, 10))
    assert metric.details["reference_interval_95"] == pytest.approx(clopper_pearson(0, 40))
    assert metric.details["note"] == "n"


def test_angles_and_peptide_torsions_of_alanine_dipeptide():
    assert len(bonded_angles(TOPOLOGY)) == 36  # 6 methyl/CA centres: 4 * 6; 4 planar centres: 4 * 3
    rows = peptide_torsions(TOPOLOGY)
    assert names_of(TOPOLOGY, rows) == {"CH3-C-N-CA", "CA-C-N-C"}
    assert names_of(TOPOLOGY, stereocentres(TOPOLOGY)) == {"CA-N-C-CB"}


def test_proline_s_omega_goes_to_ca():
    molecule = build_capped_peptide("P")
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    assert names_of(topology, peptide_torsions(topology)) == {"CH3-C-N-CA", "CA-C-N-C"}


def test_the_same_distribution_scores_at_the_floor():
    found = by_key(geometry_metrics(pair(shaken(1500, 0), shaken(1500, 1), block_ps=10.0)))
    for kind in ("bond", "angle"):
        for group in ("heavy", "hydrogen"):
            shift, ratio = found[f"{kind}_shift[{group}]"], found[f"{kind}_width_ratio[{group}]"]
            assert shift.value < shift.floor + 5 * shift.floor_std
            assert abs(ratio.value - 1.0) < 5 * ratio.floor_std < 0.2
    for key in ("nan", "explosion", "bond_off", "clash", "chirality_flipped", "cis"):
        metric = found[f"fraction_{key}"]
        assert metric.value == metric.reference == 0.0
        assert metric.details["interval_95"] == pytest.approx(clopper_pearson(0, 1500))


def test_a_stretched_bond_is_named_and_its_shift_measured():
    model = shaken(1500, 0)
    axis = STRUCTURE[12] - STRUCTURE[8]  # CB of CA
    methyl = [12, 13, 14, 15]
    model[:, methyl] += 0.004 * axis / np.linalg.norm(axis)
    found = by_key(geometry_metrics(pair(model, shaken(1500, 1), block_ps=10.0)))
    worst = found["worst_bond_shift"]
    assert worst.details["name"] == "ALA 2 CA - ALA 2 CB"
    assert worst.details["shift"] == pytest.approx(0.004, abs=3e-4) and worst.value == pytest.approx(
        0.004, abs=3e-4
    )
    assert "ALA 2 CA - ALA 2 CB" in worst.label and worst.unit == "nm"
    assert found["bond_shift[heavy]"].value == pytest.approx(
        0.004 / 3, abs=2e-4
    )  # one of 9 bonds: root of 1/9
    assert found["bond_shift[hydrogen]"].value < 5e-4


def test_a_bent_angle_is_named():
    model = shaken(1500, 0).astype(np.float64)
    # turn the carbonyl oxygen of ALA (11) about the normal of its plane, at C (10)
    normal = np.cross(STRUCTURE[8] - STRUCTURE[10], STRUCTURE[16] - STRUCTURE[10])
    with_axis = np.concatenate([model, model[:, 10:11] + normal / np.linalg.norm(normal)], axis=1)
    model = turn(with_axis, (10, 22), [11], np.full(1500, 5.0))[:, :22].astype(np.float32)
    worst = by_key(geometry_metrics(pair(model, shaken(1500, 1), block_ps=10.0)))["worst_angle_shift"]
    assert worst.value == pytest.approx(5.0, abs=0.4) and worst.unit == "degrees"
    assert worst.details["name"] in ("ALA 2 CA - ALA 2 C - ALA 2 O", "ALA 2 O - ALA 2 C - NME 3 N")


def test_twice_the_noise_is_twice_the_width():
    found = by_key(geometry_metrics(pair(shaken(1500, 0, 2 * NOISE), shaken(1500, 1), block_ps=10.0)))
    for kind in ("bond", "angle"):
        for group in ("heavy", "hydrogen"):
            assert found[f"{kind}_width_ratio[{group}]"].value == pytest.approx(2.0, rel=0.05)
    # interquartile range of a bond between two Gaussian atoms: 1.349 sqrt(2) noise
    width = found["bond_width_ratio[heavy]"].details["reference_width"]
    assert width == pytest.approx(1.349 * np.sqrt(2) * NOISE, rel=0.05)


def test_a_constrained_reference_leaves_its_bonds_out():
    rigid = shaken(300, 1)
    for hydrogen, heavy in ((a, b) for a, b in _hydrogen_bonds()):
        arm = STRUCTURE[hydrogen] - STRUCTURE[heavy]
        rigid[:, hydrogen] = rigid[:, heavy] + arm
    found = by_key(geometry_metrics(pair(shaken(300, 0), rigid, repeats=3)))
    for key in ("bond_shift[hydrogen]", "bond_width_ratio[hydrogen]"):
        assert found[key].value is None and "constrained" in found[key].reason
        assert found[key].details["constrained_reference"] is True
    assert found["bond_shift[heavy]"].value is not None
    assert " H" not in found["worst_bond_shift"].details["name"]
    both = by_key(geometry_metrics(pair(rigid, rigid, repeats=3)))
    assert both["bond_shift[hydrogen]"].value == pytest.approx(0.0, abs=1e-6)
    assert both["bond_width_ratio[hydrogen]"].value is None


def _hydrogen_bonds():
    for bond in TOPOLOGY.bonds:
        for first, last in ((bond.atom1, bond.atom2), (bond.atom2, bond.atom1)):
            if first.element.symbol == "H":
                yield first.index, last.index


def test_broken_frames_are_counted_beside_the_reference():
    model, reference = shaken(200, 0), shaken(100, 1)
    model[:10, 12] += 0.2  # explosions
    model[10:14, 0, 0] = np.nan
    model[20:50] *= [-1, 1, 1]  # mirror images
    reference[:1] *= [-1, 1, 1]
    found = by_key(geometry_metrics(pair(model, reference, repeats=2)))
    assert found["fraction_nan"].value == 4 / 200
    assert found["fraction_explosion"].value == 14 / 200
    assert found["fraction_explosion"].reference == 0.0
    flipped = found["fraction_chirality_flipped"]
    assert flipped.details["count"] >= 30 and flipped.details["frames"] == 196
    assert flipped.reference == 1 / 100
    assert flipped.details["by_centre"].keys() == {"ALA 2 CA"}


def test_cis_is_counted_by_bond():
    model = shaken(100, 0).astype(np.float64)
    downstream = list(range(18, 22))  # the methyl of NME, turned about C-N
    model[:25] = turn(model[:25], (10, 16), [17, *downstream], np.full(25, 180.0))
    found = by_key(geometry_metrics(pair(model.astype(np.float32), shaken(100, 1), repeats=2)))[
        "fraction_cis"
    ]
    assert found.value == 0.25 and found.reference == 0.0
    assert found.details["by_bond"] == {"ALA 2 N": 0.0, "NME 3 N": 0.25}


def test_a_flip_at_cb_of_isoleucine_is_found_while_ca_stays(isoleucine):
    topology, structure = isoleucine
    assert names_of(topology, stereocentres(topology)) == {"CA-N-C-CB", "CB-CA-CG1-CG2", "CB-CA-OG1-CG2"}
    good = shaken(60, 0, structure=structure)
    bad = good.copy()
    atoms = {atom.name: atom.index for atom in topology.residue(1).atoms}
    bad[:15][:, [atoms["CG1"], atoms["CG2"]]] = bad[:15][:, [atoms["CG2"], atoms["CG1"]]]
    runs = [LoadedTrajectory(frames, topology, None) for frames in (bad, good)]
    found = by_key(geometry_metrics(compare(runs[1], runs[0], topology, structure, repeats=2)))
    flipped = found["fraction_chirality_flipped"]
    assert flipped.value == 0.25 and flipped.reference == 0.0
    assert flipped.details["by_centre"] == {
        "ILE 2 CA": 0.0,
        "THR 3 CA": 0.0,
        "ILE 2 CB": 0.25,
        "THR 3 CB": 0.0,
    }


def test_a_molecule_without_peptide_bonds_or_known_lengths():
    topology = mdtraj.Topology()
    residue = topology.add_residue("LIG", topology.add_chain())
    atoms = [topology.add_atom(name, mdtraj.element.carbon, residue) for name in ("C1", "C2", "C3")]
    topology.add_bond(atoms[0], atoms[1])
    topology.add_bond(atoms[1], atoms[2])
    structure = np.array([[0, 0, 0], [0.15, 0, 0], [0.2, 0.14, 0]], dtype=np.float32)
    run = LoadedTrajectory(shaken(60, 0, structure=structure), topology, 1.0)
    found = by_key(geometry_metrics(compare(run, run, topology, structure, repeats=2)))
    assert found["fraction_cis"].reason == "no peptide bond"
    assert found["fraction_chirality_flipped"].value is None
    assert found["bond_shift[hydrogen]"].reason == "no bond lengths with hydrogen"
    assert found["fraction_explosion"].details["bond_lengths"] == "median of the reference"
    assert found["fraction_explosion"].value == 0.0 and found["bond_shift[heavy]"].value == 0.0
