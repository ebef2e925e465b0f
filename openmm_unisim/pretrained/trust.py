"""Which model files may be run. A model file is a program, so one that nothing vouches for is refused unread.

These vouch for a content, by its SHA-256: the registry of shipped models; the list of this account, to which every
export adds what it wrote, and `openmm-unisim models FILE --trust` what its user trusts; the caller, who says so
(`trusted`) or names the SHA-256; and the environment variable ``OPENMM_UNISIM_TRUSTED_SHA256`` (digests, with commas),
by which the commands tell their child processes. A checksum beside the file vouches for nothing: whoever made the file
made that, too.
"""

import contextlib
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..checksum import DIGEST
from ..errors import ConfigError, ModelFileError, UntrustedModelError
from ..provenance import sha256_of_file
from .registry import registered_models, resolve_model

__all__ = ["authorise", "list_file", "refusal", "remember", "trust_for_children", "trust_model", "vouches"]

LIST_VARIABLE = "OPENMM_UNISIM_TRUSTED_MODELS"  # where the list is, if not in the user's configuration folder
DIGESTS_VARIABLE = "OPENMM_UNISIM_TRUSTED_SHA256"
_LINE = re.compile(r"([0-9a-f]{64})(\s|$)")
_process: set[str] = set()  # trusted until this process ends


def trust_model(model: str | Path, sha256: str | None = None) -> str:
    """Let this process run a model file from elsewhere, until it ends.

    Every part of the package and OpenMM's XML then take files of this content. ``trusted=True`` and ``sha256`` of
    `UniSimIntegrator` do the same for one call.

    Parameters
    ----------
    model : str or Path
        A registered name or a model file.
    sha256 : str, optional
        The digest that the file must have: safer than to trust whatever lies there.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    ModelFileError
        If there is no such file, or it has another SHA-256.
    """
    path = resolve_model(model)
    return authorise(path, sha256_of_file(path), trusted=True, sha256=sha256)


def authorise(path: str | Path, digest: str, trusted: bool = False, sha256: str | None = None) -> str:
    """Return `digest`, of the bytes that are going to be loaded, if something vouches for it.

    Parameters
    ----------
    path : str or Path
        For messages.
    digest : str
        SHA-256 of the file's content, lower case.
    trusted : bool
        The caller vouches for it.
    sha256 : str or None
        The only digest that the caller vouches for.

    Raises
    ------
    UntrustedModelError
        If nothing does.
    ModelFileError
        If `sha256` is another one.
    ConfigError
        If `sha256` is no digest, or `trusted` neither True nor False.
    """
    vouched = vouches(trusted, sha256)
    if sha256 is not None:
        if not DIGEST.fullmatch(sha256):
            raise ConfigError(
                f"sha256 = '{sha256:.80}' must be 64 hexadecimal digits, as `sha256sum` prints."
            )
        if sha256.lower() != digest:
            raise ModelFileError(
                f"Model file {path} has the SHA-256 {digest}, and {sha256.lower()} was asked for; fetch it again."
            )
    if vouched:
        _process.add(digest)
    reason = refusal(str(path), digest)
    if reason:
        raise UntrustedModelError(reason)
    return digest


def vouches(trusted: bool, sha256: str | None) -> bool:
    """Whether a caller vouches for a file. Words are refused, since "no" is as true as any."""
    if not isinstance(trusted, bool):
        raise ConfigError(f"trusted = {trusted!r} must be True or False.")
    return trusted or sha256 is not None


def refusal(path: str, digest: str) -> str:
    """Why a content may not be run, or nothing if it may. The compiled plugin asks this, too."""
    remembered, trouble = _remembered()
    if DIGEST.fullmatch(digest) and (
        digest in _process
        or digest in os.environ.get(DIGESTS_VARIABLE, "").lower().split(",")
        or any(digest in (model.sha256, *model.earlier_sha256) for model in registered_models().values())
        or digest in remembered
    ):
        return ""
    note = f" ({trouble})" if trouble else ""
    return (
        f"Model file '{path}' is a program from elsewhere: it is no shipped model, and neither made nor trusted by "
        f"this account{note}; if you know its source, run `openmm-unisim models '{path}' --trust` once, or give "
        f"--trust or --sha256, trusted=True or sha256=DIGEST in a script (its SHA-256 is {digest or 'not given'})."
    )


def list_file() -> Path | None:
    """The list of this account; None if it has no home."""
    if named := os.environ.get(LIST_VARIABLE):
        return Path(named)
    try:
        return _configuration_folder() / "openmm-unisim" / "trusted_models"
    except RuntimeError:  # no home folder
        return None


def _configuration_folder() -> Path:
    if sys.platform == "win32" and (roaming := os.environ.get("APPDATA")):
        return Path(roaming)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if os.path.isabs(named) else Path.home() / ".config"


def remember(path: Path, digest: str, how: str) -> bool:
    """Add a file to the list of this account: one line, appended; and to those that this process trusts.

    Parameters
    ----------
    path : Path
        For people who read the list.
    digest : str
    how : {"made", "trusted"}

    Returns
    -------
    bool
        Whether it is on the list now. If the list can't be written, there is a warning, and this process trusts the
        file.
    """
    _process.add(digest)
    if digest in _remembered()[0]:
        return True
    where = list_file()
    name = ascii(str(path.absolute()))
    line = f"{digest}  {how}  {datetime.now(UTC).isoformat(timespec='seconds')}  {name}\n"
    try:
        if where is None:
            raise OSError(0, "this account has no home folder")
        _append(where, line.encode())
    except OSError as error:
        warnings.warn(
            f"{path} can't be noted as trusted in {where} ({error.strerror}); other processes will ask for --trust or "
            f"trusted=True, unless {LIST_VARIABLE} names a file that can be written.",
            UserWarning,
            stacklevel=3,
        )
        return False
    return True


def trust_for_children(digest: str) -> None:
    """Let the processes that this one starts run a content, too."""
    earlier = os.environ.get(DIGESTS_VARIABLE, "")
    os.environ[DIGESTS_VARIABLE] = f"{earlier},{digest}" if earlier else digest


def _append(where: Path, line: bytes) -> None:
    """Append a line in one write, while no other process does; a line that broke off before stays one of its own."""
    where.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(where, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as stream, _locked(descriptor):
        size = stream.seek(0, os.SEEK_END)
        if size:
            stream.seek(size - 1)
            line = line if stream.read(1) == b"\n" else b"\n" + line
        stream.write(line)


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with contextlib.suppress(OSError):  # a file system without locks: one write of a line is whole there, too
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield  # closing the file unlocks it


def _remembered() -> tuple[set[str], str]:
    """Digests on the list of this account, and why it can't be used, if so."""
    where = list_file()
    if where is None:
        return set(), "which has no home folder for a list"
    try:
        with open(where, encoding="utf-8", errors="replace") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return set(), f"whose list {where} is no file"
            if os.name == "posix" and (status.st_mode & 0o022 or status.st_uid not in (os.getuid(), 0)):
                return (
                    set(),
                    f"whose list {where} others may write; make it yours, and run `chmod go-w` on it",
                )
            return {found[1] for line in stream if (found := _LINE.match(line))}, ""
    except FileNotFoundError:
        return set(), ""
    except OSError as error:
        return set(), f"whose list {where} can't be read: {error.strerror}"
