"""Torsions about rotatable bonds: which they are, and their distances to MD."""

import mdtraj
import numpy as np
import pytest
from openmm import app

from openmm_unisim.evaluation.comparison import compare
from openmm_unisim.evaluation.estimators.rotatable import rotatable_torsions, torsion_angles
from openmm_unisim.evaluation.metrics.rotatable_metrics import rotatable_metrics
from openmm_unisim.evaluation.trajectories import LoadedTrajectory
from openmm_unisim.system import load_molecule


def graph(symbols: str, bonds: list[tuple[int, int]]) -> mdtraj.Topology:
    """A molecule of one residue, atoms named after element and number."""
    topology = app.Topology()
    residue = topology.addResidue("LIG", topology.addChain())
    atoms = [
        topology.addAtom(f"{symbol}{k}", app.Element.getBySymbol(symbol), residue)
        for k, symbol in enumerate(symbols)
    ]
    for first, second in bonds:
        topology.addBond(atoms[first], atoms[second])
    return mdtraj.Topology.from_openmm(topology)


def propanol() -> mdtraj.Topology:
    """H3C-CH2-CH2-OH: atoms 0 to 2 carbon, 3 oxygen."""
    return graph(
        "CCCO" + "H" * 8,
        [(0, 1), (1, 2), (2, 3), *[(c, 4 + k) for k, c in enumerate((0, 0, 0, 1, 1, 2, 2, 3))]],
    )


def test_methyls_are_left_out_and_hydroxyls_count():
    assert [one.label for one in rotatable_torsions(propanol())] == ["C0-C1-C2-O3", "C1-C2-O3-H11"]


def test_a_ring_is_judged_by_its_own_torsions_where_nothing_turns():
    ring = [(k, (k + 1) % 6) for k in range(6)]
    benzene = graph("CCCCCC" + "H" * 6, ring + [(k, 6 + k) for k in range(6)])
    assert len(rotatable_torsions(benzene)) == 6
    phenol = graph("CCCCCCO" + "H" * 6, [*ring, (0, 6), *[(k, 6 + k) for k in range(1, 6)], (6, 12)])
    assert [one.atoms[1:3] for one in rotatable_torsions(phenol)] == [(0, 6)]


@pytest.mark.parametrize(
    "sequence, bonds", [("ACE-ALA-NME", []), ("ACE-SER-NME", ["CA-CB", "CB-OG"]), ("ACE-VAL-NME", ["CA-CB"])]
)
def test_of_a_peptide_only_side_chains(sequence, bonds):
    topology = mdtraj.Topology.from_openmm(load_molecule(sequence).topology)
    found = rotatable_torsions(topology)
    assert [one.label.split()[-1].split("-", 1)[1].rsplit("-", 1)[0] for one in found] == bonds
    assert all(one.label.startswith(sequence[4:7] + " 2") for one in found)


def frames(angles: np.ndarray) -> np.ndarray:
    """Propanol whose first torsion has these values (degrees); nm."""
    positions = np.random.default_rng(0).normal(size=(len(angles), 12, 3))
    radians = np.radians(angles)
    positions[:, :3] = [[0.1, 0.1, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.15]]
    positions[:, 0] = [0.1, 0.0, -0.05]
    positions[:, 3] = 0.1 * np.stack([np.cos(radians), np.sin(radians), 0 * radians + 2.0], 1)
    return positions


def test_angles_and_distances():
    generator = np.random.default_rng(1)
    topology = propanol()
    some, other = (generator.normal(mean, 10.0, 400) for mean in (60.0, -60.0))
    measured = torsion_angles(frames(some), topology, rotatable_torsions(topology))[:, 0]
    assert np.allclose(np.abs(measured), np.abs(some), atol=1e-3)

    def distance(model: np.ndarray) -> dict:
        judge, judged = (LoadedTrajectory(frames(a).astype(np.float32), topology, 1.0) for a in (some, model))
        found = rotatable_metrics(compare(judge, judged, topology, judge.positions[0], block_ps=1.0))
        return {metric.key: metric for metric in found}

    near = distance(generator.normal(60.0, 10.0, 400))["js_torsion[C0-C1-C2-O3]"]
    far = distance(other)["js_torsion[C0-C1-C2-O3]"]
    assert near.value < near.floor + 4 * near.floor_std and far.value > 0.8
    assert set(distance(other)) == {"js_torsion_mean", "js_torsion[C0-C1-C2-O3]", "js_torsion[C1-C2-O3-H11]"}
