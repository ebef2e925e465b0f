"""`openmm-unisim simulate` as a user runs it, in its own process where signals are concerned."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim import JumpWarning
from openmm_unisim.cli.main import app as program
from tests.toy_models import write_toy

METADATA = {"environment": "vacuum", "masses": "hydrogen 4 Da", "friction": 1.0}
FAST = ["--thermalise", "0.2", "--md-timing", "0", "--no-report", "--platform", "Reference"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rough enough that some jumps are rejected."""
    path = tmp_path_factory.mktemp("model") / "toy.unisim.pt"
    return write_toy(path, "constant", metadata=METADATA, sigma=0.006)


def arguments(model: Path, output: Path, jumps: int, *more: str) -> list[str]:
    return [
        "simulate", "ACE-ALA-NME", "--model", str(model), "--output", str(output), "--jumps", str(jumps),
        "--checkpoint-interval", "17", *FAST, *more,
    ]  # fmt: skip


def start(line: list[str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "openmm_unisim.cli.main", *line]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def table(folder: Path) -> list[list[str]]:
    with open(folder / "jumps.csv", encoding="utf-8", newline="") as stream:
        return [row[:-1] for row in csv.reader(stream)]  # without wall_s


def wait_for_rows(folder: Path, n: int, process: subprocess.Popen) -> None:
    """Until jumps.csv has n lines, or the process has ended."""
    path = folder / "jumps.csv"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if path.is_file() and path.read_bytes().count(b"\n") > n:
            return
        time.sleep(0.002)


def test_kill_9_at_random_moments_then_resume_gives_the_same_trajectory(model: Path, tmp_path: Path) -> None:
    jumps, generator = 1500, random.Random(11)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    result = CliRunner().invoke(program, arguments(model, whole, jumps))
    assert result.exit_code == 0, result.output
    kills = 0
    for resume in ([], ["--resume"]):
        process = start(arguments(model, parts, jumps, *resume))
        wait_for_rows(parts, generator.randrange(50, 500) + 400 * kills, process)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
    assert kills == 2  # it died each time before it was done
    assert json.loads((parts / "run.json").read_text(encoding="utf-8"))["status"] == "running"
    process = start(arguments(model, parts, jumps, "--resume"))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    for name in ("topology.pdb", "trajectory.xtc", "checkpoint.chk"):
        ours, theirs = (parts / name).read_bytes(), (whole / name).read_bytes()
        assert ours == theirs or (
            name == "topology.pdb" and ours[80:] == theirs[80:]
        )  # its first line has a date
    assert table(parts) == table(whole)
    records = [json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in (whole, parts)]
    assert records[0]["jumps"]["counts"] == records[1]["jumps"]["counts"]
    assert records[0]["jumps"]["rejected"] > 0 and len(records[1]["resumed"]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_resume_continues(
    model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = start(arguments(model, folder, 100000))
    wait_for_rows(folder, 30, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume continues" in errors and "Traceback" not in errors
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    done = record["jumps"]["done"]
    assert record["status"] == "interrupted" and done == len(table(folder)) - 1
    assert json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))["standing"]["done"] == done
    whole = tmp_path / "whole"
    for output, resume in ((folder, ["--resume"]), (whole, [])):
        result = CliRunner().invoke(program, arguments(model, output, done + 5, *resume))
        assert result.exit_code == 0, result.output
    assert table(folder) == table(whole) and len(table(folder)) - 1 == done + 5
    for name in ("trajectory.xtc", "checkpoint.chk"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_a_second_run_in_a_folder_is_refused_while_the_first_one_writes_it(
    model: Path, tmp_path: Path
) -> None:
    """With --resume, too; the first one isn't disturbed."""
    folder = tmp_path / "run"
    process = start(arguments(model, folder, 100000))
    try:
        wait_for_rows(folder, 5, process)
        for resume, sentence in (([], "is not empty"), (["--resume"], "is in use by another process")):
            second = CliRunner().invoke(program, arguments(model, folder, 100000, *resume))
            assert second.exit_code == 2 and sentence in " ".join(second.stderr.split())
        wait_for_rows(folder, len(table(folder)) + 20, process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert [row[0] for row in table(folder)[1:]] == [str(k + 1) for k in range(len(table(folder)) - 1)]


def test_a_finished_run_says_what_came_of_it_and_draws_nothing(model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(program, arguments(model, tmp_path / "run", 20, "--md-timing", "0.1"))
    assert result.exit_code == 0 and result.stderr == ""
    first, second, third = result.stdout.strip().splitlines()
    assert "20 jumps of 1 ps" in first and "jumps/s" in first and "ns/day of model time" in first
    assert "MD run well on this machine" in second and "nominal ratio" in second
    assert "accepted; broken before any rejection:" in third
    assert (
        json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))["md"]["run_well"]["ns_per_day"]
        > 0
    )


def test_without_md_timing_no_ratio_is_claimed(model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(program, arguments(model, tmp_path / "run", 2))
    assert result.exit_code == 0 and "ratio" not in result.stdout and "nan" not in result.stdout


def test_another_environment_is_a_warning(model: Path, tmp_path: Path) -> None:
    """Told once, by the command: the integrator's own notice would say it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", JumpWarning)
        result = CliRunner().invoke(program, arguments(model, tmp_path / "run", 2, "--environment", "obc2"))
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: The model was trained in environment 'vacuum'")
    assert json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))["warnings"]


def test_a_listed_small_molecule_is_known_by_its_name(model: Path, tmp_path: Path) -> None:
    """Its GAFF2 files are those of the repository; nothing is parameterised here."""
    parameters = Path(__file__).parents[2] / "data" / "parameters"
    line = [
        "simulate",
        "ethanol",
        "--model",
        str(model),
        "--output",
        str(tmp_path / "run"),
        "--jumps",
        "2",
        *FAST,
    ]
    done = CliRunner().invoke(program, [*line, "--parameters", str(parameters)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "topology.pdb").read_text(encoding="utf-8").count("HETATM") == 9


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(program, ["--help"])
    assert result.exit_code == 0
    for command in ("generate", "train", "calibrate", "export", "simulate", "models"):
        assert command in result.stdout
