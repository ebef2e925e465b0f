"""Unbroken stretches of dynamics, whichever kind of file they are kept in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import archive, trajectory_file

__all__ = ["Stretch", "read_attributes", "read_stretches"]


@dataclass
class Stretch:
    """Frames at equal spacing with no restart in between.

    Attributes
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), float32, nm
    reversible : bool
        Equilibrium dynamics, whose pairs may be reversed in time.
    attributes : dict
        As in the trajectory file; `frame_spacing_ps` is that of these frames.
    """

    positions: NDArray[np.float32]
    reversible: bool
    attributes: dict[str, Any]


def read_stretches(path: str | Path) -> list[Stretch]:
    """Stretches of a trajectory file or of an archive file.

    An unfinished last segment of a walker that restarts (`segment_frames`) is left out: it may be shorter than a lag.

    Raises
    ------
    DataError
        If the file is missing, broken or foreign.
    """
    if archive.is_archive(path):
        frames = archive.read(path)
        return [
            Stretch(positions, reversible, frames.attributes)
            for positions, reversible in zip(frames.stretches, frames.reversible)
        ]
    trajectory = trajectory_file.read(path)
    attributes = trajectory.attributes
    length = attributes.get("segment_frames", 0) or len(trajectory.positions)
    reversible = attributes.get("reversible", True)
    whole = range(0, len(trajectory.positions) - length + 1, max(1, length))
    return [Stretch(trajectory.positions[k : k + length], reversible, attributes) for k in whole]


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Attributes of a trajectory or archive file, without its frames.

    Raises
    ------
    DataError
        If the file is missing, broken or foreign.
    """
    if archive.is_archive(path):
        return archive.read_attributes(path)
    return trajectory_file.read_progress(path)[2]
