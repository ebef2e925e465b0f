"""The archive keeps what pairs need, within its precision and its budget."""

import numpy as np
import pytest
import torch

from openmm_unisim.data import archive, trajectory_file
from openmm_unisim.data.pairs import PairSource
from openmm_unisim.errors import DataError

BONDS = [[0, 1], [1, 2], [2, 3]]
ATTRIBUTES = {
    "name": "toy", "atomic_numbers": [6, 6, 6, 6], "bonds": BONDS, "frame_spacing_ps": 1.0, "temperature_K": 300.0,
    "environment": "vacuum", "force_field": "toy", "friction_per_ps": 1.0, "seed": 1, "nanoseconds": 0.1,
    "provenance": {},
}  # fmt: skip


def walker(path, seed, n_frames=100, **attributes):
    generator = np.random.default_rng(seed)
    shape = np.array([[0, 0, 0], [0.15, 0, 0], [0.2, 0.14, 0], [0.35, 0.15, 0.1]])
    turned = []
    for _ in range(n_frames):
        rotation, _ = np.linalg.qr(generator.standard_normal((3, 3)))
        turned.append(
            (shape + 0.01 * generator.standard_normal(shape.shape)) @ (rotation * np.linalg.det(rotation))
        )
    trajectory_file.create(path, {**ATTRIBUTES, "seed": seed, **attributes})
    trajectory_file.append(path, np.array(turned), np.zeros(n_frames), b"state")
    return path


def distances(frames):
    return torch.linalg.norm(frames[:, :, None] - frames[:, None], dim=-1)


def test_pairs_read_the_archive_like_the_raw_files(tmp_path):
    paths = [walker(tmp_path / f"{seed}.h5", seed) for seed in (1, 2)]
    paths.append(walker(tmp_path / "3.h5", 3, reversible=False, segment_frames=50))
    assert archive.write(paths, tmp_path / "toy.h5", 5.0) == (tmp_path / "toy.h5").stat().st_size
    raw, kept = PairSource.load(paths), PairSource.load([tmp_path / "toy.h5"])
    assert kept.frame_spacing == 5.0 and raw.frame_spacing == 1.0
    assert kept.reversible == raw.reversible == [True, True, False, False]
    assert torch.equal(kept.bonds, raw.bonds) and torch.equal(kept.atomic_numbers, raw.atomic_numbers)
    for ours, theirs in zip(kept.walkers, raw.walkers):
        error = (distances(ours) - distances(theirs[::5])).abs().max()
        assert error < 0.02  # angstrom: 0.001 nm of rounding in each of six coordinates
    frames = archive.read(tmp_path / "toy.h5")
    assert [source["file"] for source in frames.attributes["sources"]] == ["1.h5", "2.h5", "3.h5"]


def test_handedness_survives_superposition(tmp_path):
    path = walker(tmp_path / "a.h5", 1)
    archive.write([path], tmp_path / "toy.h5", 5.0)
    volume = lambda x: np.linalg.det(x[:, 1:] - x[:, :1])  # noqa: E731
    raw = trajectory_file.read(path).positions[::5]
    assert np.array_equal(
        np.sign(volume(raw)), np.sign(volume(archive.read(tmp_path / "toy.h5").stretches[0]))
    )


def test_budget_widens_the_spacing_and_then_refuses(tmp_path):
    groups = {"a.h5": [walker(tmp_path / "1.h5", 1, 4000)], "b.h5": [walker(tmp_path / "2.h5", 2, 400)]}
    at_five = archive.write(groups["a.h5"], tmp_path / "x.h5", 5.0) / archive.MEGABYTE
    free = archive.write_within(groups, tmp_path / "out", 10.0, 1.0)
    assert [spacing for spacing, _ in free.values()] == [5.0, 5.0]
    tight = archive.write_within(groups, tmp_path / "out", 10.0, 0.8 * at_five)
    assert {name: spacing for name, (spacing, _) in tight.items()} == {"a.h5": 10.0, "b.h5": 5.0}
    assert archive.read(tmp_path / "out" / "a.h5").attributes["frame_spacing_ps"] == 10.0
    with pytest.raises(DataError, match=r"'a\.h5' takes"):
        archive.write_within(groups, tmp_path / "out", 10.0, 0.1 * at_five)
    with pytest.raises(DataError, match="The archive takes"):
        archive.write_within(groups, tmp_path / "out", 0.1 * at_five, 1.0)


def test_unlike_files_are_refused(tmp_path):
    first = walker(tmp_path / "1.h5", 1)
    with pytest.raises(DataError, match="environment"):
        archive.write([first, walker(tmp_path / "2.h5", 2, environment="obc2")], tmp_path / "toy.h5")
    with pytest.raises(DataError, match="no multiple"):
        archive.write([first], tmp_path / "toy.h5", 2.5)
    with pytest.raises(DataError, match="no archive"):
        archive.read(first)
    with pytest.raises(DataError, match="No frames"):
        archive.write([], tmp_path / "toy.h5")
