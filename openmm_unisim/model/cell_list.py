"""Neighbour search with cells: memory and time linear in the number of atoms at bounded density.

Atoms are sorted by the key of their cell (group, x, y, z); the three cells along z that may hold neighbours
are then one run of the sorted atoms, so that nine runs cover the 27 cells around an atom. No array over cells
is made: empty space and far-apart molecules cost nothing.
"""

from typing import List, Tuple

import torch
from torch import Tensor

from ..errors import NonFiniteError

__all__ = ["cell_list_pairs", "pair_length"]


def pair_length(displacement: Tensor) -> Tensor:
    """Length over the last axis, the same arithmetic (hence the same bits) for any shape before it.

    Parameters
    ----------
    displacement : Tensor, shape (..., 3)

    Returns
    -------
    Tensor, shape (...)
    """
    x, y, z = displacement[..., 0], displacement[..., 1], displacement[..., 2]
    return (x * x + y * y + z * z).sqrt()


def _cell_keys(positions: Tensor, group: Tensor, edge: float) -> Tuple[Tensor, Tensor]:
    """One int64 per atom, ordered by group, then cell x, y, z; and the number of cells along each axis."""
    low = positions.min(0).values
    extent = (positions.max(0).values - low).to(torch.float64) / edge + 4.0
    if float(extent.prod() * (group.max() + 1)) > 4.0e18:  # int64 keys would overflow
        raise NonFiniteError(
            "The positions span too much space for a cell list; atoms have flown apart: check the last step."
        )
    cell = ((positions - low) / edge).floor().to(torch.int64) + 1  # from 1: empty cells all around
    size = cell.max(0).values + 2
    return ((group * size[0] + cell[:, 0]) * size[1] + cell[:, 1]) * size[2] + cell[:, 2], size


def cell_list_pairs(positions: Tensor, group: Tensor, cutoff: float) -> Tuple[Tensor, Tensor]:
    """All ordered pairs of a group closer than `cutoff`, self-pairs included.

    Parameters
    ----------
    positions : Tensor, shape (n_atoms, 3), angstrom
        Finite.
    group : Tensor, shape (n_atoms,), int64
        Non-negative; only atoms of equal group pair up.
    cutoff : float, angstrom

    Returns
    -------
    source, destination : Tensor, shape (E,), int64
        In no particular order.
    """
    n_atoms = positions.size(0)
    atoms = torch.arange(n_atoms, device=positions.device)
    if n_atoms == 0:
        return atoms, atoms
    # Cells wider than the cutoff, so that rounding of a cell's number loses no pair.
    keys, size = _cell_keys(positions, group, 1.01 * cutoff)
    order = torch.argsort(keys)
    sorted_keys = keys[order]
    sources: List[Tensor] = []
    destinations: List[Tensor] = []
    for shift_x in (-1, 0, 1):
        for shift_y in (-1, 0, 1):
            centre = keys + (shift_x * size[1] + shift_y) * size[2]
            first = torch.searchsorted(sorted_keys, centre - 1)
            count = torch.searchsorted(sorted_keys, centre + 1, right=True) - first
            destination = torch.repeat_interleave(atoms, count)
            run_start = torch.cumsum(count, 0) - count
            within = torch.arange(destination.numel(), device=positions.device) - run_start[destination]
            source = order[first[destination] + within]
            near = pair_length(positions[source] - positions[destination]) < cutoff
            sources.append(source[near])
            destinations.append(destination[near])
    return torch.cat(sources), torch.cat(destinations)
