"""The checkpoint of a training run: everything that the next step depends on, in one safetensors file.

Tensors: `model.*`, `ema.*`, `adam.mean.*`, `adam.square.*`, `generator`. The header holds step and config as JSON.
Nothing is pickled.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from ..errors import CheckpointError

FORMAT_VERSION = "1"


def save_run(
    path: Path, model: nn.Module, ema: dict[str, Tensor], optimiser: torch.optim.Adam, generator: Generator,
    step: int, record: dict[str, Any],
) -> None:  # fmt: skip
    """Write the state of a run atomically."""
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value.contiguous() for name, value in ema.items()}
    for name, parameter in model.named_parameters():
        state = optimiser.state.get(parameter)
        if state:
            tensors[f"adam.mean.{name}"] = state["exp_avg"].contiguous()
            tensors[f"adam.square.{name}"] = state["exp_avg_sq"].contiguous()
    tensors["generator"] = generator.get_state()
    header = {"format_version": FORMAT_VERSION, "step": str(step), "record": json.dumps(record)}
    temporary = path.with_suffix(".part")
    save_file({k: v.clone() for k, v in tensors.items()}, temporary, header)
    os.replace(temporary, path)


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
        if header.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(
                f"'{path}' is not a training checkpoint of this program; choose another run folder."
            )
        return tensors, int(header["step"]), json.loads(header["record"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' can't be read as a training checkpoint ({error}); start a new run."
        ) from error


def load_run(
    tensors: dict[str, Tensor], model: nn.Module, optimiser: torch.optim.Adam, generator: Generator, step: int
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
    generator.set_state(tensors["generator"])
    return {k[len("ema.") :]: v for k, v in tensors.items() if k.startswith("ema.")}


def start_from(path: Path, model: nn.Module) -> list[str]:
    """Copy the averaged weights of another run's checkpoint into `model`; returns the names that had no match there."""
    tensors, _, _ = read_run(path)
    own = model.state_dict()
    taken = {
        name: tensors[f"ema.{name}"]
        for name, value in own.items()
        if f"ema.{name}" in tensors and tensors[f"ema.{name}"].shape == value.shape
    }
    if not taken:
        raise CheckpointError(
            f"'{path}' has no weight in common with this model; start from another checkpoint."
        )
    model.load_state_dict(own | taken)
    return sorted(own.keys() - taken.keys())
