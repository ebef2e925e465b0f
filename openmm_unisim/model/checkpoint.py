"""Weights on disk: safetensors with a JSON configuration in the header; nothing is ever unpickled."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError, OutputError
from .config import PublishedConfig
from .guidance_kernel import GuidanceKernel
from .representation import RepresentationModel
from .vector_field import VectorField

__all__ = ["KINDS", "load_into", "load_model", "load_weights", "read_header", "save_weights"]

FORMAT_VERSION = "1"
KINDS: dict[str, type[nn.Module]] = {
    "representation": RepresentationModel,
    "vector_field": VectorField,
    "guidance_kernel": GuidanceKernel,
}


def save_weights(
    path: str | Path, model: nn.Module, kind: str, config: BaseModel, extra: dict[str, Any] | None = None
) -> None:
    """Write a network's weights and what rebuilds it.

    Parameters
    ----------
    path : str or Path
        Ends in `.safetensors`, by custom.
    model : torch.nn.Module
    kind : str
        Name of the class of network, for instance a key of `KINDS`.
    config : pydantic.BaseModel
        Stored as JSON.
    extra : dict, optional
        Anything JSON can hold, for instance `provenance()`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    header = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "config": config.model_dump_json(),
        "extra": json.dumps(extra or {}),
    }
    try:
        save_file(tensors, str(path), metadata=header)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"Weights can't be written to {path} ({error}); choose a writable place."
        ) from error


def read_header(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file, whoever wrote it.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    header : dict of str
        Empty where the file has none; `kind` is what `save_weights` was told.
    state : dict of Tensor
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as stream:
            return stream.metadata() or {}, {name: stream.get_tensor(name) for name in stream.keys()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} can't be read as safetensors ({error}); give a file this program wrote."
        ) from error


def load_weights(path: str | Path) -> tuple[str, dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read a file of `save_weights`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    kind : str
    config : dict
    state : dict of Tensor
    extra : dict
    """
    header, state = read_header(path)
    missing = sorted({"format_version", "kind", "config"} - header.keys())
    if missing:
        raise CheckpointError(f"{path} lacks {missing} in its header; give a file this program wrote.")
    if header["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {header['format_version']}, not {FORMAT_VERSION}; update openmm_unisim."
        )
    return header["kind"], json.loads(header["config"]), state, json.loads(header.get("extra", "{}"))


def load_into(model: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Copy weights into a network; a missing, unknown or misshapen one is a `CheckpointError` that names it.

    Parameters
    ----------
    model : torch.nn.Module
    state : dict of Tensor
    origin : str
        Where the weights come from, for the message.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing = sorted(wanted.keys() - state.keys())
    unknown = sorted(state.keys() - wanted.keys())
    if missing or unknown:
        raise CheckpointError(
            f"{origin} does not fit {type(model).__name__}: missing {missing[:4]}, unknown {unknown[:4]} "
            f"({len(missing)} and {len(unknown)} in all); give the weights of this kind of network."
        )
    for name, shape in wanted.items():
        if tuple(state[name].shape) != shape:
            raise CheckpointError(
                f"{origin}: {name} has shape {tuple(state[name].shape)}, not {shape}; check the sizes."
            )
    model.load_state_dict(state)


def load_model(path: str | Path) -> tuple[nn.Module, PublishedConfig]:
    """Rebuild a published-form network from a file of `save_weights`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    model : torch.nn.Module
        In evaluation mode.
    config : PublishedConfig
    """
    kind, settings, state, _ = load_weights(path)
    if kind not in KINDS:
        raise CheckpointError(f"{path} holds a network of kind {kind!r}; this reader knows {sorted(KINDS)}.")
    try:
        config = PublishedConfig.model_validate(settings)
    except ValidationError as error:
        raise CheckpointError(
            f"The configuration in {path} is not valid ({error}); the file is broken."
        ) from error
    model = KINDS[kind](config)
    load_into(model, state, str(path))
    return model.eval(), config
