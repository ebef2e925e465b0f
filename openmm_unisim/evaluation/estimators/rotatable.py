"""Torsions about rotatable bonds, from the bond graph alone: side chains of peptides, and small molecules.

A bond is rotatable if it is in no ring and both its atoms have further neighbours, at least one of them other than
two or three hydrogens: methyls, ammonium and amino groups turn without changing anything but labels. Hydroxyls count.
The peptide backbone (phi, psi, omega) is left to `features`. A molecule without rotatable bonds is judged by the
torsions of its rings, which tell how flat it is.
"""

from dataclasses import dataclass

import mdtraj
import numpy as np
from numpy.typing import NDArray

from .distributions import FloatArray, wrap_degrees
from .validity import bond_pairs

__all__ = ["RotatableTorsion", "rotatable_torsions", "torsion_angles"]

_BACKBONE = {"N", "CA", "C", "CH3"}


@dataclass(frozen=True)
class RotatableTorsion:
    """A torsion a-b-c-d about the bond b-c.

    Attributes
    ----------
    label : str
        Residue and atom names, e.g. ``LYS 3 CA-CB-CG-CD``.
    atoms : tuple of int
    """

    label: str
    atoms: tuple[int, int, int, int]


def rotatable_torsions(topology: mdtraj.Topology) -> list[RotatableTorsion]:
    """Torsions to judge a molecule by beside phi and psi, in the order of its bonds.

    The outer atoms are the neighbours of highest element, then lowest index.
    """
    atoms = list(topology.atoms)
    around: list[list[int]] = [[] for _ in atoms]
    for first, second in bond_pairs(topology):
        around[first].append(int(second))
        around[second].append(int(first))
    turning, rings = [], []
    for first, second in bond_pairs(topology):
        b, c = int(first), int(second)
        outer = [[atom for atom in around[one] if atom != other] for one, other in ((b, c), (c, b))]
        if not all(outer) or _is_backbone(atoms[b], atoms[c]):
            continue
        ends = [max(side, key=lambda k: (atoms[k].element.atomic_number, -k)) for side in outer]
        torsion = RotatableTorsion(_label(atoms, (ends[0], b, c, ends[1])), (ends[0], b, c, ends[1]))
        if _in_ring(around, b, c):
            rings.append(torsion)
        elif not any(_only_hydrogens(atoms, side) for side in outer):
            turning.append(torsion)
    return turning or ([] if any("CA" == atom.name for atom in atoms) else rings)


def torsion_angles(
    positions: NDArray[np.floating], topology: mdtraj.Topology, torsions: list[RotatableTorsion]
) -> FloatArray:
    """Angles in degrees, [-180, 180), shape (n_frames, n_torsions); NaN where positions are."""
    frames = mdtraj.Trajectory(np.asarray(positions, dtype=np.float32), topology)
    rows = np.array([torsion.atoms for torsion in torsions], dtype=np.int64).reshape(-1, 4)
    angles = mdtraj.compute_dihedrals(frames, rows, periodic=False)
    return wrap_degrees(np.degrees(angles.astype(np.float64)))


def _is_backbone(first: mdtraj.core.topology.Atom, second: mdtraj.core.topology.Atom) -> bool:
    """Whether a bond is of the peptide chain: of caps and residues that have the standard names."""
    named = {first.name, second.name} <= _BACKBONE
    residues = (first.residue, second.residue)
    return named and any("CA" in {a.name for a in r.atoms} or r.name in ("ACE", "NME") for r in residues)


def _only_hydrogens(atoms: list[mdtraj.core.topology.Atom], side: list[int]) -> bool:
    return len(side) > 1 and all(atoms[k].element.symbol == "H" for k in side)


def _in_ring(around: list[list[int]], first: int, second: int) -> bool:
    """Whether the ends of a bond are joined without it."""
    reached, shell = {first}, {first}
    while shell:
        shell = {n for atom in shell for n in around[atom] if {atom, n} != {first, second}} - reached
        reached |= shell
    return second in reached


def _label(atoms: list[mdtraj.core.topology.Atom], torsion: tuple[int, int, int, int]) -> str:
    names = "-".join(atoms[k].name for k in torsion)
    residue = atoms[torsion[1]].residue
    several = len({atom.residue.index for atom in atoms}) > 1
    return f"{residue.name} {residue.resSeq} {names}" if several else names
