"""What is held out of a user's MD."""

import numpy as np
import pytest

from openmm_unisim.data.hold_out import Piece, hold_out
from openmm_unisim.errors import DataError


def pieces(*lengths: int, walkers: tuple[int, ...] = ()) -> list[Piece]:
    numbers = walkers or (0,) * len(lengths)
    return [Piece(k, np.zeros((n, 2, 3), "f4"), n > 100) for k, n in zip(numbers, lengths)]


def sizes(part: list[Piece]) -> list[int]:
    return [len(piece.frames) for piece in part]


def test_stretches_are_chosen_by_their_frames():
    """A walker beside its restarts is trained on, wherever it stands in the file."""
    train, held, statement = hold_out(pieces(*[20] * 6, 320), 4)
    assert sizes(held) == [20] * 3 and sizes(train) == [20] * 3 + [320]
    assert statement == "stretches 4, 5, 6 of 7 are held out"
    assert [piece.reversible for piece in train] == [False] * 3 + [True]
    train, held, _ = hold_out(pieces(320, *[20] * 6), 4)
    assert sizes(held) == [20] * 3 and train[0].reversible


def test_the_end_of_the_longest_is_taken_where_whole_stretches_hold_too_few_pairs():
    train, held, statement = hold_out(pieces(*[20] * 6, 320), 18)
    assert sizes(train) == [20] * 6 + [180] and sizes(held) == [50] and held[0].reversible
    assert statement == "the last 50 of 320 frames of stretch 7 are held out, after a gap of 5 lags"
    train, held, _ = hold_out(pieces(200, 200), 2)
    assert sizes(train) == [200, 150] and sizes(held) == [40]


def test_of_several_trajectories_the_last_is_held_out():
    train, held, statement = hold_out(pieces(200, 40, 90, walkers=(0, 0, 1)), 5)
    assert (sizes(train), sizes(held)) == ([200, 40], [90]) and "last trajectory" in statement


def test_a_last_trajectory_that_is_most_of_all_is_trained_on():
    train, held, statement = hold_out(pieces(20, 80, 60, 320, walkers=(0, 1, 1, 2)), 5)
    assert (sizes(train), sizes(held)) == ([20, 320], [80, 60])
    assert statement == "trajectory 2, a short one, is held out"
    assert sizes(hold_out(pieces(200, 200, walkers=(0, 1)), 5)[0]) == [200]


def test_too_few_pairs_are_refused():
    with pytest.raises(DataError, match="to train on"):
        hold_out(pieces(60), 10)
    with pytest.raises(DataError, match="to hold out"):
        hold_out(pieces(200, 20, walkers=(0, 1)), 10)
