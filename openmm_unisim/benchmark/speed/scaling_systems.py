"""Real molecules of about a given number of atoms: capped peptides, and cuts from a protein that pdbfixer ships."""

import tempfile
from itertools import cycle
from pathlib import Path

import numpy as np
from openmm import app, unit

from ...errors import ConfigError, DataError
from ...repair import LONGEST_PEPTIDE_BOND, repair_structure
from ...system import Molecule, build_capped_peptide, load_structure

__all__ = ["molecule_of_size", "protein_of_size", "shipped_protein"]

SMALLEST_PROTEIN = 400  # atoms; smaller molecules are peptides
_CAPS = 12  # atoms of ACE and NME
_RESIDUES = {"A": 10, "S": 11, "L": 19, "Q": 17, "V": 16, "T": 14}  # atoms, hydrogens included
_HEAVY_FRACTION = 0.502  # of a protein's atoms


def molecule_of_size(n_atoms: int, protein: Path | None = None) -> Molecule:
    """A molecule of whole residues whose number of atoms is near `n_atoms`.

    Parameters
    ----------
    n_atoms : int
        22 is ACE-ALA-NME; below `SMALLEST_PROTEIN` an extended capped peptide, above a cut from a protein.
    protein : Path, optional
        PDB file to cut from; `shipped_protein` unless told.

    Returns
    -------
    Molecule
    """
    if n_atoms < 1:
        raise ConfigError(f"A molecule of {n_atoms} atoms can't be; give a positive number.")
    if n_atoms >= SMALLEST_PROTEIN:
        return protein_of_size(n_atoms, protein or shipped_protein())
    letters, count = "", _CAPS
    for letter in cycle(_RESIDUES):
        if letters and count + _RESIDUES[letter] / 2 > n_atoms:
            return build_capped_peptide(letters)
        letters, count = letters + letter, count + _RESIDUES[letter]
    raise AssertionError("cycle never ends")


def shipped_protein() -> Path:
    """The complex of human mTOR and mLST8 (PDB entry 4JSV), among the test data that pdbfixer installs."""
    import pdbfixer

    path = Path(pdbfixer.__file__).parent / "tests" / "data" / "4JSV.pdb"
    if not path.is_file():
        raise DataError(
            f"This pdbfixer ships no '{path.name}'; give another protein's PDB file with --protein."
        )
    return path


def protein_of_size(n_atoms: int, path: Path) -> Molecule:
    """The first residues of a protein that make up about `n_atoms` atoms, completed by `repair_structure`.

    Residues come in the file's order. Where the chain has a gap a new one begins; neighbours in space that come later
    in the file are absent, so that a small cut has more surface than a small protein.

    Parameters
    ----------
    n_atoms : int
    path : Path

    Returns
    -------
    Molecule
    """
    whole = load_structure(path)
    topology, places = _cut(whole, _HEAVY_FRACTION * n_atoms)
    if len(places) < 0.9 * _HEAVY_FRACTION * n_atoms:
        raise ConfigError(
            f"'{path}' has {len(places)} heavy atoms in amino acids, too few for {n_atoms} atoms; ask for fewer."
        )
    topology.createStandardBonds()
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / f"{path.stem}.pdb"
        with cut.open("w") as stream:
            app.PDBFile.writeFile(topology, whole.positions[places] * unit.nanometer, stream)
        return repair_structure(cut)


def _cut(whole: Molecule, heavy_atoms: float) -> tuple[app.Topology, list[int]]:
    """Topology of the first residues, and which atoms of the whole these are; hydrogens are left out."""
    topology, places = app.Topology(), list[int]()
    for chain in whole.topology.chains():
        end: int | None = None  # C of the residue before
        for residue in chain.residues():
            named = {atom.name: atom.index for atom in residue.atoms()}
            if len(places) >= heavy_atoms or not {"N", "CA", "C"} <= named.keys():
                continue
            if end is None or _distance(whole, end, named["N"]) > LONGEST_PEPTIDE_BOND:
                own = topology.addChain()
            new = topology.addResidue(residue.name, own)
            for atom in residue.atoms():
                if atom.element is not None and atom.element.atomic_number > 1:
                    topology.addAtom(atom.name, atom.element, new)
                    places.append(atom.index)
            end = named["C"]
    return topology, places


def _distance(molecule: Molecule, first: int, second: int) -> float:
    return float(np.linalg.norm(molecule.positions[first] - molecule.positions[second]))
