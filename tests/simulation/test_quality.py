"""The guard's measures: none fires in MD, each fires on its own fault."""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim.errors import StructureError
from openmm_unisim.simulation.quality import QualityCounts, QualityMonitor, bond_lengths
from openmm_unisim.stereo import find_stereocentres
from openmm_unisim.system import Molecule, create_system, load_molecule


@pytest.fixture(scope="module")
def molecule() -> Molecule:
    return load_molecule("ACE-ALA-NME")


@pytest.fixture(scope="module")
def system(molecule: Molecule) -> openmm.System:
    return create_system(molecule, "vacuum")


@pytest.fixture(scope="module")
def monitor(molecule: Molecule, system: openmm.System) -> QualityMonitor:
    return QualityMonitor(molecule.topology, system, molecule.positions)


def atom(molecule: Molecule, name: str, residue: str = "ALA") -> int:
    return next(a.index for a in molecule.topology.atoms() if a.name == name and a.residue.name == residue)


@pytest.mark.parametrize(
    "sequence, centres",
    [
        ("ACE-ALA-NME", {"ALA CA"}),
        ("ACE-GLY-NME", set()),
        ("ACE-ILE-NME", {"ILE CA", "ILE CB"}),
        ("ACE-LEU-NME", {"LEU CA"}),
        ("ACE-THR-NME", {"THR CA", "THR CB"}),
        ("ACE-PRO-NME", {"PRO CA"}),
    ],
)
def test_stereocentres_of_amino_acids(sequence: str, centres: set[str]) -> None:
    topology = load_molecule(sequence).topology
    atoms = list(topology.atoms())
    found = {f"{atoms[row[0]].residue.name} {atoms[row[0]].name}" for row in find_stereocentres(topology)}
    assert found == centres


def test_nothing_fires_in_room_temperature_md(molecule: Molecule, system: openmm.System) -> None:
    integrator = openmm.LangevinMiddleIntegrator(300.0, 10.0, 0.002)
    integrator.setRandomNumberSeed(3)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(context)
    monitor = QualityMonitor(molecule.topology, system, molecule.positions)
    counts = QualityCounts()
    for _ in range(200):
        integrator.step(50)
        state = context.getState(positions=True)
        counts.add(monitor.assess(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)))
    assert counts.broken == 0
    assert 0.003 < counts.largest_bond_deviation < 0.03


def test_bond_deviation_is_measured_against_the_force_field(
    molecule: Molecule, system: openmm.System, monitor: QualityMonitor
) -> None:
    pairs, lengths = bond_lengths(system)
    assert len(pairs) == molecule.topology.getNumBonds()
    ca, ha = atom(molecule, "CA"), atom(molecule, "HA")
    moved = molecule.positions.copy()
    direction = moved[ha] - moved[ca]
    length = next(r for (i, j), r in zip(pairs.tolist(), lengths) if {i, j} == {ca, ha})
    moved[ha] = moved[ca] + direction / np.linalg.norm(direction) * (length + 0.06)
    quality = monitor.assess(moved)
    assert quality.max_bond_deviation == pytest.approx(0.06, abs=1e-9)
    assert quality.bond_broken and quality.broken and not quality.nan
    assert "0.060 nm" in quality.describe()


def test_constraints_count_as_bonds(molecule: Molecule) -> None:
    constrained = create_system(molecule, "vacuum", constraints=app.HBonds)
    pairs, _ = bond_lengths(constrained)
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == {
        tuple(sorted(pair)) for pair in molecule.bonds.tolist()
    }


def test_mirror_image_is_a_flip(molecule: Molecule, monitor: QualityMonitor) -> None:
    quality = monitor.assess(molecule.positions * np.array([1.0, 1.0, -1.0]))
    assert quality.chirality_flips == 1 == monitor.n_stereocentres
    assert quality.broken and not quality.bond_broken


def test_rotation_and_translation_change_nothing(molecule: Molecule, monitor: QualityMonitor) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    here, there = monitor.assess(molecule.positions), monitor.assess(molecule.positions @ rotation.T + 7.0)
    assert not here.broken and not there.broken
    assert there.max_bond_deviation == pytest.approx(here.max_bond_deviation, abs=1e-12)


def test_clash_of_distant_atoms(molecule: Molecule, monitor: QualityMonitor) -> None:
    folded = molecule.positions.copy()
    nme = [a.index for a in molecule.topology.atoms() if a.residue.name == "NME"]
    methyl = atom(molecule, "CH3", "ACE")
    folded[nme] += folded[methyl] - folded[atom(molecule, "N", "NME")] + np.array([0.05, 0.0, 0.0])
    quality = monitor.assess(folded)
    assert quality.clashes > 0 and quality.broken


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e7])
def test_positions_that_no_file_can_hold(molecule: Molecule, monitor: QualityMonitor, value: float) -> None:
    bad = molecule.positions.copy()
    bad[3, 1] = value
    quality = monitor.assess(bad)
    assert quality.nan and quality.broken and np.isnan(quality.max_bond_deviation)


def test_an_infinite_energy_is_not_finite(molecule: Molecule, monitor: QualityMonitor) -> None:
    assert monitor.assess(molecule.positions, float("inf")).nan


def test_a_foreign_system_is_a_named_error(molecule: Molecule, system: openmm.System) -> None:
    other = load_molecule("ACE-GLY-NME")
    with pytest.raises(StructureError, match="19 atoms and the System 22"):
        QualityMonitor(other.topology, system, other.positions)
