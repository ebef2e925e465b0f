"""Gradients of a batch by several threads, each with a part of the batch and no barrier until the sum."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from ..data.pairs import Pair
from .batches import Batch

__all__ = ["BatchGradients"]


def flushes_denormals() -> bool:
    """Whether the calling thread does."""
    return float(torch.full((1,), 1e-38) * 1e-2) == 0.0


class BatchGradients:
    """Sets the gradients of parameters to those of a mean loss over a batch.

    Gradients of the parts are added in order, so that a run repeats exactly with the same number of threads; another
    number changes rounding.

    Parameters
    ----------
    loss : callable (Batch) -> Tensor
        Mean over the samples, or such that the mean over equal parts has the same gradient; scalar.
    parameters : sequence of nn.Parameter
    threads : int
        One works in the calling thread. More pay where each operator is long and releases Python's lock.
    """

    def __init__(
        self, loss: Callable[[Batch], Tensor], parameters: Sequence[nn.Parameter], threads: int = 1
    ) -> None:
        self._loss, self._parameters, self.threads = loss, list(parameters), threads
        flush = flushes_denormals()
        self._workers = ThreadPoolExecutor(
            threads, "gradients", initializer=torch.set_flush_denormal, initargs=(flush,)
        )

    def __call__(self, batch: Batch) -> float:
        """Set the gradients; returns the loss."""
        for parameter in self._parameters:
            parameter.grad = None
        if self.threads == 1:
            loss = self._loss(batch)
            loss.backward()
            return float(loss.detach())
        parts = _split(batch, self.threads)
        shares = [part.t.numel() / batch.t.numel() for part in parts]
        results = list(self._workers.map(self._part, parts, shares))
        total: list[Tensor] = [torch.zeros_like(parameter) for parameter in self._parameters]
        for _, gradients in results:  # in order, to memory of their own
            torch._foreach_add_(total, gradients)
        for parameter, gradient in zip(self._parameters, total):
            parameter.grad = gradient
        return sum(loss for loss, _ in results)

    def _part(self, batch: Batch, share: float) -> tuple[float, list[Tensor]]:
        loss = self._loss(batch) * share
        gradients = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        return float(loss.detach()), list(gradients)


def _split(batch: Batch, parts: int) -> list[Batch]:
    """Consecutive parts of nearly equal size, none of them empty."""
    chunks = min(parts, batch.t.numel())
    arrays = [x.tensor_split(chunks) for x in (batch.pair.start, batch.pair.end, batch.t, batch.noise)]
    return [Batch(Pair(start, end), t, noise) for start, end, t, noise in zip(*arrays)]
