"""Whole numbers as C++ takes them: Python's or numpy's, never text or fractions."""

import operator
from collections.abc import Iterable
from typing import Any

from .errors import ConfigError

__all__ = ["whole_number", "whole_numbers"]


def whole_number(value: Any, name: str, bits: int = 32) -> int:
    """A number that fits a C++ integer of so many bits, or a `ConfigError` that calls it `name`."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ConfigError(f"{name} = {value!r} must be a whole number.") from error
    largest = 2 ** (bits - 1) - 1
    if not -largest - 1 <= number <= largest:
        raise ConfigError(f"{name} = {number} must lie between {-largest - 1} and {largest}.")
    return number


def whole_numbers(values: Iterable[Any], name: str) -> list[int]:
    """Several of them; text isn't taken for a sequence of numbers."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigError(f"{name} = {values!r} must be a sequence of whole numbers.")
    return [whole_number(value, f"an entry of {name}") for value in values]
