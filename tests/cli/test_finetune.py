"""`openmm-unisim train finetune` as a user runs it: another program's MD, a shipped model's weights."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.data import archive
from openmm_unisim.system import load_molecule

from ..conditioned_models import write_tiny_model
from ..foreign_md import dipeptide, frames, save, write_pdb

SAID = [
    "--temperature", "300", "--environment", "tip3p", "--force-field", "ff14SB", "--friction", "1",
    "--hydrogen-mass", "1.008", "--constraints", "h-bonds",
]  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base weights, a topology and two trajectories of 400 ps."""
    folder = tmp_path_factory.mktemp("given")
    write_tiny_model(folder)
    molecule, _ = dipeptide(folder)
    for seed in (1, 2):
        save(folder / f"{seed}.xtc", frames(molecule, 80, seed), molecule.topology, 5.0)
    return folder


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What training sets for its whole process is kept from the other tests."""
    monkeypatch.setattr("openmm_unisim.memory.keep_freed_memory", lambda: True)
    yield
    torch.set_flush_denormal(False)


def run(given: Path, output: Path, *more: str, walkers: tuple[int, ...] = (1, 2), said: list[str] = SAID):
    files = [word for k in walkers for word in ("--trajectory", str(given / f"{k}.xtc"))]
    command = [
        "train", "finetune", "--topology", str(given / "dipeptide.pdb"), *files, "--from",
        str(given / "weights.safetensors"), "--output", str(output), "--steps", "3", "--batch", "3", *said, *more,
    ]  # fmt: skip
    return CliRunner().invoke(program, command)


def test_it_trains_resumes_calibrates_and_exports(given: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    first = run(given, output)
    assert first.exit_code == 0, first.output
    text = " ".join(first.stdout.split())
    assert "ACE-A-NME: 22 atoms" in text and "the last trajectory is held out: 0.4 ns to train on" in text
    assert "environment was obc2 and is tip3p here" in text and "run.safetensors: 3 steps" in text
    config = json.loads((output / "config.json").read_text(encoding="utf-8"))
    assert config["lag_time"] == 20.0 and config["model"]["hidden"] == 40
    assert config["model"]["displacement"] == 0.6 and config["start_from"].endswith("weights.safetensors")
    record = json.loads((output / "record.json").read_text(encoding="utf-8"))
    assert record["weights_from_scratch"] == [] and record["protocol"]["constraints"] == "h-bonds"
    assert record["protocol"]["environment"] == "tip3p" and set(record["data"]) == {"train.h5"}
    again = run(given, output)
    assert again.exit_code == 0 and "has 3 steps; nothing to do" in " ".join(again.stdout.split())
    more = run(given, output, "--steps", "5")
    assert more.exit_code == 0 and "5 steps" in more.stdout, more.output
    other = run(given, output, "--steps", "9", walkers=(1,))
    assert other.exit_code == 2 and "other trajectories or settings" in other.stderr
    weights, model = str(output / "weights.safetensors"), str(output / "tiny.unisim.pt")
    fit = CliRunner().invoke(program, ["calibrate", str(output), "--output", weights, "--iterations", "2"])
    assert fit.exit_code == 0, fit.output
    done = CliRunner().invoke(program, ["export", weights, "--output", model])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(program, ["models", model])
    assert "h-bonds" in shown.output and "hydrogen 1.008 Da" in shown.output and "tip3p" in shown.output


def test_the_end_of_a_single_trajectory_is_held_out_after_a_gap(given: Path, tmp_path: Path) -> None:
    result = run(given, tmp_path, "--lag-time", "10", walkers=(1,))
    assert result.exit_code == 0, result.output
    assert "the last 34 of 80 frames are held out, after a gap of 5 lags" in " ".join(result.stdout.split())
    train, held = (archive.read(tmp_path / "data" / f"{name}.h5") for name in ("train", "held_out"))
    assert [len(train.stretches[0]), len(held.stretches[0])] == [36, 34]
    assert train.reversible == [False] and train.attributes["frame_spacing_ps"] == 5.0
    assert train.attributes["sources"][0]["file"] == "1.xtc"


def test_a_refused_command_leaves_the_configuration_of_the_run(given: Path, tmp_path: Path) -> None:
    output = tmp_path / "fg[1]"  # our own path is no pattern
    assert run(given, output).exit_code == 0
    before = (output / "config.json").read_bytes()
    for more, code in (([], 0), (["--steps", "5", "--seed", "7"], 2)):  # nothing to do; another seed
        assert run(given, output, *more).exit_code == code
        assert (output / "config.json").read_bytes() == before
    assert run(given, output, "--steps", "5").exit_code == 0
    assert json.loads((output / "config.json").read_text(encoding="utf-8"))["steps"] == 5


def test_torchrun_is_refused(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = run(given, tmp_path / "run")
    assert result.exit_code == 2 and "train vector-field" in result.stderr and not (tmp_path / "run").exists()


def test_a_trajectory_given_twice_is_refused(given: Path, tmp_path: Path) -> None:
    (tmp_path / "3.xtc").write_bytes((given / "1.xtc").read_bytes())
    result = run(given, tmp_path / "run", "--trajectory", str(tmp_path / "3.xtc"))
    assert result.exit_code == 2 and "are the same file" in result.stderr


def test_frames_at_equilibrium_are_reversed(given: Path, tmp_path: Path) -> None:
    assert run(given, tmp_path, "--equilibrium").exit_code == 0
    assert archive.read(tmp_path / "data" / "train.h5").reversible == [True]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--lag-time", "7"], "A lag of 7 ps is no multiple of the frames' spacing of 5 ps"),
        (["--lag-time", "390"], "pairs of 78 frames' lag to train on"),
        (["--from", "nonsense"], "neither a registered model nor a file or run folder"),
        (["--select", "resname ALA"], "a piece of a molecule"),
        (["--constraints", "shake"], "choose one of none, h-bonds"),
        (["--learning-rate", "-1"], "learning_rate: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(given: Path, tmp_path: Path, more: list[str], text: str) -> None:
    result = run(given, tmp_path, *more)
    assert result.exit_code == 2 and text in " ".join(result.stderr.split()), result.output
    assert result.stderr.count("\n") == 1


def test_a_protocol_that_no_one_states_is_asked_for(given: Path, tmp_path: Path) -> None:
    result = run(given, tmp_path, said=SAID[:-4])
    assert result.exit_code == 2 and "give --hydrogen-mass, --constraints" in result.stderr


def test_molecules_that_judge_transfer_are_refused(given: Path, tmp_path: Path) -> None:
    molecule = load_molecule("ACE-ILE-NME")
    write_pdb(tmp_path / "dipeptide.pdb", molecule.topology, molecule.positions)
    save(tmp_path / "1.xtc", frames(molecule, 60), molecule.topology, 5.0)
    (tmp_path / "weights.safetensors").write_bytes((given / "weights.safetensors").read_bytes())
    result = run(tmp_path, tmp_path / "run", walkers=(1,))
    assert result.exit_code == 2 and "'ACE-I-NME' is unlisted, to judge transfer" in result.stderr


def test_another_hand_is_refused(given: Path, tmp_path: Path) -> None:
    molecule = load_molecule("ACE-ALA-NME")
    mirrored = frames(molecule, 60)
    mirrored[40:] *= np.array([1.0, 1.0, -1.0])
    for name in ("dipeptide.pdb", "weights.safetensors"):
        (tmp_path / name).write_bytes((given / name).read_bytes())
    save(tmp_path / "1.xtc", mirrored, molecule.topology, 5.0)
    result = run(tmp_path, tmp_path / "run", walkers=(1,))
    assert result.exit_code == 2 and "Frame 40" in result.stderr and "other hand" in result.stderr
