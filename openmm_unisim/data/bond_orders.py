"""Bond orders and formal charges of a molecule that OpenMM knows by its bonds alone.

A peptide's come from a table of residues, put together to a SMILES and matched to the Topology as a graph of
elements and bonds (hydrogens included, so that the protonation and histidine's tautomer are those of the Topology).
A listed small molecule's come from its SMILES.
"""

from itertools import product
from typing import Any

from ..errors import StructureError
from ..system import Molecule, parse_sequence
from .molecule_list import find_entry
from .small_molecule import rdkit_molecule

__all__ = ["peptide_smiles", "with_bond_orders"]

# Residues as N...C(=O) at pH 7; histidine with its hydrogen on ND1, NE2 or both
_RESIDUES = {
    "A": ("NC(C)C(=O)",),
    "C": ("NC(CS)C(=O)",),
    "D": ("NC(CC(=O)[O-])C(=O)", "NC(CC(=O)O)C(=O)"),
    "E": ("NC(CCC(=O)[O-])C(=O)", "NC(CCC(=O)O)C(=O)"),
    "F": ("NC(Cc1ccccc1)C(=O)",),
    "G": ("NCC(=O)",),
    "H": ("NC(Cc1cnc[nH]1)C(=O)", "NC(Cc1c[nH]cn1)C(=O)", "NC(Cc1c[nH]c[nH+]1)C(=O)"),
    "I": ("NC(C(C)CC)C(=O)",),
    "K": ("NC(CCCC[NH3+])C(=O)", "NC(CCCCN)C(=O)"),
    "L": ("NC(CC(C)C)C(=O)",),
    "M": ("NC(CCSC)C(=O)",),
    "N": ("NC(CC(=O)N)C(=O)",),
    "P": ("N1CCCC1C(=O)",),
    "Q": ("NC(CCC(=O)N)C(=O)",),
    "R": ("NC(CCCNC(=[NH2+])N)C(=O)",),
    "S": ("NC(CO)C(=O)",),
    "T": ("NC(C(C)O)C(=O)",),
    "V": ("NC(C(C)C)C(=O)",),
    "W": ("NC(Cc1c[nH]c2ccccc12)C(=O)",),
    "Y": ("NC(Cc1ccc(O)cc1)C(=O)",),
}


def peptide_smiles(letters: str) -> list[str]:
    """SMILES of ACE-...-NME in every protonation and tautomer of the table, the usual one at pH 7 first."""
    return [f"CC(=O){''.join(parts)}NC" for parts in product(*(_RESIDUES[letter] for letter in letters))]


def with_bond_orders(molecule: Molecule) -> Any:
    """RDKit molecule with the atoms in the Topology's order.

    Parameters
    ----------
    molecule : Molecule
        A capped peptide, or a listed small molecule.

    Raises
    ------
    DataError
        If its bond orders aren't known (no capped peptide, not listed).
    StructureError
        If no structure of the table has the Topology's atoms and bonds.
    """
    letters = parse_sequence(molecule.name)
    if letters is None:
        entry = find_entry(molecule.name)
        candidates = [entry.formula]
    else:
        candidates = peptide_smiles(letters)
    skeleton = _skeleton(molecule.atomic_numbers.tolist(), molecule.bonds.tolist())
    for smiles in candidates:
        found = _matched(rdkit_molecule(smiles, embed=False), skeleton)
        if found is not None:
            return found
    raise StructureError(
        f"No known bond orders fit the {len(molecule.atomic_numbers)} atoms of '{molecule.name}'; "
        "use its structure as OpenMM builds it at pH 7."
    )


def _skeleton(numbers: list[int], bonds: list[list[int]]) -> Any:
    """RDKit molecule of elements and single bonds only."""
    from rdkit import Chem

    editable = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        editable.AddAtom(atom)
    for first, second in bonds:
        editable.AddBond(first, second, Chem.BondType.SINGLE)
    return editable.GetMol()


def _matched(template: Any, skeleton: Any) -> Any | None:
    """The template in the skeleton's order, or None if they differ as graphs."""
    from rdkit import Chem

    same_size = (template.GetNumAtoms(), template.GetNumBonds()) == (
        skeleton.GetNumAtoms(),
        skeleton.GetNumBonds(),
    )
    if not same_size:
        return None
    bare = _skeleton(
        [atom.GetAtomicNum() for atom in template.GetAtoms()],
        [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in template.GetBonds()],
    )
    match = bare.GetSubstructMatch(skeleton)
    if not match:
        return None
    ordered = Chem.RenumberAtoms(template, list(match))
    Chem.SanitizeMol(ordered)
    return ordered
