"""The folder of a simulation: which files it holds, how they are written, how a run is cut back to resume.

================  ==========================================================================================
file              contents
================  ==========================================================================================
topology.pdb      topology, and the positions from which the first jump starts (after thermalisation)
trajectory.xtc    one frame a jump, a rejected jump repeats it; the time of frame i (from 0) is (i + 1) tau
jumps.csv         one row a jump (`reporters.COLUMNS`), flushed row by row
checkpoint.chk    OpenMM's checkpoint of the Context: positions, velocities, time, step, integrator's counters
checkpoint.json   where the other files stood at that checkpoint; committed together with checkpoint.chk
run.json          settings, model metadata, MD timing, counters, warnings, provenance (`record`)
run.lock          empty; held by the process that writes the folder (`run_lock`)
================  ==========================================================================================

A kill at any moment leaves a folder that resumes to the same trajectory:

- `checkpoint.json` is the commit point. The new binary checkpoint is written beside the old one, then
  `checkpoint.json`, which holds the binary's SHA-256, is renamed into place, then the binary. Whichever of
  the two binaries carries that hash belongs to it, so a kill between the renames loses nothing.
- An XTC file is a plain sequence of self-contained frames and a CSV file one of lines, and both only grow.
  The byte length of each at the checkpoint is therefore all that is needed to cut it back to that
  checkpoint: whatever follows, half a frame included, is dropped by one `truncate`, without reading or
  rewriting anything. Both files are synced to disk before the checkpoint that names their lengths.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, OutputError
from ..run_lock import hold

__all__ = ["RUN_FORMAT", "RunFolder", "output_errors", "write_json"]

RUN_FORMAT = 1
_LOCK = "run.lock"
_DIGEST = "record_sha256"  # of a checkpoint's record: what cuts files back must not be damaged


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn an `OSError` met while writing `path` into an `OutputError` that names it."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"Can't write to '{path}' ({reason}); choose a writable folder with free space."
        ) from error


def _jsonable(value: Any) -> Any:
    """JSON has no NaN and no infinity: such numbers become null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _replace(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all: temporary file, sync, rename."""
    temporary = path.with_name(path.name + ".tmp")
    _write_synced(temporary, data)
    os.replace(temporary, path)


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record atomically; numbers that JSON doesn't have become null."""
    with output_errors(path):
        _replace(path, (json.dumps(_jsonable(record), indent=1) + "\n").encode())


class RunFolder:
    """Paths of a run and the operations on them that must survive a kill.

    Parameters
    ----------
    path : str or Path
        The folder; nothing is touched until a method is called.
    stem : str
        Of the checkpoint's two files.
    growing : sequence of str
        Names of the files that grow and are cut back to a checkpoint.
    """

    def __init__(
        self,
        path: str | Path,
        stem: str = "checkpoint",
        growing: Sequence[str] = ("trajectory.xtc", "jumps.csv"),
    ):
        self.path = Path(path)
        self.topology = self.path / "topology.pdb"
        self.trajectory = self.path / "trajectory.xtc"
        self.jumps = self.path / "jumps.csv"
        self.checkpoint = self.path / f"{stem}.chk"
        self.checkpoint_record = self.path / f"{stem}.json"
        self.run_record = self.path / "run.json"
        self._new_checkpoint = self.path / f"{stem}.chk.new"
        self._growing: tuple[Path, ...] = tuple(self.path / name for name in growing)

    def check_free(self) -> None:
        """Raise `OutputError` if the folder already holds something other than a lock."""
        with output_errors(self.path):
            if self.path.is_dir() and any(path.name != _LOCK for path in self.path.iterdir()):
                raise OutputError(
                    f"'{self.path}' is not empty; add --resume to continue the run in it, or choose another "
                    "folder."
                )
            if self.path.exists() and not self.path.is_dir():
                raise OutputError(f"'{self.path}' is a file; choose another name for the output folder.")

    def create(self) -> None:
        """Make the folder and find out now, not after an hour, whether files can be written there."""
        with output_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".write-test"
            probe.write_bytes(b"x")
            probe.unlink()

    @contextmanager
    def held(self, new: bool) -> Iterator[None]:
        """Make the folder, and be the one process that writes it while this lasts.

        Parameters
        ----------
        new : bool
            A run that starts: another process may have started one here since `check_free`, so look again.

        Raises
        ------
        CheckpointError
            If another process holds the folder.
        OutputError
            If it can't be written, or isn't free for a new run.
        """
        self.create()
        with hold(self.path, _LOCK):
            if new:
                self.check_free()
            yield

    def has_checkpoint(self) -> bool:
        """Whether a first checkpoint was committed."""
        return self.checkpoint_record.is_file()

    def read_run_record(self) -> dict[str, Any]:
        """The contents of run.json.

        Raises
        ------
        CheckpointError
            If it is absent or isn't JSON.
        """
        return _read_json(
            self.run_record, f"'{self.path}' holds no run to resume; drop --resume to start one there."
        )

    def save_checkpoint(self, data: bytes, record: dict[str, Any]) -> None:
        """Commit a checkpoint (order and reason: module docstring).

        Parameters
        ----------
        data : bytes
            OpenMM's binary checkpoint.
        record : dict
            What else the run needs to continue; `sha256`, `bytes` (file lengths) and a digest of the record itself are
            added here.
        """
        with output_errors(self.path):
            for path in self._growing:
                _sync(path)
            lengths = {path.name: path.stat().st_size for path in self._growing}
            _write_synced(self._new_checkpoint, data)
            committed = _jsonable({**record, "sha256": hashlib.sha256(data).hexdigest(), "bytes": lengths})
            committed[_DIGEST] = _digest(committed)
            write_json(self.checkpoint_record, committed)
            os.replace(self._new_checkpoint, self.checkpoint)

    def load_checkpoint(self) -> tuple[bytes, dict[str, Any]]:
        """The committed checkpoint and its record.

        Raises
        ------
        CheckpointError
            If either is absent or broken, or the binary isn't the one that the record names.
        """
        missing = f"'{self.path}' holds no checkpoint; start the run again in a new folder."
        record = _read_json(self.checkpoint_record, missing)
        stored = record.pop(_DIGEST, None)  # records of before have none
        if stored is not None and stored != _digest(record):
            raise CheckpointError(
                f"'{self.checkpoint_record}' was changed since it was written; restore the folder from a copy or start "
                "again in a new one."
            )
        for path in (self.checkpoint, self._new_checkpoint):
            if not path.is_file():
                continue
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == record.get("sha256"):
                return data, record
        raise CheckpointError(
            f"'{self.checkpoint}' is not the checkpoint that '{self.checkpoint_record.name}' describes; "
            "restore the folder from a copy or start again in a new one."
        )

    def truncate_to(self, record: dict[str, Any]) -> None:
        """Cut trajectory and table back to a checkpoint (why byte lengths suffice: module docstring).

        Parameters
        ----------
        record : dict
            As returned by `load_checkpoint`.
        """
        found_lengths = record.get("bytes")
        lengths = found_lengths if isinstance(found_lengths, dict) else {}
        for path in self._growing:
            length = lengths.get(path.name)
            if type(length) is not int or length < 0:
                raise CheckpointError(
                    f"'{self.checkpoint_record}' doesn't say how long '{path.name}' was (bytes: {length!r:.40}); "
                    "restore it from a copy or start again in a new folder."
                )
        for path in self._growing:
            size = path.stat().st_size if path.is_file() else -1
            if size < lengths[path.name]:
                found = (
                    "is missing"
                    if size < 0
                    else f"has {size} bytes and had {lengths[path.name]} at the checkpoint"
                )
                raise CheckpointError(
                    f"'{path}' {found}; restore it from a copy or start again in a new folder."
                )
        with output_errors(self.path):
            for path in self._growing:
                os.truncate(path, lengths[path.name])


def _digest(record: dict[str, Any]) -> str:
    """SHA-256 of a record, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path, if_missing: str) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(if_missing) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"'{path}' can't be read ({error}); restore it or start again in a new folder."
        ) from error
    if not isinstance(record, dict):
        raise CheckpointError(f"'{path}' doesn't hold a record; restore it or start again in a new folder.")
    return record
