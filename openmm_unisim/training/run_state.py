"""The checkpoint of a training run: everything that the next step depends on, in one safetensors file.

Tensors: `model.*`, `ema.*`, `adam.mean.*`, `adam.square.*`. The header holds step and record as JSON; batches
follow from the step (`batches`). Nothing is pickled. Format 1 also held a generator, which isn't used any more.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError, OutputError
from ..model.checkpoint import read_header

FORMAT_VERSION = "2"
_READABLE = ("1", "2")


def save_run(
    path: Path, model: nn.Module, ema: dict[str, Tensor], optimiser: torch.optim.Adam, step: int,
    record: dict[str, Any],
) -> None:  # fmt: skip
    """Write the state of a run atomically."""
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value.contiguous() for name, value in ema.items()}
    for name, parameter in model.named_parameters():
        state = optimiser.state.get(parameter)
        if state:
            tensors[f"adam.mean.{name}"] = state["exp_avg"].contiguous()
            tensors[f"adam.square.{name}"] = state["exp_avg_sq"].contiguous()
    header = {"format_version": FORMAT_VERSION, "step": str(step), "record": json.dumps(record)}
    copies = {k: v.clone() for k, v in tensors.items()}
    _write(path, lambda temporary: save_file(copies, temporary, header))


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a run's record as JSON, atomically."""
    text = json.dumps(record, indent=1)
    _write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file of this process's own beside `path`, then put it there in one go.

    Raises
    ------
    OutputError
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    except (SafetensorError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"'{path}' can't be written ({error}); make room or choose a writable run folder, then resume."
        ) from error


def read_run(path: Path) -> tuple[dict[str, Tensor], int, dict[str, Any]]:
    """Tensors, step and record of a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is broken or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no training checkpoint '{path}'; give the folder of a training run.")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if header.get("format_version") not in _READABLE:
            raise CheckpointError(
                f"'{path}' is not a training checkpoint of this program; choose another run folder."
            )
        return tensors, int(header["step"]), json.loads(header["record"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' can't be read as a training checkpoint ({error}); start a new run."
        ) from error


def load_run(
    tensors: dict[str, Tensor], model: nn.Module, optimiser: torch.optim.Adam, step: int
) -> dict[str, Tensor]:
    """Restore a run in place; returns the averaged weights."""
    model.load_state_dict({k[len("model.") :]: v for k, v in tensors.items() if k.startswith("model.")})
    for name, parameter in model.named_parameters():
        if f"adam.mean.{name}" in tensors:
            optimiser.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"adam.mean.{name}"],
                "exp_avg_sq": tensors[f"adam.square.{name}"],
            }
    return {k[len("ema.") :]: v for k, v in tensors.items() if k.startswith("ema.")}


def start_from(path: Path, model: nn.Module) -> list[str]:
    """Copy the weights of another run, or of a weights file, into `model` so far as names and shapes agree.

    Of a run's checkpoint the averaged weights are taken; a part of the other network that is called `field` stands for
    a whole one (weights files, and pretraining, keep a field beside heads).

    Returns
    -------
    list of str
        Names that had no match there.
    """
    tensors = _tensors(path)
    own = model.state_dict()
    taken = {}
    for name, value in own.items():
        for prefix in ("ema.", "ema.field.", "field."):
            found = tensors.get(prefix + name)
            if found is not None and found.shape == value.shape:
                taken[name] = found
                break
    if not taken:
        raise CheckpointError(
            f"'{path}' has no weight in common with this model; start from another checkpoint."
        )
    model.load_state_dict(own | taken)
    return sorted(own.keys() - taken.keys())


def _tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint, or of a weights file."""
    if path.is_file():
        header, tensors = read_header(path)
        if "kind" in header:
            return tensors
    return read_run(path)[0]
