"""Damaged files of every kind, a few in each run of the tests: taken whole, or refused by one named error.

tools/fuzz.py makes thousands of cases, in processes that may die; these here would end the test run if they did.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import KINDS, Finding, Target, make_target, outcome

QUICK = [kind for kind in KINDS if kind != "package"]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    """One target of each kind."""
    return {kind: make_target(kind, tmp_path_factory.mktemp(kind)) for kind in QUICK}


@pytest.mark.parametrize("kind", QUICK)
@settings(
    max_examples=20, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_file_is_taken_whole_or_refused_by_name(
    targets: dict[str, Target], kind: str, seed: int
) -> None:
    target = targets[kind]
    target.try_case(target.mutate(random.Random(seed)))


@settings(
    max_examples=30, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(targets: dict[str, Target], data: bytes) -> None:
    for target in targets.values():
        target.try_case(data)


def test_what_is_a_finding() -> None:
    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        outcome(broken)

    def wordless() -> None:
        from openmm_unisim import ConfigError

        raise ConfigError("")

    with pytest.raises(Finding):
        outcome(wordless)
    assert outcome(lambda: None) == "accepted"
