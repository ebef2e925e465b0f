"""What a continued run may not have otherwise, and what else stands beside a run in its folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from openmm_unisim.errors import CheckpointError, DataError, OutputError
from openmm_unisim.model.conditioned import ConditionedConfig
from openmm_unisim.run_lock import hold
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

SMALL = ConditionedConfig(hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8)


def trainer_of(config: VectorFieldConfig, folder: Path) -> Trainer:
    return Trainer(VectorFieldStage, config, folder)


def changed(config: VectorFieldConfig, **settings: object) -> VectorFieldConfig:
    return config.model_copy(update=settings)


@pytest.fixture
def config(walker) -> VectorFieldConfig:
    return VectorFieldConfig(
        model=SMALL, lag_time=5.0, train_files=[str(walker)], steps=1, batch=2, compiled=False, warmup=1
    )


@pytest.fixture
def warmer(walker, tmp_path) -> str:
    """The walker, said to be of 310 K."""
    path = tmp_path / "warmer.h5"
    shutil.copy(walker, path)
    with h5py.File(path, "r+") as file:
        file.attrs["metadata"] = json.dumps(json.loads(file.attrs["metadata"]) | {"temperature_K": 310.0})
    return str(path)


def test_a_run_keeps_its_protocol_and_judges_by_the_same(config, warmer, tmp_path):
    trainer_of(config, tmp_path / "run").run()
    with pytest.raises(CheckpointError, match=r"temperature_K = 300.0, not 310.0"):
        trainer_of(changed(config, train_files=[warmer], steps=2), tmp_path / "run")
    with pytest.raises(
        DataError, match=r"held-out files of 'ACE-A-NME' have temperature_K = 310.0, not 300.0"
    ):
        trainer_of(changed(config, valid_files=[warmer]), tmp_path / "other")


def test_a_run_keeps_its_network(config, tmp_path):
    trainer_of(config, tmp_path).run()
    larger = changed(config, steps=2, model=SMALL.model_copy(update={"hidden": 48}))
    with pytest.raises(CheckpointError, match=r"model\.hidden = 40, not 48"):
        trainer_of(larger, tmp_path)
    another = SMALL.model_copy(update={"displacement": 7.0})  # measured anyway
    assert trainer_of(changed(config, steps=2, model=another), tmp_path).step == 1


def test_one_process_at_a_time_trains_in_a_folder(config, tmp_path):
    trainer = trainer_of(config, tmp_path)
    code = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(CheckpointError, match="is in use by another process"):
            trainer.run()
        other.communicate("")
    trainer.run()
    with hold(tmp_path):  # released at its end
        assert trainer.step == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        "log.jsonl", "record.json", "run.lock", "run.safetensors",
    }  # fmt: skip


def test_a_state_that_cannot_be_written_is_one_error(config, tmp_path):
    trainer = trainer_of(config, tmp_path)
    trainer.state_path.mkdir()
    with pytest.raises(OutputError, match=r"run\.safetensors' can't be written"):
        trainer.run()
    assert not list(tmp_path.glob("*.part"))
    trainer.state_path.rmdir()
    (tmp_path / "record.json").unlink()
    (tmp_path / "record.json").mkdir()
    with pytest.raises(OutputError, match=r"record\.json' can't be written"):
        trainer_of(config, tmp_path)


def test_validation_waits_for_the_next_state(config, tmp_path):
    entries: list[dict] = []
    often = changed(config, steps=10, save_every=2, validate_every=5)
    trainer_of(often, tmp_path).run(entries.append)
    assert [entry["step"] for entry in entries if "valid" in entry] == [6, 10]


def test_a_start_is_told_of_and_another_one_later_is_not_used(config, tmp_path):
    trainer_of(config, tmp_path / "first").run()
    trainer_of(changed(config, seed=2), tmp_path / "other").run()
    first, other = (str(tmp_path / name / "run.safetensors") for name in ("first", "other"))
    deeper = changed(config, model=SMALL.model_copy(update={"refine_layers": 1}), start_from=first)
    begun = trainer_of(deeper, tmp_path / "second")
    assert f"{len(begun.record['weights_from_scratch'])} tensors had no match there" in begun.notes[0]
    begun.run()
    assert trainer_of(changed(deeper, steps=2), tmp_path / "second").notes == []
    again = trainer_of(changed(deeper, steps=2, start_from=other), tmp_path / "second")
    assert "isn't what it began from, and is not used" in again.notes[0] and again.step == 1


def test_a_rate_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        VectorFieldConfig(learning_rate=float("inf"))
