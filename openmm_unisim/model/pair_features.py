"""What is known of the pairs of a molecule besides their geometry, as the edges of the conditioned form read it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["PairFeatures", "pair_features"]


class PairFeatures(NamedTuple):
    """Pairs of copies of one molecule; N = n_copies * n_atoms.

    Attributes
    ----------
    distance : Tensor, shape (n_atoms, n_atoms), int64
        Bonds between.
    reference : Tensor, shape (n_atoms, n_atoms), angstrom
        Reference lengths.
    times : Tensor, shape (n_copies, time features)
    width : Tensor, shape (n_copies,), angstrom
        Unit of the strain of stiff pairs.
    given : Tensor, shape (N, n_atoms, kinds + time features)
        Kind of pair, one-hot, and time features; empty where the fused operator makes them.
    stiff : Tensor, shape (N, n_atoms)
        1 for pairs one or two bonds apart; empty likewise.
    """

    distance: Tensor
    reference: Tensor
    times: Tensor
    width: Tensor
    given: Tensor
    stiff: Tensor


def pair_features(
    distance: Tensor, reference: Tensor, times: Tensor, width: Tensor, kinds: int
) -> PairFeatures:
    """All of them, from the bonds between, the reference lengths, the time features and the width."""
    copies, atoms = times.size(0), distance.size(0)
    kind = functional.one_hot(distance, kinds).to(times.dtype).repeat(copies, 1, 1)
    spread = times.repeat_interleave(atoms, 0).unsqueeze(1).expand(-1, atoms, -1)
    stiff = ((distance == 1) | (distance == 2)).to(times.dtype).repeat(copies, 1)
    return PairFeatures(distance, reference, times, width, torch.cat([kind, spread], -1), stiff)
