"""Comparisons of alanine dipeptide for tests: rigid molecules turned to given torsions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_unisim.evaluation.comparison import Comparison, compare
from openmm_unisim.evaluation.metric import Metric
from openmm_unisim.evaluation.reference import shipped_reference
from openmm_unisim.evaluation.trajectories import LoadedTrajectory, load_topology
from tests.evaluation.runs import PDB, dipeptide

ALPHA, PII = (-70.0, -20.0), (-70.0, 150.0)  # phi, psi


def pair(
    model: NDArray[Any],
    reference: NDArray[Any],
    *,
    model_spacing_ps: float | None = 10.0,
    reference_spacing_ps: float | None = 10.0,
    repeats: int = 10,
    block_ps: float = 1000.0,
) -> Comparison:
    """Of positions (n_frames, 22, 3) nm, or torsions (n_frames, 2) in degrees."""
    topology, structure = load_topology(PDB)
    runs = [
        LoadedTrajectory(
            frames if frames.ndim == 3 else dipeptide(frames[:, 0], frames[:, 1]), topology, spacing
        )
        for frames, spacing in ((model, model_spacing_ps), (reference, reference_spacing_ps))
    ]
    return compare(runs[1], runs[0], topology, structure, repeats=repeats, block_ps=block_ps)


def shipped_torsions(first: int, last: int) -> NDArray[np.float64]:
    """phi and psi of frames of the shipped MD, shape (last - first, 2), degrees."""
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    assert reference is not None
    return np.stack([reference.torsions[0].phi, reference.torsions[0].psi], axis=1)[first:last]


def of_states(
    states: NDArray[np.int64], places: tuple[tuple[float, float], ...] = (ALPHA, PII)
) -> NDArray[Any]:
    """Torsions (n_frames, 2) of a discrete trajectory; a negative state is NaN."""
    torsions = np.array([*places, (np.nan, np.nan)])
    return torsions[states]


def two_state_chain(
    n_frames: int, leave_first: float, leave_second: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """A Markov chain of states 0 and 1."""
    uniform, states = generator.random(n_frames), np.zeros(n_frames, dtype=np.int64)
    for frame in range(1, n_frames):
        leaves = uniform[frame] < (leave_first, leave_second)[states[frame - 1]]
        states[frame] = 1 - states[frame - 1] if leaves else states[frame - 1]
    return states


def by_key(metrics: list[Metric]) -> dict[str, Metric]:
    """Keys are unique."""
    found = {metric.key: metric for metric in metrics}
    assert len(found) == len(metrics)
    return found
