"""Completing a structure as crystallography gives it, with pdbfixer."""

from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from .errors import StructureError
from .system import Molecule, check_structure, get_platform, load_structure, repeatable_placement

PH = 7.0
LONGEST_PEPTIDE_BOND = 0.25  # nm between C and N; beyond it residues are missing in between
_POLYMER_CAPS = {"ACE", "NME", "NH2"}


def repair_structure(path: str | Path, *, keep_heterogens: bool = True) -> Molecule:
    """Load a PDB or PDBx/mmCIF file and add the heavy atoms and hydrogens (pH 7) that its residues lack.

    Atoms that are there stay where they are. Residues are neither added nor exchanged: a chain with a gap is an error,
    and non-standard residues stay. Nothing is fetched from the network. The same file gives the same structure each
    time (Reference platform, fixed seed).

    Parameters
    ----------
    path : str or Path
    keep_heterogens : bool
        False removes every residue, water included, that is neither a standard amino acid nor a cap.

    Returns
    -------
    Molecule

    Raises
    ------
    StructureError, NonFiniteError
        If the file can't be read or repaired, or a chain has a gap.
    """
    from pdbfixer import PDBFixer
    from pdbfixer.pdbfixer import proteinResidues

    path = Path(path)
    if path.suffix.lower() not in (".pdb", ".ent", ".cif", ".mmcif"):
        raise StructureError(
            f"'{path}' is no PDB or mmCIF file, and only those can be repaired; leave repair out."
        )
    if not path.is_file():
        raise StructureError(f"There is no file '{path}' to repair; check the path.")
    load_structure(path)  # what can't be read at all has its own errors
    try:
        fixer = PDBFixer(filename=str(path), platform=get_platform("Reference"))
        if not keep_heterogens:
            _remove_heterogens(fixer, {*proteinResidues, *_POLYMER_CAPS})
        _check_chains(path, fixer.topology, _coordinates(fixer.positions))
        fixer.missingResidues = {}  # no loops or tails are invented
        fixer.findMissingAtoms()
        fixer.addMissingAtoms(seed=1)
        # not PDBFixer.addMissingHydrogens, which downloads definitions of residues that it doesn't know
        modeller = app.Modeller(fixer.topology, fixer.positions)
        with repeatable_placement():
            modeller.addHydrogens(pH=PH, platform=get_platform("Reference"))
    except (ValueError, KeyError, openmm.OpenMMException) as error:
        if isinstance(error, StructureError):
            raise
        reason = " ".join(str(error).split()).split(".  ")[0]
        raise StructureError(
            f"'{path}' can't be repaired ({reason}); complete it with a modelling program."
        ) from error
    molecule = Molecule(path.stem, modeller.topology, _coordinates(modeller.positions))
    check_structure(molecule)
    return molecule


def _coordinates(positions: unit.Quantity) -> np.ndarray:
    return np.array(positions.value_in_unit(unit.nanometer), dtype=float)


def _remove_heterogens(fixer: Any, keep: set[str]) -> None:
    modeller = app.Modeller(fixer.topology, fixer.positions)
    modeller.delete([residue for residue in fixer.topology.residues() if residue.name not in keep])
    fixer.topology, fixer.positions = modeller.topology, modeller.positions


def _check_chains(path: Path, topology: app.Topology, positions: np.ndarray) -> None:
    """Refuse a chain whose neighbouring residues are too far apart to be bonded."""
    for bond in topology.bonds():
        before, after = bond.atom1.residue, bond.atom2.residue
        if before is after or {bond.atom1.name, bond.atom2.name} != {"C", "N"}:
            continue
        length = float(np.linalg.norm(positions[bond.atom1.index] - positions[bond.atom2.index]))
        if length > LONGEST_PEPTIDE_BOND:
            raise StructureError(
                f"'{path}' has a gap in chain {before.chain.id} between {before.name} {before.id} and {after.name} "
                f"{after.id} ({length:.2f} nm from C to N); build the missing residues with a modelling program."
            )
