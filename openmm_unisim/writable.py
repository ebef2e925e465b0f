"""Whether a file can be written, asked before the work whose result it shall hold."""

import os
from pathlib import Path

from .errors import OutputError


def check_writable(path: str | Path, begins: str = "") -> None:
    """Refuse a path that can't be written, or holds something of another kind.

    Parameters
    ----------
    path : path
    begins : str
        How a file of the kind that shall be written begins: an existing file that begins otherwise (a trajectory, say)
        isn't overwritten. Empty: any file is.

    Raises
    ------
    OutputError
        If it is a folder, its folder doesn't exist, permission is denied, or it holds something else.
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
    elif target.exists() and not _begins(target, begins):
        reason = "it holds something else, which would be lost"
    if reason is not None:
        raise OutputError(f"'{target}' can't be written ({reason}); choose a writable file.")


def _begins(target: Path, begins: str) -> bool:
    """Whether a file is empty or begins as it should, white space aside."""
    try:
        with open(target, "rb") as stream:
            start = stream.read(256).lstrip()
    except OSError as error:
        raise OutputError(f"'{target}' can't be read ({error.strerror}); choose another file.") from error
    return not start or start.startswith(begins.encode())
