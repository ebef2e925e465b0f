"""How torch is set while jumps are made from Python: as the C++ integrator sets it (UniSimTorchScope.h)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["torch_scope"]


@contextmanager
def torch_scope(threads: int = 0) -> Iterator[None]:
    """Denormal numbers are zero, and `threads` threads are used (0: as many as are set); restored afterwards."""
    threads_before, flushed_before = torch.get_num_threads(), _flushes_denormals()
    torch.set_flush_denormal(True)
    if threads > 0 and threads != threads_before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
        if torch.get_num_threads() != threads_before:
            torch.set_num_threads(threads_before)


def _flushes_denormals() -> bool:
    """torch sets this and doesn't tell it."""
    return float(torch.tensor(1e-310, dtype=torch.float64) * 0.5) == 0.0
