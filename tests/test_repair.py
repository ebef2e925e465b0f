"""Structures with missing atoms are completed, repeatably, and nothing else about them changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.errors import StructureError
from openmm_unisim.repair import repair_structure
from openmm_unisim.system import Molecule, create_system, load_molecule
from tests.toy_models import write_toy

WATER = "HETATM  900  O   HOH B 900      30.000  30.000  30.000  1.00  0.00           O"


def write_pdb(path: Path, molecule: Molecule, keep: Callable[[app.topology.Atom], bool], *more: str) -> Path:
    """Write the atoms for which `keep` is true, without CONECT records, and `more` lines."""
    modeller = app.Modeller(molecule.topology, molecule.positions * unit.nanometer)
    modeller.delete([atom for atom in molecule.topology.atoms() if not keep(atom)])
    with open(path, "w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(modeller.topology, modeller.positions, stream, keepIds=True)
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(("ATOM", "HETATM"))
    ]
    path.write_text("\n".join([*lines, "TER", *more, "END"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def peptide() -> Molecule:
    return load_molecule("ACE-AS-NME")


@pytest.fixture
def damaged(peptide: Molecule, tmp_path: Path) -> Path:
    """Without hydrogens and without the side-chain oxygen of serine; one water molecule beside it."""
    path = tmp_path / "damaged.pdb"
    return write_pdb(path, peptide, lambda a: a.element.symbol != "H" and a.name != "OG", WATER)


def test_missing_atoms_are_added_and_the_others_stay(peptide: Molecule, damaged: Path) -> None:
    repaired = repair_structure(damaged, keep_heterogens=False)
    assert sorted(repaired.atomic_numbers) == sorted(peptide.atomic_numbers)
    assert len(repaired.bonds) == len(peptide.bonds)
    create_system(repaired, "obc2")
    places = {(a.residue.name, a.name): repaired.positions[a.index] for a in repaired.topology.atoms()}
    for atom in peptide.topology.atoms():
        if atom.element.symbol != "H" and atom.name != "OG":
            before = peptide.positions[atom.index]
            assert np.allclose(places[atom.residue.name, atom.name], before, atol=1e-4), atom  # PDB precision
    assert 0.12 < np.linalg.norm(places["SER", "OG"] - places["SER", "CB"]) < 0.17


def test_repair_is_repeatable(damaged: Path) -> None:
    first, second = repair_structure(damaged), repair_structure(damaged)
    assert np.array_equal(first.positions, second.positions)


def test_heterogens_stay_unless_their_removal_is_asked_for(damaged: Path) -> None:
    assert "HOH" in {residue.name for residue in repair_structure(damaged).topology.residues()}


def test_a_gap_is_refused_rather_than_filled(tmp_path: Path) -> None:
    molecule = load_molecule("ACE-AGA-NME")
    path = write_pdb(tmp_path / "gap.pdb", molecule, lambda atom: atom.residue.name != "GLY")
    with pytest.raises(StructureError, match=r"gap in chain 1 between ALA 2 and ALA 4 .* build the missing"):
        repair_structure(path)


def test_what_cannot_be_repaired_is_named(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match="leave repair out"):
        repair_structure("ACE-ALA-NME")
    with pytest.raises(StructureError, match="no file"):
        repair_structure(tmp_path / "nowhere.pdb")
    (tmp_path / "empty.pdb").write_text("END\n", encoding="utf-8")
    with pytest.raises(StructureError, match="holds no atoms"):
        repair_structure(tmp_path / "empty.pdb")


def test_simulate_and_generate_take_repair(peptide: Molecule, tmp_path: Path) -> None:
    path = write_pdb(tmp_path / "heavy.pdb", peptide, lambda atom: atom.element.symbol != "H")
    metadata = {"environment": "vacuum", "masses": "hydrogen 4 Da", "friction": 1.0}
    model = write_toy(tmp_path / "toy.unisim.pt", "constant", metadata=metadata, sigma=0.0005)
    fast = ["--jumps", "2", "--thermalise", "0", "--md-timing", "0", "--no-report", "--platform", "Reference"]
    run = ["simulate", str(path), "--model", str(model), "--output", str(tmp_path / "run"), *fast]
    assert CliRunner().invoke(program, run).exit_code == 2
    result = CliRunner().invoke(program, [*run, "--repair"])
    assert result.exit_code == 0, result.output
    atoms = app.PDBFile(str(tmp_path / "run" / "topology.pdb")).topology.getNumAtoms()
    assert atoms == len(peptide.positions)
    generate = ["generate", str(path), "--output", str(tmp_path / "raw"), "--environment", "milk"]
    assert "has no hydrogens" in CliRunner().invoke(program, generate).stderr
    assert "Environment 'milk'" in CliRunner().invoke(program, [*generate, "--repair"]).stderr
