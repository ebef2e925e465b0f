"""The molecules of this project and their split: what may be trained on, what steers training, what only judges it.

The lists are package data (`molecules/peptides.csv`, `molecules/small_molecules.csv`; the rule is in the README beside
them): training of any stage uses `train` only, `valid` steers it, `test` is for reports. A capped peptide of one to six
residues that isn't listed is never trained on.

Protonation and tautomers: a peptide is as OpenMM's `Modeller.addHydrogens` makes it at pH 7 (Asp and Glu charged, Lys
and Arg charged, Cys a thiol, His neutral, the tautomer OpenMM's choice). A small molecule is exactly what its SMILES
draws: neutral acids and amines, the drawn tautomer.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from ..errors import DataError

__all__ = ["KINDS", "SPLITS", "Entry", "find_entry", "listed", "require_split"]

Kind = Literal["peptide", "small-molecule"]
SPLITS = ("train", "valid", "test")
KINDS = ("peptide", "small-molecule")
_FILES = {"peptide": ("peptides.csv", "sequence"), "small-molecule": ("small_molecules.csv", "smiles")}


@dataclass(frozen=True)
class Entry:
    """One listed molecule.

    Attributes
    ----------
    name : str
        "ACE-NW-NME" or "butane"; the stem of every file made of it.
    kind : {"peptide", "small-molecule"}
    formula : str
        One-letter sequence of a peptide, SMILES of a small molecule.
    split : {"train", "valid", "test"}
    """

    name: str
    kind: Kind
    formula: str
    split: str

    @property
    def n_residues(self) -> int:
        """Residues between the caps; 0 for a small molecule."""
        return len(self.formula) if self.kind == "peptide" else 0


@cache
def _entries() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for kind, (filename, column) in _FILES.items():
        text = (files(__package__) / "molecules" / filename).read_text(encoding="utf-8")
        for row in csv.DictReader(text.splitlines()):
            if row["split"] not in SPLITS:
                raise DataError(f"'{row['name']}' in {filename} has the unknown split '{row['split']}'.")
            found.append(Entry(row["name"], kind, row[column], row["split"]))  # type: ignore[arg-type]
    return tuple(found)


def listed(split: str | None = None, kind: str | None = None) -> list[Entry]:
    """Entries of a split (None: all) and kind (None: both), in the lists' order.

    Raises
    ------
    DataError
        If there is no such split or kind.
    """
    for value, known, what in ((split, SPLITS, "split"), (kind, KINDS, "kind")):
        if value is not None and value not in known:
            raise DataError(f"There is no {what} '{value}'; choose one of {', '.join(known)}.")
    return [e for e in _entries() if split in (None, e.split) and kind in (None, e.kind)]


def find_entry(name: str) -> Entry:
    """The entry of a name.

    Raises
    ------
    DataError
        If it isn't listed.
    """
    for entry in _entries():
        if entry.name == name:
            return entry
    raise DataError(
        f"'{name}' is in neither molecule list; see openmm_unisim/data/molecules, or use `openmm-unisim generate`."
    )


def require_split(names: Iterable[str], split: str = "train") -> None:
    """Refuse molecules outside a split: every trainer calls it with the molecules it is about to train on.

    Names that are in no list (the user's own molecules) pass, except capped peptides of one to six residues, which
    judge transfer.

    Raises
    ------
    DataError
        Naming the first that may not be used.
    """
    splits = {entry.name: entry.split for entry in _entries()}
    for name in names:
        parts = name.split("-")
        capped = len(parts) == 3 and (parts[0], parts[2]) == ("ACE", "NME") and len(parts[1]) <= 6
        found = splits.get(name, "unlisted, to judge transfer" if capped else split)
        if found != split:
            raise DataError(f"'{name}' is {found}, not {split}: leave it out of these data.")
