"""A model trajectory and a reference trajectory of one molecule, read and checked once for every metric."""

from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .trajectories import LoadedTrajectory, load_topology, load_trajectory
from .uncertainty import Resampling

LEAST_FRAMES = 50


@dataclass(frozen=True)
class Comparison:
    """What every metric sees.

    Attributes
    ----------
    topology : mdtraj.Topology
    structure : ndarray, shape (n_atoms, 3), nm
        Of the topology's PDB: right handedness.
    model, reference : ndarray, shape (n_frames, n_atoms, 3), nm
        Finite frames only, in the order of time.
    model_series : ndarray, shape (n_frames + nan_frames, n_atoms, 3), nm
        All model frames, for kinetics: a dropped frame would shift time.
    nan_frames : int
        Model frames with a NaN or infinite coordinate, left out of `model`.
    model_spacing_ps, reference_spacing_ps : float or None
        Time between frames; None if unknown, and then kinetics are "n/a".
    resampling : Resampling
    """

    topology: mdtraj.Topology
    structure: NDArray[np.float32]
    model: NDArray[np.float32]
    reference: NDArray[np.float32]
    model_series: NDArray[np.float32]
    nan_frames: int
    model_spacing_ps: float | None
    reference_spacing_ps: float | None
    resampling: Resampling

    @property
    def lag_frames(self) -> int | None:
        """Reference frames in one model frame spacing; None unless it is a whole number of them."""
        if self.model_spacing_ps is None or self.reference_spacing_ps is None:
            return None
        ratio = self.model_spacing_ps / self.reference_spacing_ps
        frames = round(ratio)
        return frames if frames >= 1 and abs(ratio - frames) < 1e-3 * frames else None


def load_comparison(
    topology: str | Path,
    reference: str | Path,
    model: str | Path,
    *,
    model_spacing_ps: float | None = None,
    reference_spacing_ps: float | None = None,
    block_ps: float = 1000.0,
    repeats: int = 20,
    seed: int = 0,
) -> Comparison:
    """Read both trajectories.

    Parameters
    ----------
    topology : path
        PDB file.
    reference, model : path
        Any trajectory that `load_trajectory` reads.
    model_spacing_ps, reference_spacing_ps : float, optional
        Override what the files say.
    block_ps : float
        Duration of a bootstrap block; should outlast the slowest relaxation. 50 model frames if spacings are unknown.
    repeats, seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        If a trajectory is unreadable, too short, of other atoms, or the reference holds NaN.
    """
    atoms, structure = load_topology(topology)
    judge, judged = load_trajectory(reference, atoms), load_trajectory(model, atoms)
    if not np.isfinite(judge.positions).all():
        raise DataError(f"reference '{reference}' has NaN coordinates; give a sound MD trajectory.")
    return compare(
        judge, judged, atoms, structure, model_spacing_ps=model_spacing_ps, reference_spacing_ps=reference_spacing_ps,
        block_ps=block_ps, repeats=repeats, seed=seed,
    )  # fmt: skip


def compare(
    judge: LoadedTrajectory,
    judged: LoadedTrajectory,
    topology: mdtraj.Topology,
    structure: NDArray[np.float32],
    *,
    model_spacing_ps: float | None = None,
    reference_spacing_ps: float | None = None,
    block_ps: float = 1000.0,
    repeats: int = 20,
    seed: int = 0,
) -> Comparison:
    """The same from trajectories in memory (parameters as in `load_comparison`)."""
    finite = np.isfinite(judged.positions).all(axis=(1, 2))
    for name, frames in (("reference", judge.n_frames), ("model", int(finite.sum()))):
        if frames < LEAST_FRAMES:
            raise DataError(
                f"The {name} trajectory has {frames} finite frame{'s' * (frames != 1)} and a distribution needs "
                f"{LEAST_FRAMES}; run longer."
            )
    own = judged.frame_spacing_ps if model_spacing_ps is None else model_spacing_ps
    other = judge.frame_spacing_ps if reference_spacing_ps is None else reference_spacing_ps
    stride = max(1, round(own / other)) if own and other else 1
    block = max(1, round(block_ps / own)) if own else 50
    return Comparison(
        topology, structure, judged.positions[finite], judge.positions, judged.positions,
        int((~finite).sum()), own, other, Resampling(block, stride, repeats, seed),
    )  # fmt: skip
