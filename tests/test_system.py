"""Molecules and Systems."""

import random
import threading
import time

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim.errors import ConfigError, MissingHydrogensError, PlatformError, StructureError
from openmm_unisim.system import (
    FORCE_FIELD,
    Molecule,
    create_system,
    get_platform,
    load_molecule,
    parse_sequence,
)


def energy(system, positions) -> float:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform("Reference"))
    context.setPositions(positions)
    return context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


def test_native_gb_has_the_energy_of_obc2_xml():
    molecule = load_molecule("ACE-WS-NME")
    custom = app.ForceField(FORCE_FIELD, "implicit/obc2.xml").createSystem(molecule.topology)
    native = create_system(molecule, "obc2")
    assert any(isinstance(force, openmm.GBSAOBCForce) for force in native.getForces())
    assert energy(native, molecule.positions) == pytest.approx(energy(custom, molecule.positions), abs=1e-3)


@pytest.mark.parametrize(
    ("text", "letters"), [("ACE-ALA-NME", "A"), ("ACE-NW-NME", "NW"), ("ACE-G-TRP-NME", "GW")]
)
def test_sequences(text, letters):
    assert parse_sequence(text) == letters


def test_every_residue_builds_and_has_parameters():
    for letter in "ARNDCQEGHILKMFPSTWYV":
        create_system(load_molecule(f"ACE-{letter}-NME"), "vacuum")


def test_prmtop_loads_through_parmed(tmp_path):
    import parmed

    molecule = load_molecule("ACE-ALA-NME")
    system = app.ForceField(FORCE_FIELD).createSystem(molecule.topology)
    structure = parmed.openmm.load_topology(molecule.topology, system, molecule.positions * unit.nanometer)
    structure.save(str(tmp_path / "ala.prmtop"))
    structure.save(str(tmp_path / "ala.inpcrd"), format="rst7")
    loaded = load_molecule(tmp_path / "ala.prmtop")
    assert loaded.bonds.shape == (21, 2)
    vacuum = energy(create_system(loaded, "vacuum"), loaded.positions)
    assert vacuum == pytest.approx(energy(create_system(molecule, "vacuum"), molecule.positions), abs=0.05)


def test_named_errors(tmp_path):
    with pytest.raises(StructureError, match="XYZ"):
        load_molecule("ACE-XYZ-NME")
    with pytest.raises(StructureError, match="neither a file"):
        load_molecule("nothing.pdb")
    (tmp_path / "bad.pdb").write_text("ATOM broken\n", encoding="utf-8")
    with pytest.raises(StructureError, match=r"bad\.pdb"):
        load_molecule(tmp_path / "bad.pdb")
    for name in ("empty.pdb", "empty.cif"):
        (tmp_path / name).write_text("END\n", encoding="utf-8")
        with pytest.raises(StructureError, match=rf"{name}' holds no atoms; give"):
            load_molecule(tmp_path / name)
    heavy = "ATOM      1  CH3 ACE A   1       0.000   0.000   0.000  1.00  0.00           C\nEND\n"
    (tmp_path / "heavy.pdb").write_text(heavy, encoding="utf-8")
    with pytest.raises(MissingHydrogensError, match="--repair"):
        load_molecule(tmp_path / "heavy.pdb")
    with pytest.raises(PlatformError, match="Reference"):
        get_platform("Quantum")
    with pytest.raises(ConfigError, match="vacuum"):
        create_system(load_molecule("ACE-ALA-NME"), "milk")


def test_hydrogens_that_the_force_field_misses_are_named_in_one_sentence():
    molecule = load_molecule("ACE-ALA-NME")
    modeller = app.Modeller(molecule.topology, molecule.positions * unit.nanometer)
    modeller.delete([atom for atom in molecule.topology.atoms() if atom.name in ("HA", "HB1")])
    lacking = Molecule("ala", modeller.topology, np.array(modeller.positions.value_in_unit(unit.nanometer)))
    sentence = r"^Residue 1 \(ALA\) of 'ala' is missing 2 hydrogen atoms; give --repair[^.]*\.$"
    with pytest.raises(MissingHydrogensError, match=sentence):
        create_system(lacking, "vacuum")


def test_hydrogens_are_the_same_while_other_threads_draw_random_numbers() -> None:
    """As those of a dask worker do: the placement has a generator of its own, and leaves the global one alone."""
    state, done = random.getstate(), threading.Event()
    expected = load_molecule("ACE-ALA-NME").positions
    assert random.getstate() == state

    def draw() -> None:
        while not done.is_set():
            random.random()
            time.sleep(0)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        found = load_molecule("ACE-ALA-NME").positions
    finally:
        done.set()
        thread.join()
    np.testing.assert_array_equal(found, expected)


def test_an_unknown_kind_of_constraints_is_refused_since_openmm_would_take_it_as_none():
    with pytest.raises(ConfigError, match="'h-bonds' is no kind of constraints"):
        create_system(load_molecule("ACE-ALA-NME"), "vacuum", constraints="h-bonds")
