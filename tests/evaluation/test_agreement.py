"""z of two figures."""

import math

import pytest

from openmm_unisim.evaluation.estimators.agreement import agreement_z


def test_z_and_what_is_missing():
    assert agreement_z(5.0, 3.0, 0.0, 4.0) == pytest.approx(1.0)
    assert agreement_z(1.0, 0.0, 3.0, 1.0) == pytest.approx(-2.0)
    assert agreement_z(None, 1.0, 1.0, 1.0) is None
    assert agreement_z(1.0, None, 1.0, 1.0) is None
    assert agreement_z(1.0, 0.0, 1.0, 0.0) is None
    assert agreement_z(math.nan, 1.0, 1.0, 1.0) is None
