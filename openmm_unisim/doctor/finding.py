"""One line of the doctor's report."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "first_line"]


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes
    ----------
    section, name : str
    text : str
        A version, or what is the matter.
    level : {"ok", "note", "fault"}
        "note": works, but somebody may want to know; "fault": something that is needed doesn't work.
    cure : str
        What to do; empty where nothing has to be done.
    """

    section: str
    name: str
    text: str
    level: Literal["ok", "note", "fault"] = "ok"
    cure: str = ""


def first_line(error: BaseException) -> str:
    """What an exception says, on one line."""
    lines = str(error).strip().splitlines()
    return f"{lines[0]:.300}" if lines else type(error).__name__
