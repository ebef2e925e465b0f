"""What differs between the settings of a run and those with which it is to go on."""

from collections.abc import Mapping
from typing import Any

__all__ = ["ABSENT", "changed_settings", "describe_changes"]

ABSENT = "nothing"  # stands for a setting that one side lacks


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, those within dictionaries by themselves.

    Parameters
    ----------
    before, now : mapping
        Of JSON's kinds; tuples equal lists, as a file gives back the latter.

    Returns
    -------
    dict
        Dotted name to (before, now); `ABSENT` stands for what one side lacks.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**now, **before}:
        old, new = before.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= {f"{key}.{name}": pair for name, pair in changed_settings(old, new).items()}
        elif _plain(old) != _plain(new):
            found[key] = (old, new)
    return found


def describe_changes(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """For example "seed: 1 -> 2, md.steps: 500 -> 250"."""
    return ", ".join(f"{name}: {old} -> {new}" for name, (old, new) in changes.items())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
