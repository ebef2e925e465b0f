"""How strongly an environment has to tilt jumps: alpha, from pairs of the model's own environment."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.pairs import PairSampler
from ..interpolant.tilt import calibrated_alpha, effective_share, energy_memory, tilt_weights
from .molecule_set import MoleculeSet, TrainingMolecule

__all__ = ["EnergyEnds", "calibrate_strength", "ends_of_pairs", "strength_of_pairs"]

EnergyEnds = tuple[
    Tensor, Tensor, Tensor
]  # eps at both ends, shape (n_pairs,), and which pairs are of equilibrium MD


def ends_of_pairs(sampler: PairSampler, energy: Tensor) -> EnergyEnds:
    """eps at both ends of every pair that a sampler may return; `energy`, shape (n_frames,), is that of its frames."""
    first, second = sampler.directed()
    back = torch.ones(int(sampler.reversible.sum()), dtype=torch.bool)
    return energy[first], energy[second], torch.cat([sampler.reversible, back])


def strength_of_pairs(ends: Sequence[EnergyEnds], alpha: float = 0.0) -> dict[str, float]:
    """alpha and memory, from the equilibrium pairs of all molecules where there are any.

    Parameters
    ----------
    ends : sequence of EnergyEnds
        One for each molecule.
    alpha : float
        Taken instead of the estimate, unless 0.
    """
    kept = [(start[own], end[own]) if own.any() else (start, end) for start, end, own in ends]
    start = torch.cat([first - first.mean() for first, _ in kept])
    end = torch.cat([second - first.mean() for first, second in kept])
    return {"alpha": float(alpha or calibrated_alpha(start, end)), "memory": energy_memory(start, end)}


def calibrate_strength(
    molecules: MoleculeSet, lag_time: float, energies: Callable[[TrainingMolecule], Tensor]
) -> dict[str, Any]:
    """alpha of an environment and how far the pairs reach into it.

    Parameters
    ----------
    molecules : MoleculeSet
        MD of the model's own environment.
    lag_time : float, ps
    energies : callable
        eps of a molecule's frames, shape (n_frames,).

    Returns
    -------
    dict
        `alpha`, `memory` (share of eps that is left after the lag), `pairs`, and `effective_share`, Kish's share of the
        pairs that count in the other environment.
    """
    ends = [ends_of_pairs(molecule.samplers[lag_time], energies(molecule)) for molecule in molecules]
    found = strength_of_pairs(ends)
    weights = [tilt_weights(start, end, found["alpha"], found["memory"]).weights for start, end, _ in ends]
    pairs = sum(len(w) for w in weights)
    share = sum(effective_share(w) * len(w) for w in weights) / pairs
    return found | {"pairs": pairs, "effective_share": share}
