"""Label sources by name, and which molecules each can label."""

from ...errors import DataError
from ...system import Molecule
from .mmff_source import MMFFSource
from .openmm_source import OpenMMSource
from .source import LabelSource
from .xtb_source import XTBSource

__all__ = ["SOURCES", "create_source", "sources_for"]

_OPENMM = {
    "ff14sb-obc2": ("peptide", "obc2"),
    "ff14sb-vacuum": ("peptide", "vacuum"),
    "gaff2-obc2": ("small-molecule", "obc2"),
    "gaff2-vacuum": ("small-molecule", "vacuum"),
}
SOURCES = (*_OPENMM, MMFFSource.name, XTBSource.name)


def _kind(molecule: Molecule) -> str:
    return "peptide" if molecule.parmed_structure is None else "small-molecule"


def sources_for(molecule: Molecule) -> list[str]:
    """Names of the sources that apply, the cheap ones first."""
    return [name for name in SOURCES if name not in _OPENMM or _OPENMM[name][0] == _kind(molecule)]


def create_source(name: str, molecule: Molecule) -> LabelSource:
    """The source of a name for a molecule.

    Raises
    ------
    DataError
        If there is no such source, or it can't label this kind of molecule.
    """
    if name not in SOURCES:
        raise DataError(f"There is no label source '{name}'; choose from {', '.join(SOURCES)}.")
    if name not in sources_for(molecule):
        raise DataError(f"The label source {name} has no parameters for '{molecule.name}'; leave it out.")
    if name == XTBSource.name:
        return XTBSource(molecule)
    if name == MMFFSource.name:
        return MMFFSource(molecule)
    return OpenMMSource(molecule, _OPENMM[name][1], name)
