"""Which processors the machine code of a package runs on (export.packager).

inductor compiles for the very processor that it runs on; code for instructions that another processor lacks would end
that process by SIGILL. So packages are compiled for a level that many have, and say which.
"""

import platform

import torch

from ..errors import ConfigError

__all__ = ["LEVEL", "check_can_package", "processor_runs"]

LEVEL = (
    "x86-64-v3"  # AVX2 and FMA; v4 (AVX-512) was no faster, the fused operators choose for themselves anyway
)
VECTOR_BITS = 256
_NEEDED = {LEVEL: ("avx2", "bmi", "bmi2", "f16c", "fma3", "lzcnt")}  # of torch.cpu.get_capabilities


def check_can_package() -> None:
    """Fail unless packages can be compiled on this kind of machine.

    Raises
    ------
    ConfigError
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise ConfigError(
            f"Packages (.pt2) are compiled for x86-64 only, and this is {platform.machine()}; write a .unisim.pt file."
        )


def processor_runs(level: str) -> bool:
    """Whether this machine runs code compiled for `level`."""
    has = torch.cpu.get_capabilities()
    return level in _NEEDED and all(bool(has.get(name)) for name in _NEEDED[level])
