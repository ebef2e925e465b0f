"""Molecules that a periodic box has cut are put together along their bonds.

=========================  ==========================================================  ==========
symbol                     meaning                                                     name here
=========================  ==========================================================  ==========
r_j <- r_i + d - h n       j bonded to i, already placed; d = r_j - r_i                make_whole
n = round(h^-1 d)          the lattice vector that d is longer by; h: box, columns     shifts
=========================  ==========================================================  ==========

Rounding fractions finds the nearest image wherever a bond is shorter than half of the box's shortest height.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["make_whole", "walk_bonds"]


def walk_bonds(bonds: NDArray[np.int64], n_atoms: int) -> NDArray[np.int64]:
    """Bonds of a spanning tree from atom 0, shape (n_atoms - 1, 2): each row's first atom is placed before its second.

    Parameters
    ----------
    bonds : ndarray, shape (n_bonds, 2)
        Of one connected molecule.
    n_atoms : int
    """
    neighbours: list[list[int]] = [[] for _ in range(n_atoms)]
    for first, second in bonds:
        neighbours[first].append(int(second))
        neighbours[second].append(int(first))
    rows, seen, waiting = [], {0}, [0]
    for atom in waiting:
        for other in neighbours[atom]:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
                rows.append((atom, other))
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def make_whole(
    positions: NDArray[np.floating], boxes: NDArray[np.floating], tree: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Frames in which no bond crosses the box.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
    boxes : ndarray, shape (n_frames, 3, 3), nm
        Box vectors as rows.
    tree : ndarray, shape (n_atoms - 1, 2)
        As from `walk_bonds`.

    Returns
    -------
    ndarray, shape (n_frames, n_atoms, 3), nm
    """
    whole = np.array(positions, dtype=np.float64)
    lattice = np.asarray(boxes, dtype=np.float64)
    inverse = np.linalg.inv(lattice)
    for placed, atom in tree:
        apart = whole[:, atom] - whole[:, placed]
        shifts = np.rint(np.einsum("fi,fij->fj", apart, inverse))
        whole[:, atom] -= np.einsum("fi,fij->fj", shifts, lattice)
    return whole
