"""Ways to run the same MD: platform, processor threads, time step."""

import os
from dataclasses import dataclass

import openmm

from ..errors import ConfigError
from ..system import get_platform

__all__ = ["Engine", "available_platforms", "default_threads", "list_engines"]

_SERIAL = "Reference"  # the platform that has no threads
_THREADED = "CPU"


@dataclass(frozen=True)
class Engine:
    """A platform with a number of processor threads.

    Attributes
    ----------
    platform : str
    threads : int
        Upper limit for every thread pool of the process that runs it.
    """

    platform: str
    threads: int

    @property
    def label(self) -> str:
        """For a table."""
        if self.platform != _THREADED:
            return self.platform
        return f"{self.platform}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def available_platforms() -> list[str]:
    """Names of OpenMM's platforms here; that one is listed doesn't mean that it works."""
    return [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]


def default_threads() -> tuple[int, ...]:
    """1, 2, 4, ... and the number of processors that this process may use."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tuple(sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most}))


def list_engines(platforms: tuple[str, ...] = (), threads: tuple[int, ...] = ()) -> list[Engine]:
    """Every engine to try.

    Parameters
    ----------
    platforms : tuple of str
        Empty: all that are here.
    threads : tuple of int
        Empty: `default_threads`. CPU is tried with each, Reference with 1, a GPU platform with the largest.

    Raises
    ------
    PlatformError, ConfigError
        If a named platform doesn't exist, or a number of threads makes no sense.
    """
    numbers = threads or default_threads()
    if min(numbers) < 1:
        raise ConfigError(f"A number of threads is {min(numbers)}; it must be at least 1.")
    engines = []
    for name in platforms or available_platforms():
        get_platform(name)
        choices = {_SERIAL: (1,), _THREADED: numbers}.get(name, (max(numbers),))
        engines += [Engine(name, number) for number in choices]
    return list(dict.fromkeys(engines))
