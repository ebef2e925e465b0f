"""Which part of a user's MD is held out: validation and the variance head need frames that weren't trained on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["hold_out"]

SHARE = 0.1  # of a single walker
GAP = 5  # lags between what is trained on and what is held out: neighbouring frames are nearly copies
FEWEST_PAIRS = 32  # held out; fewer say nothing
Stretches = list[NDArray[np.float32]]


def hold_out(
    walkers: Sequence[Stretches], lag_frames: int
) -> tuple[list[tuple[int, NDArray[np.float32]]], list[tuple[int, NDArray[np.float32]]], str]:
    """Divide walkers: the last of several is held out whole, of a single one its last tenth after a gap.

    Parameters
    ----------
    walkers : sequence of lists of ndarray, shape (n_frames, n_atoms, 3)
        Unbroken stretches of each walker.
    lag_frames : int
        Frames in a lag.

    Returns
    -------
    train, held_out : list of (int, ndarray)
        Stretches, each with the number of its walker.
    statement : str
        What was done, in words.

    Raises
    ------
    DataError
        If a part is left without pairs.
    """
    if len(walkers) > 1:
        train = [(k, frames) for k, walker in enumerate(walkers[:-1]) for frames in walker]
        held = [(len(walkers) - 1, frames) for frames in walkers[-1]]
        statement = "the last trajectory is held out"
    elif len(walkers[0]) > 1:
        count = max(1, round(SHARE * len(walkers[0])))
        train = [(0, frames) for frames in walkers[0][:-count]]
        held = [(0, frames) for frames in walkers[0][-count:]]
        statement = f"the last {count} of {len(walkers[0])} stretches are held out"
    else:
        frames = walkers[0][0]
        size = max(round(SHARE * len(frames)), lag_frames + FEWEST_PAIRS)
        train = [(0, frames[: max(0, len(frames) - size - GAP * lag_frames)])]
        held = [(0, frames[-size:])]
        statement = f"the last {size} of {len(frames)} frames are held out, after a gap of {GAP} lags"
    for part, what in ((train, "train on"), (held, "hold out")):
        pairs = sum(max(0, len(frames) - lag_frames) for _, frames in part)
        if pairs < FEWEST_PAIRS:
            raise DataError(
                f"The trajectories leave {pairs} pairs of {lag_frames} frames' lag to {what}, and {FEWEST_PAIRS} are "
                "needed; give longer ones, or a shorter --lag-time."
            )
    return train, held, statement
