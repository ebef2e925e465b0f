"""Gradients of a step's batch, part by part: by one thread, by several, and by several processes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from .processes import ALONE, Processes

__all__ = ["BatchGradients"]

Result = tuple[float, float, list[Tensor]]  # weight x loss, weight, gradients of weight x loss


def flushes_denormals() -> bool:
    """Whether the calling thread does."""
    return float(torch.full((1,), 1e-38) * 1e-2) == 0.0


class BatchGradients:
    """Sets the gradients of parameters to those of sum_k w_k loss_k / sum_k w_k over the parts k of a batch.

    Gradients of the parts are added in order, so that a run repeats exactly with the same number of threads and
    processes; another number changes rounding.

    Parameters
    ----------
    loss : callable (part) -> (Tensor, float)
        Mean loss of a part, scalar, and the part's weight.
    parameters : sequence of nn.Parameter
    threads : int
        Each works on parts of its own. One works in the calling thread. More pay where each operator is long and
        releases Python's lock.
    processes : Processes
        They share the sums.
    """

    def __init__(
        self, loss: Callable[[Any], tuple[Tensor, float]], parameters: Sequence[nn.Parameter], threads: int = 1,
        processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self._loss, self._parameters, self.threads = loss, list(parameters), threads
        self._processes = processes
        flush = flushes_denormals()
        self._workers = ThreadPoolExecutor(
            threads, "gradients", initializer=torch.set_flush_denormal, initargs=(flush,)
        )

    def __call__(self, parts: Sequence[Any]) -> float:
        """Set the gradients; returns the loss."""
        pieces = _pieces(parts, self.threads)
        compute = map if self.threads == 1 else self._workers.map
        total = [torch.zeros_like(parameter) for parameter in self._parameters]
        sums = torch.zeros(2, dtype=torch.float64)
        for loss, weight, gradients in compute(self._part, pieces):  # in order
            torch._foreach_add_(total, gradients)
            sums += torch.tensor([loss, weight], dtype=torch.float64)
        if self._processes.size > 1:
            self._processes.sum(total)
            self._processes.sum([sums])
        torch._foreach_mul_(total, float(1.0 / sums[1]))
        for parameter, gradient in zip(self._parameters, total):
            parameter.grad = gradient
        return float(sums[0] / sums[1])

    def _part(self, part: Any) -> Result:
        loss, weight = self._loss(part)
        gradients = torch.autograd.grad(loss * weight, self._parameters, materialize_grads=True)
        return float(loss.detach()) * weight, weight, list(gradients)


def _pieces(parts: Sequence[Any], threads: int) -> list[Any]:
    """The parts, cut further (where they can be) if there are fewer of them than threads."""
    if len(parts) >= threads:
        return list(parts)
    each = -(-threads // len(parts))
    return [piece for part in parts for piece in (part.split(each) if hasattr(part, "split") else [part])]
