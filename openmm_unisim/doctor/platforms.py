"""OpenMM's platforms: those that are here, those that failed to load and why, and settings that choose among them."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from .finding import Finding
from .versions import cure_of

__all__ = ["platform_findings", "platform_names", "setting_findings"]

_OPTIONAL = {
    "OpenCL": "install the openmm wheel again; its OpenCL platform is part of it",
    "CUDA": "for an NVIDIA GPU, `pip install openmm-cuda-13` of the same version as openmm",
    "HIP": "for an AMD GPU, `pip install openmm-hip-6` of the same version as openmm",
}
_THREADS = ("OMP_NUM_THREADS", "OPENMM_CPU_THREADS", "MKL_NUM_THREADS")
_SUFFIX = {"linux": ".so", "darwin": ".dylib", "win32": ".dll"}
_PREFIX = "" if sys.platform == "win32" else "lib"


def platform_names() -> list[str]:
    """Platforms of OpenMM in this process; none where OpenMM can't be imported."""
    try:
        import openmm
    except Exception:  # told by `version_findings`
        return []
    return [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]


def platform_findings() -> list[Finding]:
    """What is here, what isn't, why, and what to do about it."""
    section, names = "platforms", platform_names()
    if not names:
        return []
    import openmm

    found = [Finding(section, name, "here") for name in names]
    failures = list(openmm.Platform.getPluginLoadFailures())
    folder = Path(openmm.version.openmm_library_path) / "plugins"
    for name, cure in _OPTIONAL.items():
        if name in names:
            continue
        library = folder / f"{_PREFIX}OpenMM{name}{_SUFFIX.get(sys.platform, '.so')}"
        reason = next((text for text in failures if library.name in text), "")
        if reason:
            found.append(Finding(section, name, f"not here: {_one_line(reason)}", "note", cure_of(reason)))
        elif library.is_file():
            found.append(
                Finding(section, name, "not here, though its library is; no device or driver", "note", cure)
            )
        else:
            found.append(
                Finding(section, name, f"not installed: no {library.name} in {folder}", "note", cure)
            )
    others = [text for text in failures if not any(f"OpenMM{name}" in text for name in _OPTIONAL)]
    found += [Finding(section, "load failure", _one_line(text), "note", cure_of(text)) for text in others]
    if directory := os.environ.get("OPENMM_PLUGIN_DIR"):
        found.append(
            Finding(section, "OPENMM_PLUGIN_DIR", directory, "note", "OpenMM looks for platforms there only")
        )
    return found


def setting_findings(devices: Mapping[str, str]) -> list[Finding]:
    """Threads, and the platform that an unnamed Context takes.

    Parameters
    ----------
    devices : mapping of str to str
        Name of the device by platform, as far as the self-test found one.
    """
    section = "settings"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = [Finding(section, "processor cores", f"{cores} for this process")]
    for name in _THREADS:
        found.append(Finding(section, name, os.environ.get(name, "not set")))
    if cores > 1 and "OMP_NUM_THREADS" not in os.environ:
        cure = "on a busy machine spinning threads are slow: `export OMP_NUM_THREADS=1` is fastest for small molecules"
        found[-len(_THREADS)] = Finding(section, "OMP_NUM_THREADS", "not set", "note", cure)
    found.append(_default_platform(devices))
    return found


def _default_platform(devices: Mapping[str, str]) -> Finding:
    name, names = "OPENMM_DEFAULT_PLATFORM", platform_names()
    value = os.environ.get(name)
    if value is not None:
        if names and value not in names:
            text = f"{value}, which isn't here"
            return Finding("settings", name, text, "fault", f"unset it, or choose one of {', '.join(names)}")
        return Finding("settings", name, value)
    if _is_processor(devices.get("OpenCL", "")) and "CUDA" not in names:
        text = f"not set, and an unnamed Context takes OpenCL, here on the processor ({devices['OpenCL']})"
        return Finding(
            "settings", name, text, "note", "`export OPENMM_DEFAULT_PLATFORM=CPU`, or name the platform"
        )
    return Finding("settings", name, "not set")


def _is_processor(device: str) -> bool:
    """Whether an OpenCL device is a processor, by its name as PoCL and vendors give it."""
    return any(word in device.lower() for word in ("pthread", "cpu", "portable", "xeon", "epyc", "ryzen"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
