"""Files as users have them, up to a jump: PDB and mmCIF through pdbfixer, Amber, Gromacs, XML."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import MissingHydrogensError, UniSimIntegrator
from openmm_unisim.system import create_system, load_molecule, repeatable_placement
from tests.platforms.systems import MODEL, bond_lengths, thermalised
from tests.plugin.systems import positions_of

REFERENCE = openmm.Platform.getPlatformByName("Reference")


def jump(topology: app.Topology, system: openmm.System, positions, **settings) -> None:
    """A thermalised structure makes two jumps and keeps its bonds."""
    start = thermalised(system, positions, steps=100)
    integrator = UniSimIntegrator(MODEL, topology, 300 * unit.kelvin, randomNumberSeed=3, **settings)
    simulation = app.Simulation(topology, system, integrator, REFERENCE)
    simulation.context.setPositions(start)
    simulation.step(2)
    found = positions_of(simulation)
    own = list(integrator.getParticles()) or list(range(len(found)))
    assert integrator.getNumAccepted() == 2 and np.abs(found - start)[own].max() > 0.01
    change = bond_lengths(topology, found) - bond_lengths(topology, start)
    assert np.abs(change).max() < 0.06


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Alanine dipeptide as crystallography gives it: no hydrogens, an atom missing, a second conformer of CB."""
    molecule = load_molecule("ACE-ALA-NME")
    folder = tmp_path_factory.mktemp("inputs")
    whole = folder / "whole.pdb"
    with whole.open("w") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream, keepIds=True)
    lines = []
    for line in whole.read_text(encoding="utf-8").splitlines():
        name = line[12:16].strip()
        if line.startswith(("ATOM", "HETATM")) and (
            line[76:78].strip() == "H" or (name == "O" and "ALA" in line)
        ):
            continue
        if line.startswith("CONECT"):
            continue
        if name == "CB" and line.startswith(("ATOM", "HETATM")):
            lines.append(line[:16] + "A" + line[17:])
            moved = f"{float(line[30:38]) + 0.3:8.3f}"
            line = line[:16] + "B" + line[17:30] + moved + line[38:]
        lines.append(line)
    pdb, cif = folder / "broken.pdb", folder / "broken.cif"
    pdb.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_cif(pdb, cif)
    return {"pdb": pdb, "cif": cif}


def write_cif(pdb: Path, cif: Path) -> None:
    """The same as mmCIF; OpenMM, which writes it, leaves second conformers out."""
    file = app.PDBFile(str(pdb))
    with cif.open("w", encoding="utf-8") as stream:
        app.PDBxFile.writeFile(file.topology, file.positions, stream)
    lines = cif.read_text(encoding="utf-8").splitlines()
    columns = [line.strip().removeprefix("_atom_site.") for line in lines if line.startswith("_atom_site.")]
    (place,) = [k for k, line in enumerate(lines) if line.startswith("ATOM") and line.split()[3] == "CB"]
    first, second = lines[place].split(), lines[place].split()
    for fields, name in ((first, "A"), (second, "B")):
        fields[columns.index("label_alt_id")] = name
    x = columns.index("Cartn_x")
    second[x] = f"{float(second[x]) + 0.3:.4f}"
    lines[place : place + 1] = [" ".join(first), " ".join(second)]
    cif.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_without_hydrogens_it_is_refused_by_name(broken) -> None:
    pdb = app.PDBFile(str(broken["pdb"]))
    with pytest.raises(MissingHydrogensError, match="has carbon but no hydrogens"):
        UniSimIntegrator(MODEL, pdb.topology, 300)


@pytest.mark.parametrize("suffix", ["pdb", "cif"])
def test_pdbfixer_mends_it(broken, suffix: str) -> None:
    """Missing atoms, hydrogens and alternative locations, from PDB and from mmCIF."""
    import pdbfixer

    fixer = pdbfixer.PDBFixer(str(broken[suffix]), platform=REFERENCE)
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    assert sum(len(atoms) for atoms in fixer.missingAtoms.values()) == 1  # the oxygen
    fixer.addMissingAtoms()
    with repeatable_placement():
        fixer.addMissingHydrogens(7.0)
    symbols = sorted(atom.element.symbol for atom in fixer.topology.atoms())
    expected = sorted(atom.element.symbol for atom in load_molecule("ACE-ALA-NME").topology.atoms())
    assert symbols == expected
    system = app.ForceField("amber14/protein.ff14SB.xml", "implicit/obc2.xml").createSystem(
        fixer.topology, hydrogenMass=4 * unit.dalton
    )
    jump(fixer.topology, system, np.array(fixer.positions.value_in_unit(unit.nanometer)))


