"""Parts of a step's batch, drawn one step ahead by a thread, and reproducibly.

Part k of step s is drawn from a generator seeded by the run's seed, s and k alone: a run that goes on needs no
generator's state, and processes that share a step need not talk about it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from torch import Generator, Tensor

from ..data.pairs import Pair

__all__ = ["Batch", "PartStream", "part_generator"]


class Batch(NamedTuple):
    """Pairs of one molecule, interpolant times (size,) and noise of the shape of the pairs' starts.

    Attributes
    ----------
    molecule : int
        Its place in the set.
    lag_time : float, ps
    """

    pair: Pair
    t: Tensor
    noise: Tensor
    molecule: int
    lag_time: float

    def split(self, parts: int) -> "list[Batch]":
        """Consecutive parts of nearly equal size, none of them empty."""
        chunks = min(parts, self.t.numel())
        arrays = [x.tensor_split(chunks) for x in (self.pair.start, self.pair.end, self.t, self.noise)]
        return [
            self._replace(pair=Pair(start, end), t=t, noise=noise) for start, end, t, noise in zip(*arrays)
        ]


def part_generator(seed: int, step: int, part: int) -> Generator:
    """The generator of one part of one step."""
    word = np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint32)[0]
    return Generator().manual_seed(int(word))


class PartStream:
    """Hands out a step's parts, while a thread draws those of the next one.

    Parameters
    ----------
    draw : callable (Generator) -> part
    seed : int
    parts : sequence of int
        Numbers of the parts that this process works on.
    """

    def __init__(self, draw: Callable[[Generator], Any], seed: int, parts: Sequence[int]) -> None:
        self._draw, self._seed, self._parts = draw, seed, list(parts)
        self._ahead: tuple[int, Future[list[Any]]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")

    def of_step(self, step: int) -> list[Any]:
        """The parts of a step; an error of the drawing thread is raised here."""
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = (step, self._thread.submit(self._drawn, step))
        parts = self._ahead[1].result()
        self._ahead = (step + 1, self._thread.submit(self._drawn, step + 1))
        return parts

    def _drawn(self, step: int) -> list[Any]:
        return [self._draw(part_generator(self._seed, step, part)) for part in self._parts]
