"""Whether a file can be written, asked before the work whose result it shall hold."""

import os
from pathlib import Path

from .errors import OutputError


def check_writable(path: str | Path) -> None:
    """Refuse a path that can't be written.

    Raises
    ------
    OutputError
        If it is a folder, its folder doesn't exist, or permission is denied.
    """
    target = Path(path)
    folder = target.parent
    reason = None
    if target.is_dir():
        reason = "it is a folder"
    elif not folder.is_dir():
        reason = f"there is no folder '{folder}'"
    elif not os.access(target if target.exists() else folder, os.W_OK):
        reason = "permission denied"
    if reason is not None:
        raise OutputError(f"'{target}' can't be written ({reason}); choose a writable file.")