@pytest.fixture(scope="module")
def amber(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """prmtop and inpcrd of alanine dipeptide, by tleap."""
    tleap = shutil.which(
        "tleap", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if tleap is None:
        pytest.skip("tleap is not installed")
    folder = tmp_path_factory.mktemp("amber")
    (folder / "in").write_text(
        "source leaprc.protein.ff14SB\nset default PBRadii mbondi2\nm = sequence { ACE ALA NME }\n"
        "saveamberparm m m.prmtop m.inpcrd\nquit\n",
        encoding="utf-8",
    )
    subprocess.run([tleap, "-f", "in"], cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def test_amber_files_through_openmm(amber: Path) -> None:
    prmtop = app.AmberPrmtopFile(str(amber / "m.prmtop"))
    start = app.AmberInpcrdFile(str(amber / "m.inpcrd")).positions
    system = prmtop.createSystem(
        implicitSolvent=app.OBC2, constraints=app.HBonds, hydrogenMass=4 * unit.dalton
    )
    jump(prmtop.topology, system, start)


def test_amber_files_through_parmed(amber: Path) -> None:
    molecule = load_molecule(amber / "m.prmtop")
    jump(molecule.topology, create_system(molecule, "obc2"), molecule.positions)


def test_gromacs_files(amber: Path, tmp_path: Path) -> None:
    """gro and top written by ParmEd, read by OpenMM and by ParmEd; the energy is that of Amber's files."""
    import parmed

    structure = parmed.load_file(str(amber / "m.prmtop"), xyz=str(amber / "m.inpcrd"))
    structure.box = [30.0, 30.0, 30.0, 90.0, 90.0, 90.0]
    structure.save(str(tmp_path / "m.top"))
    structure.save(str(tmp_path / "m.gro"))
    gro, top = app.GromacsGroFile(str(tmp_path / "m.gro")), app.GromacsTopFile(str(tmp_path / "m.top"))
    system = top.createSystem(nonbondedMethod=app.NoCutoff, hydrogenMass=4 * unit.dalton)
    jump(top.topology, system, gro.positions)
    again = parmed.load_file(str(tmp_path / "m.top"), xyz=str(tmp_path / "m.gro"))
    other = again.createSystem(hydrogenMass=4 * unit.dalton)
    jump(again.topology, other, again.positions)
    amber_system = app.AmberPrmtopFile(str(amber / "m.prmtop")).createSystem()
    energies = [energy(chosen, gro.positions) for chosen in (amber_system, system, other)]
    assert energies == pytest.approx(
        [energies[0]] * 3, abs=0.1
    )  # constants and digits of the programs differ


def energy(system: openmm.System, positions) -> float:
    """Potential energy, kJ/mol."""
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), REFERENCE)
    context.setPositions(positions)
    return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


def test_a_system_from_xml(tmp_path: Path) -> None:
    """With the Topology from a PDB file, as OpenMM's own set-up tools write them."""
    molecule = load_molecule("ACE-ALA-NME")
    (tmp_path / "system.xml").write_text(
        openmm.XmlSerializer.serialize(create_system(molecule, "obc2")), encoding="utf-8"
    )
    with (tmp_path / "m.pdb").open("w") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
    pdb = app.PDBFile(str(tmp_path / "m.pdb"))
    system = openmm.XmlSerializer.deserialize((tmp_path / "system.xml").read_text(encoding="utf-8"))
    jump(pdb.topology, system, pdb.positions)


def test_a_topology_without_bonds_is_refused(tmp_path: Path) -> None:
    """A PDB file whose residues OpenMM doesn't know, and without CONECT records, has none."""
    molecule = load_molecule("ACE-ALA-NME")
    bare = app.Topology()
    residue = bare.addResidue("LIG", bare.addChain())
    for atom in molecule.topology.atoms():
        bare.addAtom(atom.name, atom.element, residue)
    integrator = UniSimIntegrator(MODEL, bare, 300)
    with pytest.raises(openmm.OpenMMException, match="needs bonds, but none are set"):
        openmm.Context(create_system(molecule, "obc2"), integrator, REFERENCE)
