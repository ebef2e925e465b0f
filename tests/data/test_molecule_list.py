"""The lists and their one rule."""

import pytest

from openmm_unisim.data.molecule_list import find_entry, listed, require_split
from openmm_unisim.errors import DataError


def test_lists_have_every_molecule_once():
    names = [entry.name for entry in listed()]
    assert len(names) == len(set(names)) == 83 + 38
    assert [entry.name for entry in listed("valid")] == ["ACE-T-NME", "ACE-GD-NME", "butanol", "ethylbenzene"]
    assert len(listed("train", "peptide")) == 77 and len(listed("train", "small-molecule")) == 32
    assert find_entry("aspirin").formula == "CC(=O)Oc1ccccc1C(=O)O"
    assert find_entry("ACE-NW-NME").n_residues == 2 and find_entry("butane").n_residues == 0


def test_names_are_those_of_built_peptides():
    assert all(entry.name == f"ACE-{entry.formula}-NME" for entry in listed(kind="peptide"))


def test_only_train_is_trained_on():
    require_split(["ACE-A-NME", "butane", "chignolin", "my-ligand"])
    with pytest.raises(DataError, match=r"ACE-T-NME.*valid"):
        require_split(["ACE-A-NME", "ACE-T-NME"])
    with pytest.raises(DataError, match="unlisted"):
        require_split(["ACE-I-NME"])
    with pytest.raises(DataError, match="split"):
        listed("training")
    with pytest.raises(DataError, match="neither"):
        find_entry("ACE-I-NME")
