"""Which atoms of someone's system are the molecule to learn: water and ions go, one molecule must be left.

A molecule is a connected part of the bond graph. Water is told by its elements (sites without one may be bonded to it),
an ion by being one unbonded atom of an element that occurs as such.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

from ..elements import check_elements
from ..errors import DataError, MissingHydrogensError, StructureError
from ..system import Molecule, check_structure, load_structure

__all__ = ["ChosenMolecule", "choose_molecule"]

_ION_SYMBOLS = {"Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Ba", "Zn", "Fe", "Cu", "Mn", "F", "Cl", "Br", "I"}
_ONE_LETTER = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "ASH": "D", "CYS": "C", "CYX": "C", "CYM": "C", "GLN": "Q",
    "GLU": "E", "GLH": "E", "GLY": "G", "HIS": "H", "HID": "H", "HIE": "H", "HIP": "H", "HSD": "H", "HSE": "H",
    "HSP": "H", "ILE": "I", "LEU": "L", "LYS": "K", "LYN": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S",
    "THR": "T", "TRP": "W", "TYR": "Y", "VAL": "V",
}  # fmt: skip


@dataclass(frozen=True)
class ChosenMolecule:
    """The molecule, and where its atoms are in the whole system.

    Attributes
    ----------
    molecule : Molecule
        With the name by which the split is known: the sequence of a capped peptide, the file's stem otherwise.
    atoms : ndarray, shape (n_atoms,), int64
        Indices in the topology file.
    n_system : int
        Atoms of the topology file.
    left_out : str
        What isn't used, in words; empty if nothing.
    """

    molecule: Molecule
    atoms: NDArray[np.int64]
    n_system: int
    left_out: str


def choose_molecule(path: Path, select: str = "") -> ChosenMolecule:
    """The one molecule of a PDB or mmCIF file that is no solvent, or the one that is selected.

    Parameters
    ----------
    path : Path
    select : str
        In mdtraj's selection language; empty: everything but water and ions.

    Raises
    ------
    StructureError, DataError
        If the file can't be read, an atom lacks bonds, element or a place in the vocabulary, or there isn't exactly one
        molecule.
    """
    if not path.is_file():
        raise StructureError(f"There is no topology file '{path}'; give a PDB or mmCIF file.")
    system = load_structure(path)
    atoms = list(system.topology.atoms())
    parts = _connected(system.topology)
    if select:
        chosen = _selected(system.topology, select)
        kept = [part for part in parts if chosen & set(part)]
        for part in kept:
            if not set(part) <= chosen:
                raise DataError(
                    f"--select '{select}' takes a piece of a molecule ({_describe(atoms, part)}); select all of it."
                )
        others: dict[str, int] = {"atom outside the selection": len(atoms) - len(chosen)}
    else:
        kept, others = _without_solvent(path, atoms, parts)
    if len(kept) != 1:
        names = "; ".join(_describe(atoms, part) for part in kept[:4]) or "none"
        raise DataError(
            f"'{path}' holds {len(kept)} molecules beside water and ions ({names}), and training takes one: choose it "
            "with --select, in mdtraj's selection language, such as --select 'chainid 0'."
        )
    indices = np.array(sorted(kept[0]), dtype=np.int64)
    left_out = ", ".join(_counted(count, what) for what, count in others.items() if count)
    return ChosenMolecule(_molecule(path, system, indices), indices, len(atoms), left_out)


def _counted(count: int, what: str) -> str:
    noun, _, rest = what.partition(" ")
    return f"{count} {noun}{'' if count == 1 else 's'}{' ' + rest if rest else ''}"


def _connected(topology: app.Topology) -> list[list[int]]:
    """Atoms of each connected part of the bond graph, in the order of their first atoms."""
    neighbours: list[list[int]] = [[] for _ in range(topology.getNumAtoms())]
    for bond in topology.bonds():
        neighbours[bond.atom1.index].append(bond.atom2.index)
        neighbours[bond.atom2.index].append(bond.atom1.index)
    parts, seen = [], [False] * len(neighbours)
    for first in range(len(neighbours)):
        if seen[first]:
            continue
        part, waiting = [], [first]
        seen[first] = True
        while waiting:
            atom = waiting.pop()
            part.append(atom)
            for other in neighbours[atom]:
                if not seen[other]:
                    seen[other] = True
                    waiting.append(other)
        parts.append(part)
    return parts


def _selected(topology: app.Topology, select: str) -> set[int]:
    import mdtraj

    try:
        found = mdtraj.Topology.from_openmm(topology).select(select)
    except Exception as error:  # pyparsing's and others'
        reason = " ".join(str(error).split())
        raise DataError(
            f"--select '{select}' isn't understood ({reason}); use mdtraj's language, such as 'resname LIG'."
        ) from error
    if len(found) == 0:
        raise DataError(f"--select '{select}' selects no atom; look at the names in the topology file.")
    return {int(index) for index in found}


def _without_solvent(
    path: Path, atoms: list[app.topology.Atom], parts: list[list[int]]
) -> tuple[list[list[int]], dict[str, int]]:
    """Parts that are neither water nor ions, and how many of those there are."""
    kept, counts = [], Counter[str]()
    for part in parts:
        symbols = sorted(atoms[index].element.symbol for index in part if atoms[index].element is not None)
        if symbols == ["H", "H", "O"]:
            counts["water"] += 1
        elif not symbols:
            counts["site without an element"] += 1
        elif len(part) == 1 and symbols[0] in _ION_SYMBOLS:
            counts["ion"] += 1
        elif len(part) == 1:
            atom = atoms[part[0]]
            raise StructureError(
                f"Atom {atom.index} ({atom.name} of {atom.residue.name} {atom.residue.id}) of '{path}' has no bonds; "
                "the model needs them, so add CONECT records or give residues that OpenMM knows."
            )
        else:
            kept.append(part)
    return kept, dict(counts)


def _describe(atoms: list[app.topology.Atom], part: list[int]) -> str:
    residues = list(dict.fromkeys(atoms[index].residue for index in sorted(part)))
    names = "-".join(residue.name for residue in residues[:4]) + ("-…" if len(residues) > 4 else "")
    return f"{names}, {len(part)} atoms from atom {min(part)} on"


def _molecule(path: Path, system: Molecule, indices: NDArray[np.int64]) -> Molecule:
    """The chosen atoms as a molecule of their own, checked."""
    kept = {int(index) for index in indices}
    modeller = app.Modeller(system.topology, system.positions * unit.nanometer)
    modeller.delete([atom for atom in system.topology.atoms() if atom.index not in kept])
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer)).reshape(-1, 3)
    name = _sequence(modeller.topology) or path.stem
    molecule = Molecule(name, modeller.topology, positions)
    try:
        check_structure(molecule)
    except MissingHydrogensError as error:
        raise MissingHydrogensError(
            f"'{path}' has no hydrogens, and the model is all-atom; give MD whose frames hold them."
        ) from error
    check_elements(molecule.atomic_numbers.tolist())
    return molecule


def _sequence(topology: app.Topology) -> str | None:
    """ACE-…-NME with one-letter residues, as the molecule lists name them; None for anything else."""
    names = [residue.name.upper() for residue in topology.residues()]
    if len(names) < 3 or names[0] != "ACE" or names[-1] not in ("NME", "NMA"):
        return None
    letters = [_ONE_LETTER.get(name) for name in names[1:-1]]
    return None if None in letters else f"ACE-{''.join(letter for letter in letters if letter)}-NME"
