"""A short walker for training tests."""

from pathlib import Path

import pytest

from openmm_unisim.data.generate import GenerateConfig, generate


@pytest.fixture(scope="session")
def walker(tmp_path_factory) -> Path:
    """60 ps of ACE-A-NME in OBC2."""
    path = tmp_path_factory.mktemp("data") / "walker.h5"
    return generate(
        GenerateConfig("ACE-ALA-NME", nanoseconds=0.06, scramble_time=2.0, equilibration_time=2.0), path
    )


@pytest.fixture(scope="session")
def other_walker(tmp_path_factory) -> Path:
    """60 ps of ACE-G-NME in OBC2."""
    path = tmp_path_factory.mktemp("data") / "other.h5"
    return generate(
        GenerateConfig("ACE-GLY-NME", nanoseconds=0.06, scramble_time=2.0, equilibration_time=2.0), path
    )
