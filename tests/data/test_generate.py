"""MD generation: a walker interrupted and continued equals one that wasn't."""

import dataclasses

import numpy as np
import pytest

from openmm_unisim.data import trajectory_file
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.errors import CheckpointError, ConfigError, DataError
from tests.plugin.systems import platform_names

PLATFORMS = platform_names("OpenCL")
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


def test_constrained_bonds_to_hydrogen_keep_their_lengths_and_the_file_says_so(tmp_path):
    config = dataclasses.replace(SHORT, nanoseconds=0.01, time_step=0.004, constraints="h-bonds")
    trajectory = trajectory_file.read(generate(config, tmp_path / "a.h5"))
    assert trajectory.attributes["constraints"] == "h-bonds"
    assert trajectory.attributes["time_step"] == 0.004
    numbers = np.array(trajectory.attributes["atomic_numbers"])
    pairs = np.array(trajectory.attributes["bonds"])
    hydrogen = (numbers[pairs] == 1).any(1)
    positions = trajectory.positions
    lengths = np.linalg.norm(positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]], axis=-1)
    rounding = 2e-4  # nm; of each of two positions half of 1e-4 nm a coordinate
    assert np.ptp(lengths, axis=0)[hydrogen].max() < rounding < np.ptp(lengths, axis=0)[~hydrogen].min()
    with pytest.raises(CheckpointError, match="begun with time_step"):
        generate(dataclasses.replace(config, constraints="none", time_step=0.002), tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_step": 0.004}, "at most 0.003 ps, or h-bonds"),
        ({"time_step": 0.0055, "constraints": "h-bonds"}, "at most 0.005 ps"),
        ({"constraints": "HBonds"}, "choose one of none, h-bonds"),
    ],
)
def test_unstable_time_steps_and_unknown_constraints_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SHORT, **change).check()


def test_foreign_files_are_named(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(DataError, match="HDF5"):
        trajectory_file.read(path)


def test_opencl_makes_md_whose_minimiser_would_crash_there(tmp_path):
    if "OpenCL" not in PLATFORMS:
        pytest.skip("no OpenCL platform here")
    config = dataclasses.replace(SHORT, platform="OpenCL", nanoseconds=0.002)
    energies = trajectory_file.read(generate(config, tmp_path / "opencl.h5")).potential_energy
    assert np.isfinite(energies).all()
