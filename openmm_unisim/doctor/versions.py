"""Versions of what the package needs, and whether the compiled plugin fits them and loads."""

import importlib.metadata
import platform
import sys
from typing import Any

from .. import __version__, _plugin
from ..errors import PluginError
from .finding import Finding, first_line

__all__ = ["plugin_findings", "version_findings"]

_DEVICE_LIBRARIES = {  # part of a loader's message -> what to do
    "libcuda.so": "needs an NVIDIA driver; nothing to do on a machine without an NVIDIA GPU",
    "libnvrtc": "`pip install openmm-cuda-13` brings CUDA's compiler",
    "libcufft": "`pip install openmm-cuda-13` brings CUDA's libraries",
    "libOpenMMCUDA": "`pip install openmm-cuda-13==<version of openmm>`",
    "libOpenMMOpenCL": "install the openmm wheel again",
    "libOpenCL": "install an OpenCL loader and driver (Debian: `apt-get install ocl-icd-libopencl1 pocl-opencl-icd`)",
    "libamdhip64": "needs ROCm; nothing to do on a machine without an AMD GPU",
    "compute capability": "the GPU is older than these kernels; torch's own serve it, nothing to do",
    "undefined symbol": f"it was built against other libraries: {_plugin.REBUILD}",
    "GLIBC": "this system is older than the wheel (glibc 2.34 is needed); use a newer one",
}


def version_findings() -> list[Finding]:
    """Python, this package, OpenMM, torch, and what the plugin was built against."""
    section = "versions"
    found = [
        Finding(section, "system", f"{platform.system()} {platform.machine()}", *_system_trouble()),
        Finding(section, "openmm_unisim", __version__),
    ]
    try:
        built: dict[str, str] = _plugin.read_build_info()
    except PluginError as error:
        built = {}
        found.append(Finding(section, "compiled plugin", "absent", "fault", first_line(error)))
    found.append(_python(built.get("python")))
    for name in ("openmm", "torch"):
        found.append(_library(name, built.get(name)))
    for name in ("numpy", "mdtraj", "pydantic", "safetensors"):
        found.append(_package(name))
    return found


def _system_trouble() -> tuple[Any, str]:
    if sys.platform == "linux":
        return "ok", ""
    return "note", "only Linux is tested (docs/doctor.md)"


def _python(built: str | None) -> Finding:
    here = platform.python_version()
    text = here + (f", plugin built for {built}" if built else "")
    if built and built.split(".")[:2] != here.split(".")[:2]:
        return Finding(
            "versions", "python", text, "fault", f"{_plugin.REBUILD[0].upper()}{_plugin.REBUILD[1:]}."
        )
    return Finding("versions", "python", text)


def _library(name: str, built: str | None) -> Finding:
    """OpenMM or torch: here, importable, and of the minor version that the plugin was built against."""
    here = _version(name)
    text = f"{here or 'absent'}" + (f", plugin built against {built}" if built else "")
    try:
        if built is None:
            importlib.import_module(name)
        else:
            _plugin.check_version(name, built)
    except PluginError as error:
        return Finding("versions", name, text, "fault", first_line(error))
    except Exception as error:  # a broken wheel fails in ways of its own
        return Finding(
            "versions",
            name,
            f"{text}; it can't be imported ({first_line(error)})",
            "fault",
            f"`pip install {name}`",
        )
    return Finding("versions", name, text)


def _package(name: str) -> Finding:
    here = _version(name)
    if here is None:
        return Finding("versions", name, "absent", "fault", f"`pip install {name}`")
    return Finding("versions", name, here)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def plugin_findings() -> list[Finding]:
    """Whether the plugin's libraries load, and why those that don't, don't."""
    section, found = "plugin", []
    for name, load in (("plugin", _plugin.load_plugin), ("fused operators", _plugin.load_operators)):
        try:
            load()
        except Exception as error:  # a loader's own failure belongs in the report, too
            found.append(Finding(section, name, "not loaded", "fault", first_line(error)))
        else:
            found.append(Finding(section, name, "loaded"))
    for library, reason in _plugin.plugin_load_failures().items():
        found.append(Finding(section, library, f"not loaded: {reason}", "note", cure_of(reason)))
    return found


def cure_of(reason: str) -> str:
    """What to do about a library that a loader refused, by what the loader said."""
    for part, cure in _DEVICE_LIBRARIES.items():
        if part in reason:
            return cure
    return _plugin.REBUILD
