"""Whether a model file is the one it should be, asked before anything reads its content."""

import re
from pathlib import Path

from .errors import ModelFileError
from .provenance import sha256_of_file

__all__ = ["DIGEST", "check_sha256", "check_sidecar"]

DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def check_sidecar(path: Path, found: str | None = None) -> None:
    """Compare a model file with ``PATH.sha256``, if that lies beside it (the format is that of ``sha256sum``).

    Parameters
    ----------
    path : Path
    found : str, optional
        SHA-256 of its content, if it is known.

    Raises
    ------
    ModelFileError
        If they differ, or the checksum file can't be used.
    """
    sidecar = path.with_name(path.name + ".sha256")
    if sidecar.exists():
        check_sha256(path, _read_sidecar(sidecar), str(sidecar), "fetch or export both again", found)


def _read_sidecar(sidecar: Path) -> str:
    try:
        with open(sidecar, encoding="utf-8") as stream:
            first = stream.read(64)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"The checksum file {sidecar} can't be read ({error}); remove or replace it."
        ) from error
    if not DIGEST.fullmatch(first):
        raise ModelFileError(f"The checksum file {sidecar} holds no SHA-256; remove or replace it.")
    return first.lower()


def check_sha256(path: Path, expected: str, source: str, cure: str, found: str | None = None) -> None:
    """Compare the SHA-256 of a model file (`found`, if it is known) with what `source` says.

    Raises
    ------
    ModelFileError
        If they differ, with `cure`, or the file can't be read.
    """
    try:
        found = found or sha256_of_file(path)
    except OSError as error:
        raise ModelFileError(
            f"Model file {path} can't be read ({error.strerror}); check its permissions."
        ) from error
    if found != expected:
        raise ModelFileError(
            f"Model file {path} has the SHA-256 {found[:12]}..., but {source} says {expected[:12]}...; "
            f"{cure}."
        )
