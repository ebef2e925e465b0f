"""Elements and formulas."""

import pytest

from openmm_unisim.elements import check_elements, hill_formula
from openmm_unisim.errors import UnknownElementError


def test_hill_order():
    assert hill_formula([8, 6, 1, 1, 7, 6]) == "C2H2NO"
    assert hill_formula([1, 1, 8]) == "H2O"


def test_unknown_element_is_named():
    with pytest.raises(UnknownElementError, match="28"):
        check_elements([6, 28])
