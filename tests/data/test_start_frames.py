"""Walkers that start, and restart, from another trajectory's frames."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from openmm_unisim.data import trajectory_file
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.data.pairs import PairSampler, PairSource
from openmm_unisim.data.stretches import read_stretches
from openmm_unisim.errors import CheckpointError, ConfigError, DataError

QUICK = {"scramble_time": 0.5, "equilibration_time": 0.2, "platform": "Reference"}
DONOR = GenerateConfig("ACE-GLY-NME", "vacuum", nanoseconds=0.02, temperature=600.0, **QUICK)
WALKER = GenerateConfig(
    "ACE-GLY-NME", "obc2", nanoseconds=0.03, start_from="donor.h5", segment_time=10.0, block=4, **QUICK
)


@pytest.fixture
def folder(tmp_path):
    generate(DONOR, tmp_path / "donor.h5")
    return tmp_path


def test_continued_walker_equals_an_uninterrupted_one(folder):
    whole = trajectory_file.read(generate(WALKER, folder / "whole.h5"))

    class Killed(Exception):
        pass

    for stop in (4, 10, 24):

        def kill(done: int, total: int, rate: float, stop=stop) -> None:
            if done == stop:
                raise Killed

        with pytest.raises(Killed):
            generate(WALKER, folder / "parts.h5", kill)
    parts = trajectory_file.read(generate(WALKER, folder / "parts.h5"))
    assert np.array_equal(whole.positions, parts.positions)
    assert whole.attributes["reversible"] is False and whole.attributes["segment_frames"] == 10


def test_segments_are_stretches_and_their_pairs_are_never_reversed(folder):
    path = generate(WALKER, folder / "walker.h5")
    stretches = read_stretches(path)
    assert [len(s.positions) for s in stretches] == [10, 10, 10]
    jumps = [np.abs(a.positions[-1] - b.positions[0]).max() for a, b in pairwise(stretches)]
    assert min(jumps) > 0.05  # another frame of the donor, not the next step
    equilibrium = generate(
        dataclasses.replace(WALKER, start_from="", segment_time=0.0), folder / "equilibrium.h5"
    )
    source = PairSource.load([path, equilibrium])
    assert source.reversible == [True, False, False, False]
    import torch

    sampler = PairSampler(source, 5.0)
    assert len(sampler.starts) == 25 + 3 * 5
    sampler.reversible[:] = False
    frames = sampler.frames - sampler.frames.mean(1, keepdim=True)
    drawn = sampler.draw(200, torch.Generator().manual_seed(1)).start
    nearest = torch.cdist(drawn.flatten(1), frames.flatten(1)).argmin(1)
    assert set(nearest.tolist()) <= set(sampler.starts.tolist())


def test_an_unfinished_segment_is_left_out(folder):
    class Killed(Exception):
        pass

    def kill(done: int, total: int, rate: float) -> None:
        if done == 14:
            raise Killed

    with pytest.raises(Killed):
        generate(WALKER, folder / "walker.h5", kill)
    assert [len(s.positions) for s in read_stretches(folder / "walker.h5")] == [10]


def test_wrong_starts_are_named(folder):
    with pytest.raises(ConfigError, match="whole number of segments"):
        dataclasses.replace(WALKER, nanoseconds=0.025).check()
    with pytest.raises(ConfigError, match="needs start_from"):
        dataclasses.replace(WALKER, start_from="").check()
    with pytest.raises(DataError, match="other atoms"):
        generate(dataclasses.replace(WALKER, molecule="ACE-ALA-NME"), folder / "a.h5")
    generate(WALKER, folder / "walker.h5")
    generate(dataclasses.replace(DONOR, nanoseconds=0.03), folder / "donor.h5")
    with pytest.raises(CheckpointError, match=r"another 'donor\.h5'"):
        generate(dataclasses.replace(WALKER, nanoseconds=0.04), folder / "walker.h5")


def test_starts_are_stored_where_that_is_asked_for(folder):
    walker = dataclasses.replace(WALKER, segment_time=3.0, equilibration_time=0.0, store_starts=True)
    donor = trajectory_file.read(folder / "donor.h5").positions
    for stretch in read_stretches(generate(walker, folder / "starts.h5")):
        nearest = np.abs(donor - stretch.positions[0]).max((1, 2)).min()
        assert len(stretch.positions) == 3 and nearest < 2e-4  # stored in steps of 1e-4 nm
        assert np.abs(stretch.positions[1] - stretch.positions[0]).max() > 0.01
    with pytest.raises(ConfigError, match="store_starts needs segments"):
        dataclasses.replace(WALKER, segment_time=0.0, store_starts=True).check()


def test_short_segments_share_a_block_and_resume(folder):
    walker = dataclasses.replace(WALKER, segment_time=3.0, block=7)  # written after 9, 18, 27 and 30 frames
    whole = trajectory_file.read(generate(walker, folder / "whole.h5"))
    written = []

    class Killed(Exception):
        pass

    def kill(done: int, total: int, rate: float) -> None:
        written.append(done)
        if done == 18:
            raise Killed

    with pytest.raises(Killed):
        generate(walker, folder / "parts.h5", kill)
    parts = trajectory_file.read(generate(walker, folder / "parts.h5"))
    assert written == [9, 18] and np.array_equal(whole.positions, parts.positions)
