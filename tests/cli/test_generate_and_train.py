"""`openmm-unisim generate` and `openmm-unisim train vector-field` as a user runs them, one on the other's files."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.data import trajectory_file
from openmm_unisim.provenance import sha256_of_file

WALKERS = ["ACE-A-NME.vacuum.300K.seed3.h5", "ACE-A-NME.vacuum.300K.seed4.h5"]
MODEL = {
    "hidden": 40, "heads": 4, "layers": 1, "ffn": 16, "rbf": 6, "expand": 2, "edge_width": 8, "place_width": 8,
}  # fmt: skip


def generate(folder: Path, nanoseconds: float) -> str:
    result = CliRunner().invoke(
        program,
        [
            "generate", "ACE-ALA-NME", "--output", str(folder), "--environment", "vacuum", "--walkers", "2",
            "--seed", "3", "--nanoseconds", str(nanoseconds), "--frame-spacing", "0.5", "--scramble-time", "1",
            "--equilibration-time", "1", "--platform", "Reference",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two walkers of 0.01 ns, made in two goes."""
    folder = tmp_path_factory.mktemp("raw")
    generate(folder, 0.004)
    generate(folder, 0.01)
    return folder


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What training sets for its whole process is kept from the other tests."""
    monkeypatch.setattr("openmm_unisim.memory.keep_freed_memory", lambda: True)
    yield
    torch.set_flush_denormal(False)


def test_walkers_differ_and_continue_where_they_stopped(raw: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in raw.iterdir()) == WALKERS
    printed = generate(tmp_path, 0.01)
    assert all(f"{name}: 20 frames" in printed.replace("\n", "") for name in WALKERS)
    resumed, whole = (
        [trajectory_file.read(folder / name).positions for name in WALKERS] for folder in (raw, tmp_path)
    )
    assert resumed[0].shape == (20, 22, 3)
    assert np.array_equal(resumed[0], whole[0]) and np.array_equal(resumed[1], whole[1])
    assert not np.allclose(whole[0], whole[1])


def test_training_runs_resumes_and_says_when_it_is_done(raw: Path, tmp_path: Path, undisturbed: None) -> None:
    config = tmp_path / "train.json"
    settings = {
        "model": MODEL, "lag_time": 2.0, "train_files": [str(raw / WALKERS[0])],
        "valid_files": [str(raw / WALKERS[1])], "steps": 4, "batch": 4, "compiled": False, "save_every": 2,
        "validate_every": 4, "warmup": 1,
    }  # fmt: skip
    config.write_text(json.dumps(settings), encoding="utf-8")
    command = ["train", "vector-field", str(config), "--output", str(tmp_path / "run")]
    first = CliRunner().invoke(program, command)
    assert first.exit_code == 0 and "run.safetensors: 4 steps" in first.stdout.replace("\n", ""), first.output
    finished = CliRunner().invoke(program, command)
    assert finished.exit_code == 0 and "has 4 steps; nothing to do" in " ".join(finished.stdout.split())
    more = CliRunner().invoke(program, [*command, "--steps", "6"])
    assert more.exit_code == 0 and "6 steps" in more.stdout, more.output
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in lines] == [2, 4, 6] and lines[-1]["valid"] > 0
    state = tmp_path / "run" / "run.safetensors"
    second = [
        "train",
        "vector-field",
        str(config),
        "--output",
        str(tmp_path / "second"),
        "--start-from",
        str(state),
    ]
    assert CliRunner().invoke(program, second).exit_code == 0
    record = json.loads((tmp_path / "second" / "record.json").read_text(encoding="utf-8"))
    assert record["started_from"] == sha256_of_file(state)


def test_a_broken_training_configuration_is_one_sentence(tmp_path: Path, undisturbed: None) -> None:
    command = ["train", "vector-field", str(tmp_path / "train.json"), "--output", str(tmp_path / "run")]
    (tmp_path / "train.json").write_text('{"stepps": 3}', encoding="utf-8")
    result = CliRunner().invoke(program, command)
    assert result.exit_code == 2 and "not a valid training configuration" in result.stderr
    assert result.stderr.count("\n") == 1 and "stepps" in result.stderr


def test_pretraining_runs_and_names_a_wrong_head(raw: Path, tmp_path: Path, undisturbed: None) -> None:
    config = tmp_path / "pretrain.json"
    settings = {
        "model": MODEL, "heads": ["denoising"], "frame_files": [str(raw / WALKERS[0])],
        "valid_frame_files": [str(raw / WALKERS[1])], "atom_budget": 44, "parts": 1, "steps": 2,
    }  # fmt: skip
    config.write_text(json.dumps(settings), encoding="utf-8")
    command = ["train", "pretrain", str(config), "--output", str(tmp_path / "run")]
    result = CliRunner().invoke(program, command)
    assert result.exit_code == 0, result.output
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["step"] == 2 and last["valid"] == last["denoising/denoising"] > 0
    config.write_text(json.dumps(settings | {"heads": ["dft"]}), encoding="utf-8")
    result = CliRunner().invoke(program, command)
    assert result.exit_code == 2 and "'dft' is unknown" in result.output


@pytest.mark.parametrize("option", ["--threads", "--steps"])
def test_impossible_counts_are_refused(tmp_path: Path, option: str) -> None:
    command = [
        "train",
        "vector-field",
        str(tmp_path / "x.json"),
        "--output",
        str(tmp_path / "run"),
        option,
        "-1",
    ]
    result = CliRunner().invoke(program, command)
    assert result.exit_code == 2 and option in result.output and "can't be read" not in result.output


def test_calibration_is_of_the_protocol_that_was_learned(
    raw: Path, tmp_path: Path, undisturbed: None
) -> None:
    config, held_out = tmp_path / "train.json", tmp_path / "held_out.h5"
    shutil.copy(raw / WALKERS[1], held_out)
    settings = {
        "model": MODEL, "lag_time": 2.0, "train_files": [str(raw / WALKERS[0])], "valid_files": [str(held_out)],
        "steps": 1, "batch": 2,
    }  # fmt: skip
    config.write_text(json.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(program, ["train", "vector-field", str(config), "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    with h5py.File(held_out, "r+") as file:
        file.attrs["metadata"] = json.dumps(json.loads(file.attrs["metadata"]) | {"friction_per_ps": 9.0})
    result = CliRunner().invoke(
        program, ["calibrate", str(tmp_path), "--output", str(tmp_path / "w.safetensors")]
    )
    assert result.exit_code == 2 and "have friction_per_ps = 9.0, not" in result.stderr
