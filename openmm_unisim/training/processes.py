"""Processes that share each step's batch by torch.distributed (started by torchrun)."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError

__all__ = ["ALONE", "Processes", "join_processes"]


class Processes(NamedTuple):
    """This process among those of a run.

    Attributes
    ----------
    rank, size : int
        Rank 0 validates, logs and saves.
    """

    rank: int = 0
    size: int = 1

    def parts(self, count: int) -> range:
        """Numbers of the parts of a step that this process works on."""
        return range(self.rank, count, self.size)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, in one message."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(total.view_as(tensor))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = Processes()


def join_processes(parts: int) -> Processes:
    """The processes that torchrun started, joined by gloo; one alone without torchrun.

    Parameters
    ----------
    parts : int
        Of a step; there must be one for each process.

    Raises
    ------
    ConfigError
        If a process would have nothing to do, or the environment doesn't say which of them this one is.
    """
    given = os.environ.get("WORLD_SIZE", "1")
    if not given.isdigit():
        raise ConfigError(f"WORLD_SIZE = '{given}' is no number of processes; start them with torchrun.")
    size = int(given)
    if size > parts:
        raise ConfigError(
            f"parts = {parts} gives {size} processes nothing to share; set parts to a multiple of {size}."
        )
    if size <= 1:
        return ALONE
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE = {size} without {', '.join(missing)}; start the processes with torchrun, or unset WORLD_SIZE."
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    return Processes(torch.distributed.get_rank(), torch.distributed.get_world_size())
