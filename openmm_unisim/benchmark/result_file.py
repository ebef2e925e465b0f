"""The JSON of a benchmark that is written after every run, and continued."""

import json
from pathlib import Path
from typing import Any

from ..changes import changed_settings, describe_changes
from ..errors import CheckpointError
from ..simulation.outputs import output_errors, write_json
from ..writable import check_writable

__all__ = ["ResultFile", "read_result"]


def read_result(path: Path, benchmark: str, formats: int) -> dict[str, Any]:
    """A finished or unfinished record of `benchmark`.

    Raises
    ------
    CheckpointError
        If the file is unreadable, of another benchmark or of a newer format.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' can't be read as JSON ({error}); give another file or delete it."
        ) from error
    if not isinstance(record, dict) or record.get("benchmark") != benchmark:
        raise CheckpointError(f"'{path}' is no result of `benchmark {benchmark}`; give another file.")
    if record.get("format") != formats:
        raise CheckpointError(
            f"'{path}' has format {record.get('format')} and this program writes {formats}; give another file."
        )
    return record


class ResultFile:
    """A record on disk; every `save` replaces it as a whole, so that a kill leaves the one before.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    benchmark : str
    formats : int
        Version of the record.
    """

    def __init__(self, path: Path | None, benchmark: str, formats: int):
        self._path, self._benchmark, self._format = path, benchmark, formats
        if path is not None:
            check_writable(path, "{")

    def continued(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """The record begun with the same identity, or None if there is no file.

        Raises
        ------
        CheckpointError
            If it was begun with another identity: what differs is named.
        """
        if self._path is None or not self._path.exists():
            return None
        record = read_result(self._path, self._benchmark, self._format)
        begun = record.get("identity", {})
        changes = changed_settings({key: begun.get(key) for key in identity}, identity)
        if changes:
            raise CheckpointError(
                f"'{self._path}' was begun with other settings ({describe_changes(changes)}); use its own, another "
                "--json, or delete it."
            )
        return record

    def save(self, record: dict[str, Any]) -> None:
        """Write the record."""
        if self._path is not None:
            with output_errors(self._path):
                write_json(self._path, {"format": self._format, "benchmark": self._benchmark, **record})
