"""Label files: repeatable frames, continued exactly, read back."""

from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.data import label_file
from openmm_unisim.data.label import label_molecule
from openmm_unisim.data.molecule_list import find_entry
from openmm_unisim.data.molecule_source import load_entry
from openmm_unisim.data.off_equilibrium import FramesConfig, draw_block
from openmm_unisim.errors import CheckpointError, ConfigError, DataError

PARAMETERS = Path(__file__).parents[2] / "data" / "parameters"
CONFIG = FramesConfig(block=8, spacing=0.1, scramble_time=0.2, cooling_time=0.1)
COUNTS = {"gaff2-obc2": 16, "gaff2-vacuum": 10}


@pytest.fixture(scope="module")
def ethanol():
    pytest.importorskip("rdkit", reason="RDKit (extra 'data') isn't installed")
    return load_entry(find_entry("ethanol"), PARAMETERS)


def test_blocks_follow_from_seed_and_number(ethanol):
    first, again, second = (draw_block(ethanol, number, CONFIG) for number in (0, 0, 1))
    assert np.array_equal(first.positions, again.positions)
    assert not np.array_equal(first.positions, second.positions)
    assert sorted(first.temperature.tolist()) == [300.0] * 4 + [600.0] * 4
    assert (first.displacement >= 0).all() and first.displacement.max() <= 0.005
    assert np.abs(first.positions.mean(1)).max() < 1e-6


def test_displaced_frames_are_displaced_by_what_is_written(ethanol):
    calm = FramesConfig(**{**CONFIG.__dict__, "displaced_fraction": 0.0})
    rough = FramesConfig(**{**CONFIG.__dict__, "displaced_fraction": 1.0})
    before, after = draw_block(ethanol, 0, calm), draw_block(ethanol, 0, rough)
    assert (before.displacement == 0).all() and (after.displacement > 0).all()
    moved = (after.positions - before.positions).std((1, 2))  # the same MD, the same noise
    assert np.allclose(moved, after.displacement, rtol=0.5)


def test_killed_labelling_goes_on_exactly(ethanol, tmp_path):
    whole = label_molecule(ethanol, tmp_path / "whole.h5", COUNTS, CONFIG)

    class Killed(Exception):
        pass

    for kill_at in (("frames", 8), ("gaff2-obc2", 16), ("gaff2-vacuum", 10)):

        def kill(what: str, done: int, total: int, kill_at=kill_at) -> None:
            if (what, done) == kill_at:
                raise Killed

        with pytest.raises(Killed):
            label_molecule(ethanol, tmp_path / "parts.h5", COUNTS, CONFIG, kill)
    parts = label_molecule(ethanol, tmp_path / "parts.h5", COUNTS, CONFIG)
    for source, count in COUNTS.items():
        one, other = label_file.labels_of(whole, source), label_file.labels_of(parts, source)
        assert len(one.energies) == count and one.n_failed == 0
        assert np.array_equal(one.forces, other.forces) and np.array_equal(one.energies, other.energies)
        assert np.array_equal(one.positions, other.positions)


def test_frames_without_convergence_are_left_out_and_counted(ethanol, tmp_path):
    path = tmp_path / "a.h5"
    label_molecule(ethanol, path, {"gaff2-vacuum": 8}, CONFIG)
    energies, forces = np.arange(8.0), np.ones((8, 9, 3))
    energies[3], forces[3] = np.nan, np.nan
    label_file.append_labels(path, "toy", "none", (energies, forces))
    labels = label_file.labels_of(path, "toy")
    assert labels.n_failed == 1 and labels.energies.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert np.array_equal(labels.positions, label_file.read_frames(path, 0, 8)[[0, 1, 2, 4, 5, 6, 7]])
    with pytest.raises(DataError, match="not by"):
        label_file.append_labels(path, "toy", "another version", (energies, forces))
    with pytest.raises(DataError, match="no labels by"):
        label_file.labels_of(path, "mmff94")


def test_other_settings_are_refused(ethanol, tmp_path):
    path = label_molecule(ethanol, tmp_path / "a.h5", {"gaff2-vacuum": 4}, CONFIG)
    with pytest.raises(CheckpointError, match="other settings"):
        label_molecule(ethanol, path, {"gaff2-vacuum": 4}, FramesConfig())
    with pytest.raises(ConfigError, match="positive"):
        label_molecule(ethanol, path, {}, CONFIG)
    with pytest.raises(ConfigError, match="block"):
        FramesConfig(block=1)
