"""Loads model files for use from Python, and calls what is in them."""

import hashlib
import inspect
import io
from pathlib import Path
from typing import Any

import torch

from .._plugin import load_operators
from ..checksum import check_sidecar
from ..errors import ConfigError, ModelFileError, first_line
from ..pretrained.trust import authorise
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
    path: str | Path,
    device: str | torch.device = "cpu",
    sha256: str | None = None,
    trusted: bool = False,
) -> tuple[torch.jit.ScriptModule | SteadyModule | PackagedModel, ModelMetadata]:
    """Load a model file of either container for use from Python, after a check of its metadata and its checksums.

    The file is read once, and what was checked is what is loaded.

    Parameters
    ----------
    path : str or Path
        A model file: TorchScript, or with the suffix ``.pt2`` an AOTInductor package. If ``PATH.sha256`` lies beside
        it, it must match.
    device : str or torch.device
        Where the weights go; a package stays on the CPU.
    sha256 : str, optional
        The digest that the file must have.
    trusted : bool
        You know where the file comes from: model files are programs. Needless for shipped models, and for files that
        this account made or trusts.

    Raises
    ------
    UntrustedModelError
        If nothing says that the file may be run.
    ModelFileError
    PluginError
        If the file calls fused operators and the plugin isn't built.
    """
    path = Path(path)
    metadata, content = _read_trusted(path, trusted, sha256)
    if metadata.operators:
        load_operators()
    if metadata.container == "aotinductor":
        if torch.device(device).type != "cpu":
            raise ModelFileError(
                f"Model file {path} is compiled for the CPU, not for {device}; export a .unisim.pt file with --plain."
            )
        return load_package(path, metadata, content), metadata
    module = _load_torchscript(path, content, metadata, device)
    return SteadyModule(module) if metadata.differentiates else module, metadata


def load_torchscript_archive(path: str | Path) -> tuple[torch.jit.ScriptModule, ModelMetadata]:
    """The module of a TorchScript model file, to be saved again.

    Raises
    ------
    UntrustedModelError, ModelFileError
        As `load_model_file`; or if the file is a package.
    """
    path = Path(path)
    metadata, content = _read_trusted(path, False, None)
    if metadata.container != "torchscript":
        raise ModelFileError(
            f"{path} is a package of machine code, whose metadata are fixed when it is compiled; change the .unisim.pt "
            "file, or the weights' export, instead."
        )
    if metadata.operators:
        load_operators()  # torch parses the program, which names them
    return _load_torchscript(path, content, metadata, "cpu"), metadata


def _read_trusted(path: Path, trusted: bool, sha256: str | None) -> tuple[ModelMetadata, bytes]:
    """Metadata and content of a file that may be run."""
    read_metadata(path)  # says what is wrong with what is no model file
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    check_sidecar(path, digest)
    authorise(path, digest, trusted, sha256)
    return read_metadata(path, content), content


def _load_torchscript(
    path: Path, content: bytes, metadata: ModelMetadata, device: str | torch.device
) -> torch.jit.ScriptModule:
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"torch {torch.__version__} finds no CUDA device here; choose the device cpu.")
    try:
        with quiet_torchscript():
            module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(content), map_location=device)
    except (RuntimeError, ValueError) as error:
        cause = first_line(error)
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
