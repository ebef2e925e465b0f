"""One process at a time writes a run folder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from .errors import CheckpointError, OutputError

__all__ = ["hold"]


@contextlib.contextmanager
def hold(folder: Path, name: str = "run.lock") -> Iterator[None]:
    """Hold the lock of a run folder, a file in it; the system releases it if the process dies.

    Raises
    ------
    CheckpointError
        If another process holds it.
    """
    path = folder / name
    try:
        file = open(path, "a", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"'{path}' can't be written ({error}); choose a writable run folder.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"The run in '{folder}' is in use by another process; wait for it or choose another folder."
            ) from error
        except OSError:
            pass  # a file system without locks: two processes there are the user's care
        yield
