"""Relabelling of equivalent hydrogens: three hydrogens on one sp3 centre turn in picoseconds, and their labels carry
no physics, so the end point of a pair is relabelled to lie as near to the start as possible.

Only cyclic permutations are used: a transposition would mirror the group.
"""

import torch
from torch import Tensor


def methyl_groups(atomic_numbers: Tensor, bonds: Tensor) -> Tensor:
    """Triples of hydrogens on one heavy atom with a single other neighbour (CH3, NH3+).

    Parameters
    ----------
    atomic_numbers : Tensor, shape (n_atoms,), int64
    bonds : Tensor, shape (n_bonds, 2), int64

    Returns
    -------
    Tensor, shape (n_groups, 3), int64
    """
    neighbours: list[list[int]] = [[] for _ in range(len(atomic_numbers))]
    for first, second in bonds.tolist():
        neighbours[first].append(second)
        neighbours[second].append(first)
    groups = []
    for atom, bonded in enumerate(neighbours):
        hydrogens = [k for k in bonded if int(atomic_numbers[k]) == 1]
        if int(atomic_numbers[atom]) > 1 and len(hydrogens) == 3 and len(bonded) <= 4:
            groups.append(hydrogens)
    return torch.tensor(groups, dtype=torch.int64).reshape(-1, 3)


def match_hydrogens(mobile: Tensor, target: Tensor, groups: Tensor) -> Tensor:
    """Relabel each group of `mobile` by the cyclic permutation that lies nearest to `target`.

    Parameters
    ----------
    mobile, target : Tensor, shape (n_copies, n_atoms, 3)
        Superposed already.
    groups : Tensor, shape (n_groups, 3), int64

    Returns
    -------
    Tensor, shape (n_copies, n_atoms, 3)
    """
    if groups.numel() == 0:
        return mobile
    matched = mobile.clone()
    ours = mobile[:, groups]  # (copies, groups, 3, 3)
    theirs = target[:, groups]
    turned = torch.stack([ours.roll(shift, 2) for shift in range(3)], 0)
    cost = ((turned - theirs) ** 2).sum((-1, -2))  # (3, copies, groups)
    best = cost.argmin(0)
    chosen = torch.gather(turned, 0, best.view(1, *best.shape, 1, 1).expand(1, -1, -1, 3, 3))[0]
    matched[:, groups] = chosen
    return matched
