"""Writes a model file: scripts a module that follows the step contract, freezes it and adds the metadata.

TorchScript is deprecated upstream but works in the torch used here; its warnings are silenced here only.
"""

import contextlib
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from ..errors import OutputError
from ..pretrained.trust import remember
from ..provenance import source_commit
from .metadata import OPERATORS_VERSION, ModelMetadata

__all__ = [
    "CONTRACT_METHODS",
    "quiet_torchscript",
    "save_model_file",
    "weights_sha256",
    "write_with_checksum",
]

_FUSED_FORMAT, _FORCE_MEANS_FORMAT = 2, 4
_OPERATOR = "openmm_unisim::"  # how the plugin's operators appear in a graph
CONTRACT_METHODS = ("step", "log_density", "guidance_points", "time_grid", "drift")


@contextlib.contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence torch's notices that TorchScript is deprecated, and nothing else."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", message=".*(torch.jit|TorchScript)", category=category)
        yield


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of a module's weights: identifies what was trained, whatever container it travels in.

    The state dict's entries in the order of their names; of each the name, the dtype, the shape (as text,
    each ended by a zero byte) and the values as contiguous little-endian bytes.
    """
    digest = hashlib.sha256()
    state = module.state_dict()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        for text in (name, str(tensor.dtype), ",".join(str(size) for size in tensor.shape)):
            digest.update(text.encode() + b"\0")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model_file(module: nn.Module, metadata: ModelMetadata, path: str | Path) -> ModelMetadata:
    """Script, freeze and save a module of the step contract, with its metadata and a checksum beside it.

    The file appears whole or not at all; ``PATH.sha256`` (the format of ``sha256sum``) is written after it.

    Parameters
    ----------
    module : nn.Module
        Scriptable; has ``step``, ``log_density``, ``guidance_points``, ``time_grid`` and maybe ``drift``,
        each marked with ``torch.jit.export``. Left as it is, except that it is put into evaluation mode.
    metadata : ModelMetadata
        ``torch_version``, ``source_commit``, ``weights_sha256`` (unless given) and, where the module calls fused
        operators, ``operators`` and ``format_version`` are filled in here.
    path : str or Path
        Usually ``name.unisim.pt``.

    Returns
    -------
    ModelMetadata
        As written.
    """
    path = Path(path)
    full = metadata.model_copy(
        update={
            "weights_sha256": metadata.weights_sha256 or weights_sha256(module),
            "torch_version": torch.__version__,
            "source_commit": source_commit(),
        }
    )
    with quiet_torchscript():
        scripted = torch.jit.script(module.eval())
        kept = [name for name in CONTRACT_METHODS if hasattr(scripted, name)]
        # Freezing writes out every call, which makes loading slow where methods share much; it comes after loading.
        frozen = scripted if full.differentiates else torch.jit.freeze(scripted, preserved_attrs=kept)
        if any(_OPERATOR in str(getattr(frozen, name).inlined_graph) for name in kept):
            needed = {"operators": OPERATORS_VERSION, "format_version": _FUSED_FORMAT}
            full = full.model_copy(update=needed)
        if full.force_means_nm > 0:
            full = full.model_copy(update={"format_version": _FORCE_MEANS_FORMAT})
        content = frozen.save_to_buffer(_extra_files=full.to_strings())
    write_with_checksum(path, content)
    return full


def write_with_checksum(path: Path, content: bytes) -> None:
    """Write a model file, which appears whole or not at all, then ``PATH.sha256`` in the format of ``sha256sum``.

    What this account makes it may run: the digest goes into its list (`openmm_unisim.pretrained.trust`).
    """
    digest = hashlib.sha256(content).hexdigest()
    _write_atomically(path, content)
    _write_atomically(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n".encode())
    remember(path, digest, "made")


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name + ".", delete=False) as stream:
            temporary = stream.name
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise OutputError(
            f"{path} can't be written ({error.strerror}); choose a folder you may write to."
        ) from error
