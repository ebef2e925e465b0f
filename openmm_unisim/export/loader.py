"""Loads model files for use from Python, and calls what is in them."""

import inspect
from pathlib import Path
from typing import Any

import torch

from .._plugin import load_operators
from ..checksum import check_sidecar
from ..errors import ConfigError, ModelFileError
from ..provenance import sha256_of_file
from .exporter import quiet_torchscript
from .metadata import ModelMetadata, read_metadata
from .packaged import PackagedModel, load_package

__all__ = ["MODEL_ERRORS", "argument_names", "last_line", "load_model_file"]

MODEL_ERRORS = (RuntimeError, torch.jit.Error)  # what an eager and a scripted module raise


class SteadyModule:
    """A scripted module that differentiates within: each call runs it as it is written.

    TorchScript's executor would watch the first call of a graph with derivatives and rewrite it for later ones, which
    then differ in the last digits; so a resumed run would differ from an uninterrupted one.

    Parameters
    ----------
    module : torch.jit.ScriptModule
    """

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return SteadyMethod(getattr(self._module, name))


class SteadyMethod:
    """A method of a `SteadyModule`."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self.schema = method.schema

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the scripted method returns."""
        with torch.jit.optimized_execution(False):
            return self._method(*args, **kwargs)


def load_model_file(
    path: str | Path, device: str | torch.device = "cpu", sha256: str | None = None
) -> tuple[torch.jit.ScriptModule | SteadyModule | PackagedModel, ModelMetadata]:
    """Load a model file of either container for use from Python, after a check of its metadata and its checksums.

    Parameters
    ----------
    path : str or Path
        A model file: TorchScript, or with the suffix ``.pt2`` an AOTInductor package. Model files are programs:
        load only those you trust (see `resolve_model`). If ``PATH.sha256`` lies beside it, it must match.
    device : str or torch.device
        Where the weights go; a package stays on the CPU.
    sha256 : str, optional
        The digest that the file must have.

    Raises
    ------
    ModelFileError
    PluginError
        If the file calls fused operators and the plugin isn't built.
    """
    metadata = read_metadata(path)
    check_sidecar(Path(path))
    if sha256 is not None and sha256_of_file(path) != sha256:
        raise ModelFileError(f"Model file {path} doesn't have the SHA-256 {sha256}; fetch it again.")
    if metadata.operators:
        load_operators()
    if metadata.container == "aotinductor":
        if torch.device(device).type != "cpu":
            raise ModelFileError(
                f"Model file {path} is compiled for the CPU, not for {device}; export a .unisim.pt file with --plain."
            )
        return load_package(Path(path), metadata), metadata
    module = _load_torchscript(path, metadata, device)
    return SteadyModule(module) if metadata.differentiates else module, metadata


def _load_torchscript(
    path: str | Path, metadata: ModelMetadata, device: str | torch.device
) -> torch.jit.ScriptModule:
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"torch {torch.__version__} finds no CUDA device here; choose the device cpu.")
    try:
        with quiet_torchscript():
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        cause = str(error).strip().splitlines()[0]
        raise ModelFileError(
            f"torch {torch.__version__} can't load model file {path}, written by torch "
            f"{metadata.torch_version} ({cause:.200}); export it again with this torch."
        ) from error
    return module


def last_line(error: BaseException) -> str:
    """What an error from a scripted module says, without its backtrace."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix("builtins.").removeprefix("RuntimeError: ")


def argument_names(method: Any) -> list[str]:
    """Names of the arguments that a method of a module declares, scripted or not, in their order."""
    if isinstance(method, torch._C.ScriptMethod | SteadyMethod):
        return [argument.name for argument in method.schema.arguments if argument.name != "self"]
    return list(inspect.signature(method).parameters)
