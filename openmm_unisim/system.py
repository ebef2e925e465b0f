"""Molecules and OpenMM Systems: from a sequence or a file to a Topology, and from a Topology to a System.

The implicit-solvent environment uses OpenMM's native `GBSAOBCForce`. OpenMM's own `implicit/obc2.xml` builds a
`CustomGBForce` with the same energy that is up to 36 times slower (docs/decisions); the parameters are read from it.
"""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit
from openmm.app import modeller as modeller_module

from .errors import (
    ConfigError,
    MissingHydrogensError,
    NonFiniteError,
    PlatformError,
    StructureError,
    check_choice,
    first_line,
)

ENVIRONMENTS = ("vacuum", "obc2")
FORCE_FIELD = "amber14/protein.ff14SB.xml"
HYDROGEN_MASS = 4.0  # Da
SOLVENT_FORCE_GROUP = 1  # the environment's own force, so that guidance can name it
_OBC_RADIUS_OFFSET = 0.009  # nm, the dielectric offset that obc2.xml has subtracted already

_ONE_LETTER = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
}  # fmt: skip


@dataclass
class Molecule:
    """A molecule as OpenMM sees it.

    Attributes
    ----------
    name : str
    topology : openmm.app.Topology
        With elements and bonds.
    positions : ndarray, shape (n_atoms, 3), nm
    parmed_structure : parmed.Structure or None
        Set when the molecule came from Amber files: its own force-field parameters.
    force_field : str
        What data made of it say about their force field.
    """

    name: str
    topology: app.Topology
    positions: np.ndarray
    parmed_structure: Any = field(default=None, repr=False)
    force_field: str = FORCE_FIELD

    @property
    def atomic_numbers(self) -> np.ndarray:
        """Z of each atom, shape (n_atoms,), int64."""
        return np.array([atom.element.atomic_number for atom in self.topology.atoms()], dtype=np.int64)

    @property
    def bonds(self) -> np.ndarray:
        """Bonded pairs, shape (n_bonds, 2), int64."""
        pairs = [(bond.atom1.index, bond.atom2.index) for bond in self.topology.bonds()]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def parse_sequence(text: str) -> str | None:
    """One-letter residues of a capped sequence such as ACE-ALA-NME or ACE-NW-NME; None if it isn't one.

    Raises
    ------
    StructureError
        If the text has the form of a capped sequence but names an unknown residue.
    """
    match = re.fullmatch(r"ACE-([A-Za-z-]+)-NME", text)
    if match is None:
        return None
    letters = ""
    for part in match.group(1).upper().split("-"):
        if part in _ONE_LETTER:
            letters += _ONE_LETTER[part]
        elif part and all(letter in _ONE_LETTER.values() for letter in part):
            letters += part
        else:
            raise StructureError(
                f"'{part}' in sequence '{text}' is not an amino acid; use names such as ACE-ALA-NME."
            )
    return letters


def load_molecule(source: str | Path) -> Molecule:
    """Load a molecule from a capped sequence, a PDB or PDBx/mmCIF file, or an Amber prmtop beside its inpcrd.

    Parameters
    ----------
    source : str or Path
        For example ``"ACE-ALA-NME"``, ``"peptide.pdb"`` or ``"ligand.prmtop"``.

    Raises
    ------
    StructureError, MissingHydrogensError, NonFiniteError
        If the input can't be read, has no hydrogens, or has NaN coordinates.
    """
    letters = parse_sequence(str(source))
    if letters is not None:
        return build_capped_peptide(letters)
    path = Path(source)
    if not path.is_file():
        raise StructureError(
            f"'{source}' is neither a file nor a capped sequence such as ACE-ALA-NME; check the path."
        )
    molecule = _load_amber(path) if path.suffix in (".prmtop", ".parm7") else load_structure(path)
    check_structure(molecule)
    return molecule


def build_capped_peptide(letters: str) -> Molecule:
    """Extended all-atom peptide ACE-...-NME with hydrogens at pH 7, ff14SB atom names.

    The chain is built with a glycine at each end, whose CA, C, O (N, CA) become the ACE (NME) cap.

    Parameters
    ----------
    letters : str
        One-letter residues.
    """
    from PeptideBuilder import Geometry, PeptideBuilder

    built = PeptideBuilder.make_structure_from_geos([Geometry.geometry(letter) for letter in f"G{letters}G"])
    residues = list(built.get_residues())
    topology = app.Topology()
    chain = topology.addChain()
    positions: list[np.ndarray] = []
    for index, residue in enumerate(residues):
        cap = {0: "ACE", len(residues) - 1: "NME"}.get(index)
        renames = {"ACE": {"CA": "CH3", "C": "C", "O": "O"}, "NME": {"N": "N", "CA": "C"}}.get(
            cap or "", None
        )
        new = topology.addResidue(cap or residue.get_resname(), chain)
        for atom in residue:
            if renames is not None and atom.get_name() not in renames:
                continue
            name = renames[atom.get_name()] if renames else atom.get_name()
            topology.addAtom(name, app.Element.getBySymbol(atom.element), new)
            positions.append(np.asarray(atom.get_coord(), dtype=float) * 0.1)
    topology.createStandardBonds()
    modeller = app.Modeller(topology, np.array(positions) * unit.nanometer)
    with repeatable_placement():
        modeller.addHydrogens(app.ForceField(FORCE_FIELD), pH=7.0, platform=get_platform("Reference"))
    coordinates = np.array(modeller.positions.value_in_unit(unit.nanometer))
    return Molecule(f"ACE-{letters}-NME", modeller.topology, coordinates)


