"""Loads the compiled plugin: checks what it was built against, then the libraries, then their platforms.

torch and OpenMM are imported first, so that the plugin's libraries resolve to those already in the process.
"""

import functools
import importlib
import json
from pathlib import Path
from types import ModuleType

from .errors import PluginError, first_line

__all__ = [
    "REBUILD",
    "check_version",
    "load_operators",
    "load_plugin",
    "operators_are_built",
    "plugin_load_failures",
    "read_build_info",
]

_LIBRARIES = Path(__file__).resolve().parent / "lib"
OPERATORS = "libOpenMMUniSimOperators.so"
CUDA_OPERATORS = "libOpenMMUniSimOperatorsCUDA.so"
CUDA_CAPABILITY = (8, 0)  # the lowest of CMAKE_CUDA_ARCHITECTURES
REBUILD = "build it again with `pip install --no-build-isolation .` (or `make build`) in this environment"
_failures: dict[str, str] = {}


@functools.cache
def load_plugin() -> ModuleType:
    """Load the plugin once, and return the SWIG module.

    Afterwards OpenMM knows how to deserialize a `UniSimIntegrator`, and the platforms have its kernels. A
    platform library that can't be loaded is recorded in `plugin_load_failures`; that platform is then served
    by the platform-independent kernel.

    Raises
    ------
    PluginError
        If the plugin was not built, or was built against another torch or OpenMM.
    """
    info = read_build_info()
    for name in ("torch", "openmm"):
        check_version(name, info[name])
    try:
        module = importlib.import_module("._swig", __package__)
    except ImportError as error:
        reason = first_line(error)
        raise PluginError(
            f"The compiled plugin of openmm_unisim can't be loaded ({reason}); {REBUILD}."
        ) from error
    _load_platforms()
    return module


@functools.cache
def load_operators() -> None:
    """Register the fused operators of the networks with torch, once; needs torch but not OpenMM.

    They run on every device of torch. Where torch finds a CUDA device, their CUDA kernels are registered, too; if that
    fails, the reason is in `plugin_load_failures`, and torch's own kernels serve the device.

    Raises
    ------
    PluginError
        If they were not built, or were built against another torch.
    """
    check_version("torch", read_build_info()["torch"])
    import torch

    try:
        torch.ops.load_library(_LIBRARIES / OPERATORS)
    except OSError as error:
        reason = first_line(error)
        raise PluginError(f"The fused operators can't be loaded ({reason}); {REBUILD}.") from error
    if torch.version.cuda is not None and torch.cuda.is_available():
        _load_cuda_operators()


def operators_are_built() -> bool:
    """Whether this package holds a library of fused operators."""
    return (_LIBRARIES / OPERATORS).is_file()


def plugin_load_failures() -> dict[str, str]:
    """Optional libraries of this package that could not be loaded: file name to reason."""
    return dict(_failures)


def read_build_info() -> dict[str, str]:
    """Versions that the plugin was built against, or a `PluginError` if it was not built."""
    path = _LIBRARIES / "build_info.json"
    try:
        info: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PluginError(f"The compiled plugin is absent ({path}); {REBUILD}.") from error
    return info


def check_version(name: str, built: str) -> None:
    """Import torch or OpenMM and compare its minor version with the one built against; `PluginError` if they differ."""
    try:
        installed = str(importlib.import_module(name).__version__)
    except ImportError as error:
        raise PluginError(
            f"{name} can't be imported ({error}); run `pip install {name}=={built}`."
        ) from error
    if _minor(installed) != _minor(built):
        raise PluginError(
            f"The compiled plugin was built against {name} {built}, and {name} {installed} is installed; "
            f"{REBUILD}, or run `pip install {name}=={built}`."
        )


def _minor(version: str) -> list[str]:
    return version.split("+")[0].split(".")[:2]


def _load_cuda_operators() -> None:
    import torch

    try:
        devices = range(torch.cuda.device_count())
        capability = min((torch.cuda.get_device_capability(k) for k in devices), default=CUDA_CAPABILITY)
        if capability >= CUDA_CAPABILITY:
            torch.ops.load_library(_LIBRARIES / CUDA_OPERATORS)
        else:
            _failures[CUDA_OPERATORS] = (
                f"compute capability {CUDA_CAPABILITY} is needed, and a device has {capability}"
            )
    except (OSError, RuntimeError) as error:  # the library is absent, or the driver fails
        _failures[CUDA_OPERATORS] = first_line(error.__cause__ or error)


def _load_platforms() -> None:
    import openmm

    for library in sorted((_LIBRARIES / "plugins").glob("*.so")):
        try:
            openmm.Platform.loadPluginLibrary(str(library))
        except Exception as error:  # OpenMM raises its own class, and every failure belongs in the record
            _failures[library.name] = first_line(error)
