"""The atom vocabulary: 29 elements in the published order (UniSim, spec section 2)."""

from collections import Counter
from collections.abc import Iterable

from .errors import UnknownElementError

VOCABULARY = (
    "H", "Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
    "K", "Ca", "Mn", "Fe", "Co", "Cu", "Zn", "As", "Se", "Br", "I", "Xe", "Au", "Hg",
)  # fmt: skip
ATOMIC_NUMBERS = (
    1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17,
    19, 20, 25, 26, 27, 29, 30, 33, 34, 35, 53, 54, 79, 80,
)  # fmt: skip
MAX_ATOMIC_NUMBER = 118


def vocabulary_lookup() -> list[int]:
    """Table from atomic number to vocabulary index; -1 marks an element that the networks don't know.

    Returns
    -------
    list of int, length MAX_ATOMIC_NUMBER + 1
    """
    table = [-1] * (MAX_ATOMIC_NUMBER + 1)
    for index, number in enumerate(ATOMIC_NUMBERS):
        table[number] = index
    return table


def check_elements(atomic_numbers: Iterable[int], allowed: Iterable[int] = ATOMIC_NUMBERS) -> None:
    """Raise `UnknownElementError` naming the first atom whose element is not in `allowed`.

    Parameters
    ----------
    atomic_numbers : iterable of int
        Z of each atom.
    allowed : iterable of int
        Z values that may occur; the whole vocabulary unless told.
    """
    known = set(allowed)
    for index, number in enumerate(atomic_numbers):
        if int(number) not in known:
            raise UnknownElementError(
                f"Atom {index} has atomic number {int(number)}, which this model does not know; "
                f"it knows Z = {sorted(known)}, so remove that atom from the jumping particles or use another model."
            )


def hill_formula(atomic_numbers: Iterable[int]) -> str:
    """Sum formula in Hill's order (C, H, then the alphabet), such as C6H12N2O2."""
    symbols = dict(zip(ATOMIC_NUMBERS, VOCABULARY))
    counts = Counter(symbols[int(number)] for number in atomic_numbers)
    first = [symbol for symbol in ("C", "H") if symbol in counts] if "C" in counts else []
    rest = sorted(symbol for symbol in counts if symbol not in first)
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in first + rest)
