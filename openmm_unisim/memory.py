"""Keeps freed memory in the process.

A training step frees and allocates the same large temporaries again and again. By default glibc returns them to the
kernel, which zeroes every page anew, and that costs a large part of a step.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse large blocks; True if it took the settings, False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_MAX, 0)
        and mallopt(_M_TRIM_THRESHOLD, _LARGEST)
        and mallopt(_M_TOP_PAD, 64 * 1024 * 1024)
    )
