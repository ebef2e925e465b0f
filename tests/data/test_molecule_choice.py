"""Which atoms of a system are learnt, and why others are refused."""

import numpy as np
import pytest
from openmm import app, unit

from openmm_unisim.data.molecule_choice import choose_molecule
from openmm_unisim.errors import DataError, MissingHydrogensError, StructureError, UnknownElementError
from openmm_unisim.system import load_molecule

from ..foreign_md import dipeptide, solvated, write_pdb


def bond_set(molecule):
    return {frozenset(bond) for bond in molecule.bonds.tolist()}


def test_water_and_ions_are_left_out_and_the_molecule_is_named(tmp_path):
    molecule, _ = dipeptide(tmp_path)
    topology, positions = solvated(molecule)
    chosen = choose_molecule(write_pdb(tmp_path / "box.pdb", topology, positions))
    assert chosen.atoms.tolist() == list(range(1, 23)) and chosen.n_system == 32
    assert chosen.molecule.name == "ACE-A-NME" and chosen.left_out == "1 ion, 3 waters"
    assert chosen.molecule.atomic_numbers.tolist() == molecule.atomic_numbers.tolist()
    assert bond_set(chosen.molecule) == bond_set(molecule)


def test_several_molecules_need_a_selection(tmp_path):
    molecule, _ = dipeptide(tmp_path)
    modeller = app.Modeller(molecule.topology, molecule.positions * unit.nanometer)
    modeller.add(
        load_molecule("ACE-GLY-NME").topology, (load_molecule("ACE-GLY-NME").positions + 3) * unit.nanometer
    )
    places = np.array(modeller.positions.value_in_unit(unit.nanometer))
    path = write_pdb(tmp_path / "two.pdb", modeller.topology, places)
    with pytest.raises(
        DataError, match=r"holds 2 molecules .*ACE-ALA-NME, 22 atoms from atom 0 on.*--select"
    ):
        choose_molecule(path)
    chosen = choose_molecule(path, "chainid 1")
    assert chosen.molecule.name == "ACE-G-NME" and chosen.left_out == "22 atoms outside the selection"
    with pytest.raises(DataError, match="a piece of a molecule"):
        choose_molecule(path, "resname GLY")
    with pytest.raises(DataError, match="selects no atom"):
        choose_molecule(path, "resname LIG")
    with pytest.raises(DataError, match="isn't understood"):
        choose_molecule(path, "resnam and (")


def edited(path, change):
    lines = [change(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(line for line in lines if line is not None) + "\n", encoding="utf-8")
    return path


def test_atoms_without_bonds_are_named(tmp_path):
    path = dipeptide(tmp_path)[1]
    edited(path, lambda line: None if line.startswith("CONECT") else line.replace("ALA", "LIG"))
    with pytest.raises(StructureError, match=r"\(N of LIG 2\) .* has no bonds; .*CONECT"):
        choose_molecule(path)


def test_unknown_elements_and_missing_hydrogens_are_named(tmp_path):
    path = dipeptide(tmp_path)[1]
    text = path.read_text(encoding="utf-8")

    def scandium(line):
        return line[:76] + "SC" + line[78:] if line[12:16].strip() == "CB" else line

    with pytest.raises(UnknownElementError, match="atomic number 21"):
        choose_molecule(edited(path, scandium))
    path.write_text(text, encoding="utf-8")

    def heavy(line):
        return None if line[76:78].strip() == "H" or line.startswith("CONECT") else line

    with pytest.raises(MissingHydrogensError, match="all-atom"):
        choose_molecule(edited(path, heavy))
    with pytest.raises(StructureError, match="no topology file"):
        choose_molecule(tmp_path / "absent.pdb")
