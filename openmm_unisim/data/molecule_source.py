"""A listed molecule as OpenMM sees it: peptides are built, small molecules come with their GAFF2 parameters."""

from pathlib import Path

from ..system import Molecule, build_capped_peptide
from .molecule_list import Entry
from .small_molecule import load_small_molecule

__all__ = ["load_entry"]


def load_entry(entry: Entry, parameters: Path) -> Molecule:
    """The molecule of an entry, under the entry's name.

    Parameters
    ----------
    entry : Entry
    parameters : Path
        Folder of small molecules' Amber files; they are made there if they are absent (`small_molecule.parameterise`).
    """
    if entry.kind == "peptide":
        return build_capped_peptide(entry.formula)
    return load_small_molecule(entry.name, entry.formula, parameters)
