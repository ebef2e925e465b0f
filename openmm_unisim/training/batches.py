"""Training batches drawn one ahead by a thread, and reproducibly: a batch depends on the generator's state alone."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from torch import Generator, Tensor

from ..data.pairs import Pair

__all__ = ["Batch", "BatchStream"]


class Batch(NamedTuple):
    """Pairs, interpolant times (size,) and noise of the shape of the pairs' starts."""

    pair: Pair
    t: Tensor
    noise: Tensor


class BatchStream:
    """Hands out batches, while a thread draws the next one.

    Parameters
    ----------
    draw : callable (Generator) -> Batch
    generator : torch.Generator
        Read when the first batch is asked for; a copy is drawn from.

    Attributes
    ----------
    state : Tensor
        State of the generator behind the batch handed out last: a run that starts from it goes on with the next one.
    """

    def __init__(self, draw: Callable[[Generator], Batch], generator: Generator) -> None:
        self.state = generator.get_state()
        self._draw = draw
        self._ahead: Future[tuple[Batch, Tensor]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")

    def next(self) -> Batch:
        """The next batch; an error of the drawing thread is raised here."""
        ahead = self._ahead or self._thread.submit(self._drawn, self.state)
        batch, self.state = ahead.result()
        self._ahead = self._thread.submit(self._drawn, self.state)
        return batch

    def _drawn(self, state: Tensor) -> tuple[Batch, Tensor]:
        generator = Generator()
        generator.set_state(state)
        return self._draw(generator), generator.get_state()
