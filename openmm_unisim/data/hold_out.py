"""Which part of a user's MD is held out: validation and the variance head need frames that weren't trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["Piece", "hold_out"]

SHARE = 0.1  # of a single trajectory's frames
MOST = 0.25  # of them, in whole stretches
GAP = 5  # lags between what is trained on and what is held out: neighbouring frames are nearly copies
FEWEST_PAIRS = 32  # held out; fewer say nothing


class Piece(NamedTuple):
    """Unbroken dynamics.

    Attributes
    ----------
    walker : int
        Number of its trajectory.
    frames : ndarray, shape (n_frames, n_atoms, 3)
    reversible : bool
        Equilibrium dynamics, whose pairs may be reversed in time.
    """

    walker: int
    frames: NDArray[np.float32]
    reversible: bool


def hold_out(pieces: Sequence[Piece], lag_frames: int) -> tuple[list[Piece], list[Piece], str]:
    """Divide pieces: of several trajectories one is held out, of a single one about a tenth.

    It is the last, so that a user can choose, but for one that has more than half of all frames: then the shortest.

    A single trajectory that was restarted gives whole stretches, the last ones that aren't too large; one that
    wasn't, or of too few or too short stretches, gives the end of its longest, after a gap.

    Parameters
    ----------
    pieces : sequence of Piece
        Trajectory by trajectory, in time.
    lag_frames : int
        Frames in a lag.

    Returns
    -------
    train, held_out : list of Piece
    statement : str
        What was done, in words.

    Raises
    ------
    DataError
        If a part is left without pairs.
    """
    if pieces[-1].walker != pieces[0].walker:
        one = _whole_trajectory(pieces, lag_frames)
        train = [piece for piece in pieces if piece.walker != one]
        held = [piece for piece in pieces if piece.walker == one]
        which = "the last trajectory" if one == pieces[-1].walker else f"trajectory {one + 1}, a short one,"
        statement = f"{which} is held out"
    elif chosen := _whole_stretches(pieces, lag_frames):
        train = [piece for k, piece in enumerate(pieces) if k not in chosen]
        held = [pieces[k] for k in sorted(chosen)]
        numbers = ", ".join(str(k + 1) for k in sorted(chosen))
        statement = f"stretches {numbers} of {len(pieces)} are held out"
    else:
        train, held, statement = _end_of_longest(pieces, lag_frames)
    for part, what in ((train, "train on"), (held, "hold out")):
        pairs = _pairs(part, lag_frames)
        if pairs < FEWEST_PAIRS:
            raise DataError(
                f"The trajectories leave {pairs} pairs of {lag_frames} frames' lag to {what}, and {FEWEST_PAIRS} are "
                "needed; give longer ones, or a shorter --lag-time."
            )
    return train, held, statement


def _pairs(pieces: Sequence[Piece], lag_frames: int) -> int:
    return sum(max(0, len(piece.frames) - lag_frames) for piece in pieces)


def _whole_trajectory(pieces: Sequence[Piece], lag_frames: int) -> int:
    """The last, or, if that has most of all frames, the shortest that holds enough pairs."""
    parts: dict[int, list[Piece]] = {}
    for piece in pieces:
        parts.setdefault(piece.walker, []).append(piece)
    frames = {walker: sum(len(piece.frames) for piece in part) for walker, part in parts.items()}
    last = pieces[-1].walker
    enough = [walker for walker, part in parts.items() if _pairs(part, lag_frames) >= FEWEST_PAIRS]
    if 2 * frames[last] <= sum(frames.values()) or not enough:
        return last
    return min(enough, key=lambda walker: (frames[walker], -walker))


def _whole_stretches(pieces: Sequence[Piece], lag_frames: int) -> set[int]:
    """Numbers of stretches of about `SHARE` of all frames, at most `MOST`; none if they hold too few pairs."""
    total = sum(len(piece.frames) for piece in pieces)
    chosen: set[int] = set()
    frames = 0
    for k, piece in reversed(list(enumerate(pieces))):
        size = len(piece.frames)
        enough = frames >= SHARE * total and _pairs([pieces[j] for j in chosen], lag_frames) >= FEWEST_PAIRS
        if size > lag_frames and frames + size <= MOST * total and not enough:
            chosen.add(k)
            frames += size
    return chosen if _pairs([pieces[k] for k in chosen], lag_frames) >= FEWEST_PAIRS else set()


def _end_of_longest(pieces: Sequence[Piece], lag_frames: int) -> tuple[list[Piece], list[Piece], str]:
    total = sum(len(piece.frames) for piece in pieces)
    longest = max(range(len(pieces)), key=lambda k: (len(pieces[k].frames), k))
    whole = pieces[longest]
    size = max(round(SHARE * total), lag_frames + FEWEST_PAIRS)
    start = whole._replace(frames=whole.frames[: max(0, len(whole.frames) - size - GAP * lag_frames)])
    train = [start if k == longest else piece for k, piece in enumerate(pieces)]
    where = f" of stretch {longest + 1}" if len(pieces) > 1 else ""
    statement = (
        f"the last {size} of {len(whole.frames)} frames{where} are held out, after a gap of {GAP} lags"
    )
    return (
        [piece for piece in train if len(piece.frames)],
        [whole._replace(frames=whole.frames[-size:])],
        statement,
    )
