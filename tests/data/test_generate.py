"""MD generation: a walker interrupted and continued equals one that wasn't."""

import dataclasses

import numpy as np
import pytest

from openmm_unisim.data import trajectory_file
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.errors import CheckpointError, ConfigError, DataError

SHORT = GenerateConfig(
    "ACE-ALA-NME",
    nanoseconds=0.04,
    frame_spacing=1.0,
    block=10,
    scramble_time=2.0,
    equilibration_time=2.0,
    seed=3,
)


def test_continued_walker_equals_an_uninterrupted_one(tmp_path):
    whole = trajectory_file.read(generate(SHORT, tmp_path / "whole.h5"))

    class Killed(Exception):
        pass

    def kill(done: int, total: int, rate: float) -> None:
        if done == 20:
            raise Killed

    path = tmp_path / "parts.h5"
    with pytest.raises(Killed):
        generate(SHORT, path, kill)
    assert trajectory_file.read_progress(path)[0] == 20
    parts = trajectory_file.read(generate(SHORT, path))
    assert np.array_equal(whole.positions, parts.positions)
    assert np.array_equal(whole.potential_energy, parts.potential_energy)
    assert whole.positions.shape == (40, 22, 3)


def test_other_settings_are_refused(tmp_path):
    path = generate(dataclasses.replace(SHORT, nanoseconds=0.01), tmp_path / "a.h5")
    with pytest.raises(CheckpointError, match="seed"):
        generate(dataclasses.replace(SHORT, seed=4), path)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="nanoseconds"):
        dataclasses.replace(SHORT, nanoseconds=-1.0).check()
    with pytest.raises(ConfigError, match="multiple"):
        dataclasses.replace(SHORT, frame_spacing=0.0033).check()


def test_foreign_files_are_named(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(DataError, match="HDF5"):
        trajectory_file.read(path)
