"""What every reader of other programs' trajectories needs: which containers hold true times, even frame spacing, and a
reader's exception in words that help."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["TIMED", "cause_of", "even_spacing"]

# Containers from which mdtraj reads true times; for others (DCD) it numbers the frames instead.
TIMED = (".xtc", ".trr", ".nc", ".netcdf", ".ncdf")


def cause_of(error: Exception) -> str:
    """A parser's own words where they help a reader; its type where they speak of its insides."""
    if "same atoms" in str(error) or "xyz must be shape" in str(error):  # mdtraj, of another number of atoms
        return "its number of atoms isn't the topology's"
    if isinstance(error, IndexError | KeyError | TypeError) or "pickle" in str(error):
        return "it isn't in the format that its name says"
    return " ".join(str(error).split()) or type(error).__name__


def even_spacing(times: NDArray[np.floating]) -> float | None:
    """Time between frames, ps, if it is even to 1 % (XTC stores single precision); else None.

    Parameters
    ----------
    times : ndarray, shape (n_frames,), ps
    """
    steps = np.diff(np.asarray(times, dtype=np.float64))
    if len(steps) == 0 or steps.min() <= 0.0:
        return None
    mean = float(steps.mean())
    return round(mean, 6) if np.abs(steps - mean).max() <= 0.01 * mean else None
