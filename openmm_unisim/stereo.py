"""Stereocentres of a Topology: four-coordinate atoms whose four branches differ.

Bond orders are not needed: a carbon (or other tetravalent centre) with four neighbours is sp3. Whether two of
its branches are the same is decided by refining atom classes over the graph until they no longer split (the
Weisfeiler-Lehman, or Morgan, procedure; Morgan, J. Chem. Doc. 5 (1965) 107), starting from the elements. Two
hydrogens of a methylene, or the two methyls of leucine, end in one class, so that their centre is none.
Centres that differ only by the handedness of their branches (meso compounds) are not found; none occur in
amino acids.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from openmm import app

__all__ = ["find_stereocentres", "handedness", "stereocentres"]

_TETRAHEDRAL = {6, 7, 14, 15, 16}  # C, N+, Si, P, S


def find_stereocentres(topology: app.Topology) -> NDArray[np.int64]:
    """Centres and three of their neighbours, in a fixed order.

    Parameters
    ----------
    topology : openmm.app.Topology

    Returns
    -------
    ndarray, shape (n_centres, 4)
        Row (centre, a, b, d): a, b, d are the three neighbours of highest element, then lowest index.
    """
    numbers = [atom.element.atomic_number for atom in topology.atoms()]
    return stereocentres(numbers, [(bond.atom1.index, bond.atom2.index) for bond in topology.bonds()])


def stereocentres(numbers: Sequence[int], bonds: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """`find_stereocentres` of atomic numbers, shape (n_atoms,), and bonds, shape (n_bonds, 2)."""
    neighbours: list[list[int]] = [[] for _ in numbers]
    for first, second in bonds:
        neighbours[first].append(second)
        neighbours[second].append(first)
    classes = _refined_classes(numbers, neighbours)
    rows = []
    for centre, around in enumerate(neighbours):
        if len(around) != 4 or numbers[centre] not in _TETRAHEDRAL:
            continue
        if len({classes[atom] for atom in around}) == 4:
            rows.append([centre, *sorted(around, key=lambda atom: (-numbers[atom], atom))[:3]])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def handedness(positions: NDArray[np.floating], centres: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sign of (a - c) . [(b - c) x (d - c)] at each centre.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3)
    centres : ndarray, shape (n_centres, 4)
        As from `stereocentres`.

    Returns
    -------
    ndarray, shape (n_frames, n_centres)
        +1 or -1; 0 if flat, NaN where a position is.
    """
    a, b, d = (positions[:, centres[:, k]] - positions[:, centres[:, 0]] for k in (1, 2, 3))
    return np.sign(np.einsum("fci,fci->fc", a, np.cross(b, d)))


def _refined_classes(numbers: Sequence[int], neighbours: list[list[int]]) -> list[int]:
    classes = list(numbers)
    count = len(set(classes))
    while True:
        signatures = [
            (classes[i], tuple(sorted(classes[j] for j in around))) for i, around in enumerate(neighbours)
        ]
        names = {signature: rank for rank, signature in enumerate(sorted(set(signatures)))}
        classes = [names[signature] for signature in signatures]
        if len(names) == count:
            return classes
        count = len(names)
