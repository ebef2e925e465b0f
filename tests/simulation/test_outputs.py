"""The run folder: atomic commits, byte-exact truncation, named errors."""

import json
import os
from pathlib import Path

import pytest

from openmm_unisim.errors import CheckpointError, OutputError
from openmm_unisim.simulation.outputs import RunFolder, write_json


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.trajectory.write_bytes(b"frame1")
    folder.jumps.write_text("jump\n1\n", encoding="utf-8")
    return folder


def test_truncation_drops_whatever_followed_the_checkpoint(folder: RunFolder) -> None:
    folder.save_checkpoint(b"state", {"progress": {"done": 1}})
    with open(folder.trajectory, "ab") as stream:
        stream.write(b"frame2, and half of fra")
    with open(folder.jumps, "a", encoding="utf-8") as stream:
        stream.write("2\n3,0.")
    data, record = folder.load_checkpoint()
    folder.truncate_to(record)
    assert data == b"state" and record["progress"] == {"done": 1}
    assert folder.trajectory.read_bytes() == b"frame1"
    assert folder.jumps.read_text(encoding="utf-8") == "jump\n1\n"


def test_a_kill_between_the_two_renames_loses_nothing(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save_checkpoint(b"old", {"n": 1})
    real, calls = os.replace, []

    def killed(source: Path, target: Path) -> None:
        calls.append(target)
        if target == folder.checkpoint:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.save_checkpoint(b"new", {"n": 2})
    assert calls == [folder.checkpoint_record, folder.checkpoint]
    data, record = folder.load_checkpoint()
    assert data == b"new" and record["n"] == 2


def test_a_kill_before_the_commit_keeps_the_old_checkpoint(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save_checkpoint(b"old", {"n": 1})

    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.save_checkpoint(b"new", {"n": 2})
    data, record = folder.load_checkpoint()
    assert data == b"old" and record["n"] == 1


def test_broken_folders_are_named(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        folder.load_checkpoint()
    with pytest.raises(CheckpointError, match="no run to resume"):
        RunFolder(tmp_path / "nowhere").read_run_record()
    folder.save_checkpoint(b"state", {})
    folder.checkpoint.write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match="is not the checkpoint"):
        folder.load_checkpoint()
    folder.checkpoint_record.write_text("{half", encoding="utf-8")
    with pytest.raises(CheckpointError, match="can't be read"):
        folder.load_checkpoint()


def test_a_shortened_trajectory_is_not_resumed(folder: RunFolder) -> None:
    folder.save_checkpoint(b"state", {})
    _, record = folder.load_checkpoint()
    folder.trajectory.write_bytes(b"fr")
    with pytest.raises(CheckpointError, match="has 2 bytes and had 6"):
        folder.truncate_to(record)
    folder.trajectory.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        folder.truncate_to(record)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    RunFolder(used).check_free()
    (used / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not empty; add --resume"):
        RunFolder(used).check_free()
    with pytest.raises(OutputError, match="is a file"):
        RunFolder(used / "notes.txt").check_free()
    with pytest.raises(OutputError, match="Can't write"):
        RunFolder(used / "notes.txt" / "run").create()


def test_records_are_valid_json(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", {"a": float("nan"), "b": [1.0, float("inf")], "c": Path("x")})
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == {
        "a": None,
        "b": [1.0, None],
        "c": "x",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    """A second one is refused while it is held; a lock that is left makes no folder occupied."""
    folder = RunFolder(tmp_path / "run")
    with folder.held(new=True):
        for new in (True, False):
            with pytest.raises(CheckpointError, match="in use by another process"):
                RunFolder(tmp_path / "run").held(new).__enter__()
    folder.check_free()
    write_json(folder.run_record, {})
    with folder.held(new=False):
        pass
    with pytest.raises(OutputError, match="not empty"):
        folder.held(new=True).__enter__()