@contextmanager
def repeatable_placement() -> Iterator[None]:
    """Same hydrogens every time: OpenMM's `Modeller.addHydrogens` places them with Python's global generator.

    Meanwhile it gets one of its own. Seeding the global one would not do: other threads, such as those of a dask
    worker, draw from it, too.
    """
    shared = modeller_module.random
    modeller_module.random = random.Random(0)
    try:
        yield
    finally:
        modeller_module.random = shared


def load_structure(path: Path) -> Molecule:
    """Read a PDB or PDBx/mmCIF file as it is; `check_structure` says whether it can be used."""
    marks = ("_atom_site",) if path.suffix in (".cif", ".mmcif") else ("ATOM", "HETATM")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StructureError(f"'{path}' can't be read ({error.strerror}); check its permissions.") from error
    if not any(line.startswith(marks) for line in text.splitlines()):
        raise StructureError(f"'{path}' holds no atoms; give a PDB or mmCIF file with coordinates.")
    try:
        file = app.PDBxFile(str(path)) if path.suffix in (".cif", ".mmcif") else app.PDBFile(str(path))
        positions = np.array(file.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    except Exception as error:  # OpenMM's parsers raise many kinds
        reason = first_line(error)
        raise StructureError(
            f"'{path}' can't be read as a structure ({reason}); repair it, e.g. with pdbfixer."
        ) from error
    if len(positions) == 0:
        raise StructureError(f"'{path}' holds no atoms; give a PDB or mmCIF file with coordinates.")
    return Molecule(path.stem, file.topology, positions)


def _load_amber(path: Path) -> Molecule:
    import parmed

    companions = [path.with_suffix(suffix) for suffix in (".inpcrd", ".rst7", ".crd")]
    coordinates = next((p for p in companions if p.is_file()), None)
    if coordinates is None:
        raise StructureError(
            f"'{path}' has no coordinates beside it; put an .inpcrd or .rst7 of the same name there."
        )
    try:
        structure = parmed.load_file(str(path), xyz=str(coordinates))
    except Exception as error:
        raise StructureError(
            f"'{path}' can't be read as an Amber topology ({error}); check the file."
        ) from error
    return Molecule(
        path.stem,
        structure.topology,
        np.asarray(structure.coordinates) * 0.1,
        structure,
        f"Amber file {path.name}",
    )


def check_structure(molecule: Molecule) -> None:
    """Refuse atoms without element, coordinates that are not finite, and carbon without any hydrogen."""
    atoms = list(molecule.topology.atoms())
    for atom in atoms:
        if atom.element is None:
            raise StructureError(
                f"Atom {atom.index} ({atom.name} of {atom.residue.name}) has no element; virtual sites and dummy "
                "atoms can't jump, so remove it or name its element in the file."
            )
    if not np.isfinite(molecule.positions).all():
        bad = int(np.argwhere(~np.isfinite(molecule.positions))[0, 0])
        raise NonFiniteError(
            f"Atom {bad} of '{molecule.name}' has non-finite coordinates; repair the input structure."
        )
    symbols = [atom.element.symbol for atom in atoms]
    if "C" in symbols and "H" not in symbols:
        raise MissingHydrogensError(
            f"'{molecule.name}' has no hydrogens; give --repair, which adds what is missing with pdbfixer."
        )


def create_system(
    molecule: Molecule, environment: str, *, constraints: Any = None, hydrogen_mass: float = HYDROGEN_MASS
) -> openmm.System:
    """System of a molecule in a named environment: ff14SB (or its own Amber parameters), no cutoff.

    Parameters
    ----------
    molecule : Molecule
    environment : {"vacuum", "obc2"}
        "obc2" is Onufriev-Bashford-Case II, solvent dielectric 78.5, solute 1, in force group `SOLVENT_FORCE_GROUP`.
    constraints : openmm.app constraint kind or None
        None (flexible) is how training data are made.
    hydrogen_mass : float
        Da; the mass is taken from the bonded heavy atom.

    Raises
    ------
    ConfigError
        For an unknown environment or kind of constraints: OpenMM takes a kind that it doesn't know as none.
    """
    check_choice("Environment", environment, ENVIRONMENTS)
    if constraints not in (None, app.HBonds, app.AllBonds, app.HAngles):
        raise ConfigError(
            f"constraints = {constraints!r} is no kind of constraints; "
            "give None or openmm.app's HBonds, AllBonds or HAngles."
        )
    mass = hydrogen_mass * unit.dalton
    options = {
        "nonbondedMethod": app.NoCutoff,
        "constraints": constraints,
        "hydrogenMass": mass,
        "removeCMMotion": True,
    }
    if molecule.parmed_structure is not None:
        implicit = app.OBC2 if environment == "obc2" else None
        system = molecule.parmed_structure.createSystem(implicitSolvent=implicit, **options)
        for force in system.getForces():
            force.setForceGroup(0)  # ParmEd gives each term a group, and angles that of the solvent
    else:
        files = [FORCE_FIELD] + (["implicit/obc2.xml"] if environment == "obc2" else [])
        try:
            system = app.ForceField(*files).createSystem(molecule.topology, **options)
        except Exception as error:
            raise _force_field_complaint(molecule, str(error)) from error
    if environment == "obc2":
        _make_native_gb(system)
    return system


def _force_field_complaint(molecule: Molecule, text: str) -> StructureError:
    """OpenMM's "No template found for residue ..." as one sentence; missing hydrogens have their own class."""
    reason = " ".join(text.split()).split(". ")[0]
    residue = re.search(r"for residue (\d+ \(\w+\))", text)
    missing = re.search(r"missing (\d+) (?:H|hydrogen) atom", text)
    if residue and missing:
        return MissingHydrogensError(
            f"Residue {residue[1]} of '{molecule.name}' is missing {missing[1]} hydrogen atoms; "
            "give --repair, which adds what is missing with pdbfixer."
        )
    return StructureError(
        f"The force field {FORCE_FIELD} has no parameters for '{molecule.name}' ({reason}); name its atoms and "
        "residues as the force field does, complete it with --repair, or give Amber files with parameters."
    )


def _make_native_gb(system: openmm.System) -> None:
    """Replace a `CustomGBForce` of obc2.xml by the native force of the same parameters and energy."""
    for index in range(system.getNumForces()):
        custom = system.getForce(index)
        if isinstance(custom, openmm.GBSAOBCForce):
            custom.setForceGroup(SOLVENT_FORCE_GROUP)
            return
        if isinstance(custom, openmm.CustomGBForce):
            native = openmm.GBSAOBCForce()
            native.setNonbondedMethod(openmm.GBSAOBCForce.NoCutoff)
            native.setSoluteDielectric(1.0)
            native.setSolventDielectric(78.5)
            names = [
                custom.getPerParticleParameterName(k) for k in range(custom.getNumPerParticleParameters())
            ]
            for particle in range(system.getNumParticles()):
                values = dict(zip(names, custom.getParticleParameters(particle)))
                offset_radius, scaled = values["or"], values["sr"]
                native.addParticle(
                    values["charge"], offset_radius + _OBC_RADIUS_OFFSET, scaled / offset_radius
                )
            native.setForceGroup(SOLVENT_FORCE_GROUP)
            system.removeForce(index)
            system.addForce(native)
            return
    raise ConfigError(
        "The System holds no OBC force to make native; this molecule's parameters lack Born radii."
    )


def read_force(path: str | Path) -> openmm.Force:
    """An OpenMM Force from the XML of `openmm.XmlSerializer`, such as a restraint.

    Raises
    ------
    StructureError
        If the file can't be read or holds no Force.
    """
    try:
        found = openmm.XmlSerializer.deserialize(Path(path).read_text(encoding="utf-8"))
    except Exception as error:  # OpenMM's parser and the file system raise many kinds
        reason = first_line(error)
        raise StructureError(
            f"'{path}' can't be read as a Force ({reason}); write it with openmm.XmlSerializer.serialize."
        ) from error
    if not isinstance(found, openmm.Force):
        raise StructureError(
            f"'{path}' holds a {type(found).__name__}, not a Force; give the XML of a Force."
        )
    return found


def get_platform(name: str) -> openmm.Platform:
    """OpenMM platform by name.

    Raises
    ------
    PlatformError
        If there is none of that name here, naming those that there are.
    """
    names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    if name not in names:
        raise PlatformError(f"There is no OpenMM platform '{name}' here; choose one of {', '.join(names)}.")
    return openmm.Platform.getPlatformByName(name)
