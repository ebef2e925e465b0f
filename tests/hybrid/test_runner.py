"""Hybrid runs in a folder: files, resume after crashes and kill -9, seeds. The models are toys."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app
from typer.testing import CliRunner

from openmm_unisim import run_hybrid
from openmm_unisim.cli.main import app as program
from openmm_unisim.errors import CheckpointError, ConfigError
from openmm_unisim.hybrid.preparation import HybridSettings
from openmm_unisim.hybrid.protocol import Protocol, load_protocol
from openmm_unisim.hybrid.reporters import COLUMNS
from openmm_unisim.hybrid.seeds import lag_one_correlation
from openmm_unisim.simulation.observer import JumpProgress, RunObserver
from openmm_unisim.system import load_molecule

SHORT = {
    "explore": {"md": {"steps": 5, "constraints": "h-bonds"}, "relax": {"md_steps": 3}},
    "sample": {
        "md": {"steps": 5, "integrator": "ghmc", "time_step_fs": 1, "constraints": "none"},
        "jump": {"after": "metropolis"},
    },
    "seed": {"md": {"steps": 5}, "relax": {"md_steps": 3}, "seeds": {"every": 5}},
}


def short(kind: str, cycles: int = 20, **changes: object) -> Protocol:
    """A protocol of quick cycles."""
    values = {"kind": kind, "cycles": cycles, "thermalise_ps": 0.1, "output": {"checkpoint_every": 6}}
    return Protocol.model_validate({**values, **SHORT[kind], **changes})


def settings_for(model: Path, output: Path, protocol: Protocol, **changes: object) -> HybridSettings:
    return HybridSettings("ACE-ALA-NME", str(model), output, protocol, **changes)  # type: ignore[arg-type]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "cycles.csv", encoding="utf-8", newline="") as stream:
        return [{k: v for k, v in row.items() if k != "wall_s"} for row in csv.DictReader(stream)]


def assert_same_run(first: Path, second: Path) -> None:
    for name in ("trajectory.xtc", "checkpoint.chk"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert rows(first) == rows(second)
    records = [
        json.loads((folder / "run.json").read_text(encoding="utf-8"))["cycles"] for folder in (first, second)
    ]
    for record in records:
        for name in ("wall_s", "cpu_s", "cycles_per_s"):
            record.pop(name)
    assert records[0] == records[1]


class Stopper(RunObserver):
    """Asks to stop after `after` cycles, or raises there as a crash would."""

    def __init__(self, after: int = 10**9, crash: bool = False):
        self.after, self.crash, self.seen = after, crash, 0

    def jump(self, progress: JumpProgress) -> None:
        self.seen = progress.done
        if self.crash and progress.done >= self.after:
            raise RuntimeError("crash")

    def should_stop(self) -> bool:
        return self.seen >= self.after

    def warn(self, message: str) -> None:
        """Toys are refused often."""


def test_a_run_writes_its_folder(toys, tmp_path: Path) -> None:
    protocol = short("explore", output={"frame_every": 2, "checkpoint_every": 6})
    record = run_hybrid(settings_for(toys["gentle"], tmp_path / "run", protocol), observer=Stopper())
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "topology.pdb", "trajectory.xtc", "cycles.csv", "checkpoint.chk", "checkpoint.json", "run.json",
        "run.lock",
    }  # fmt: skip
    frames = mdtraj.load(str(folder / "trajectory.xtc"), top=str(folder / "topology.pdb"))
    assert frames.n_frames == 10 and np.allclose(frames.time, 2 * 1.02 * np.arange(1, 11))
    table = rows(folder)
    assert (*table[0], "wall_s") == COLUMNS and [int(row["cycle"]) for row in table] == list(range(1, 21))
    assert record["status"] == "finished" and not record["exact"]
    cycles = record["cycles"]
    assert (cycles["done"], cycles["jumps"], cycles["md_steps"], cycles["jump_time_ps"]) == (
        20,
        20,
        100,
        20.0,
    )
    assert cycles["accepted"] + sum(cycles["rejected"].values()) == 20
    assert record["protocol"] == protocol.model_dump() and "jumps" not in record
    assert record["provenance"]["versions"]["openmm"] and len(record["model"]["sha256"]) == 64


def test_a_sample_says_that_it_is_exact_and_how_often_md_was_accepted(toys, tmp_path: Path) -> None:
    record = run_hybrid(settings_for(toys["gentle"], tmp_path, short("sample", 8)), observer=Stopper())
    assert record["exact"] and 0.5 < record["cycles"]["ghmc_acceptance"] <= 1.0
    table = rows(tmp_path)
    assert all(float(row["ghmc_acceptance"]) <= 1 for row in table)
    assert {row["reason"] for row in table} <= {"", "metropolis"}
    judged = record["cycles"]["acceptance"]
    assert judged["judged"] == record["cycles"]["jumps"] == sum(judged["histogram"])
    assert 0.0 <= judged["mean_acceptance"] <= 1.0 and set(judged["quantiles"]) >= {"0.05", "0.5", "0.95"}
    assert sum(int(row["accepted"]) for row in table) == record["cycles"]["accepted"]


@pytest.mark.parametrize("kind", ["explore", "sample", "seed"])
@pytest.mark.parametrize("crash", [False, True])
def test_a_resumed_run_is_the_uninterrupted_one(toys, tmp_path: Path, kind: str, crash: bool) -> None:
    protocol = short(kind)
    run_hybrid(settings_for(toys["gentle"], tmp_path / "whole", protocol), observer=Stopper())
    parts = settings_for(toys["gentle"], tmp_path / "parts", protocol)
    for resume, after in ((False, 3), (True, 14), (True, 10**9)):
        try:
            record = run_hybrid(parts, resume=resume, observer=Stopper(after, crash))
        except RuntimeError:
            continue
        assert record["status"] == ("finished" if after > 20 else "interrupted")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert record["resumed"] == ([0, 12] if crash else [3, 14])
    if kind == "seed":
        for name in ("0003/state.xml", "seeds.json"):
            found = [(tmp_path / run / "seeds" / name).read_bytes() for run in ("whole", "parts")]
            assert found[0] == found[1]


def test_a_finished_run_can_be_extended_and_nothing_else_be_changed(toys, tmp_path: Path) -> None:
    run_hybrid(settings_for(toys["gentle"], tmp_path / "long", short("explore", 12)), observer=Stopper())
    first = settings_for(toys["gentle"], tmp_path / "short", short("explore", 5))
    run_hybrid(first, observer=Stopper())
    longer = settings_for(toys["gentle"], tmp_path / "short", short("explore", 12))
    run_hybrid(longer, resume=True, observer=Stopper())
    assert_same_run(tmp_path / "long", tmp_path / "short")
    with pytest.raises(ConfigError, match="has 12 cycles already, and 5 are fewer"):
        run_hybrid(first, resume=True, observer=Stopper())
    other = settings_for(toys["gentle"], tmp_path / "short", short("explore", 12, md={"steps": 6}))
    with pytest.raises(CheckpointError, match=r"run's own \(protocol\.md\.steps: 5 -> 6\); give"):
        run_hybrid(other, resume=True, observer=Stopper())


def test_start_points_are_ready_for_md_anywhere(toys, tmp_path: Path) -> None:
    record = run_hybrid(settings_for(toys["gentle"], tmp_path, short("seed")), observer=Stopper())
    seeds = tmp_path / "seeds"
    assert record["start_points"] == json.loads((seeds / "seeds.json").read_text(encoding="utf-8"))
    assert record["start_points"]["cycles"] == [5, 10, 15, 20]
    assert -1 <= record["start_points"]["lag_one_correlation"] <= 1
    frames = mdtraj.load(str(tmp_path / "trajectory.xtc"), top=str(tmp_path / "topology.pdb"))
    start = app.PDBFile(str(seeds / "0004/start.pdb")).getPositions(asNumpy=True)._value
    assert np.allclose(frames.xyz[-1], start, atol=2e-3)
    run = [
        sys.executable,
        str(seeds / "run.py"),
        "0004",
        "--steps",
        "10",
        "--every",
        "5",
        "--platform",
        "Reference",
    ]
    subprocess.run(run, check=True, timeout=120)
    assert len((seeds / "0004/log.csv").read_text(encoding="utf-8").splitlines()) == 3
    state = openmm.XmlSerializer.deserialize((seeds / "0004/state.xml").read_text(encoding="utf-8"))
    assert np.abs(state.getVelocities(asNumpy=True)._value).max() > 0
    assert (
        openmm.XmlSerializer.deserialize(
            (seeds / "integrator.xml").read_text(encoding="utf-8")
        ).getRandomNumberSeed()
        == 0
    )


def test_how_alike_neighbours_are_has_its_known_values() -> None:
    topology, start = (lambda m: (m.topology, m.positions))(load_molecule("ACE-ALA-NME"))
    generator = np.random.default_rng(1)
    independent = start + generator.normal(size=(200, 22, 3)) * 0.05
    assert abs(lag_one_correlation(independent, topology)) < 0.15
    assert lag_one_correlation(start + np.cumsum(independent - start, axis=0), topology) > 0.8
    assert lag_one_correlation(independent[:2], topology) is None


def arguments(
    model: Path, output: Path, protocol: Path, *more: str, platform: str = "Reference"
) -> list[str]:
    return ["hybrid", str(protocol), "ACE-ALA-NME", "--model", str(model), "--output", str(output),
            "--platform", platform, *more]  # fmt: skip


def yaml_of(path: Path, kind: str, cycles: int) -> Path:
    path.write_text(json.dumps(short(kind, cycles).model_dump()), encoding="utf-8")  # JSON is YAML
    return path


def wait_for_rows(folder: Path, n: int, process: subprocess.Popen) -> None:
    path = folder / "cycles.csv"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if path.is_file() and path.read_bytes().count(b"\n") > n:
            return
        time.sleep(0.002)


@pytest.fixture
def one_thread():
    """Sums of several threads come in any order."""
    platform = openmm.Platform.getPlatformByName("CPU")
    before = platform.getPropertyDefaultValue("Threads")
    platform.setPropertyDefaultValue("Threads", "1")
    yield
    platform.setPropertyDefaultValue("Threads", before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("kind", "platform"), [("explore", "CPU"), ("sample", "Reference")])
def test_kill_9_at_random_moments_then_resume_gives_the_same_trajectory(
    toys, tmp_path: Path, kind: str, platform: str
) -> None:
    cycles, generator = 200, random.Random(3)
    protocol = yaml_of(tmp_path / "protocol.yaml", kind, cycles)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run = [sys.executable, "-m", "openmm_unisim.cli.main"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENMM_CPU_THREADS": "1"}
    result = CliRunner().invoke(program, arguments(toys["gentle"], whole, protocol, platform=platform))
    assert result.exit_code == 0, result.output
    for kills, resume in enumerate(([], ["--resume"])):
        line = arguments(toys["gentle"], parts, protocol, *resume, platform=platform)
        process = subprocess.Popen(
            [*run, *line], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        wait_for_rows(parts, generator.randrange(20, 70) + 70 * kills, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert json.loads((parts / "run.json").read_text(encoding="utf-8"))["status"] == "running"
    line = arguments(toys["gentle"], parts, protocol, "--resume", platform=platform)
    result = CliRunner().invoke(program, line)
    assert result.exit_code == 0, result.output
    assert_same_run(whole, parts)


def test_the_command_says_what_came_of_it_and_what_is_missing(toys, tmp_path: Path) -> None:
    protocol = yaml_of(tmp_path / "protocol.yaml", "sample", 4)
    result = CliRunner().invoke(
        program, arguments(toys["gentle"], tmp_path / "run", protocol, "--cycles", "3")
    )
    assert result.exit_code == 0, result.output
    first, second, third, fourth = result.stdout.strip().splitlines()
    assert first.startswith("3 cycles in") and "0.015 ps of MD and 3 ps of jumps" in first
    assert "of 3 jumps accepted; rejected: " in second and "% of the MD steps accepted" in third
    assert fourth.startswith("The force field's distribution is sampled exactly")
    for line, message in (
        (["hybrid", "explore"], "INPUT, --model, --output must be given"),
        (["hybrid", "exploer", "ACE-ALA-NME", "--model", "m", "--output", "o"], "no protocol 'exploer'"),
    ):
        result = CliRunner().invoke(program, line)
        assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["explore", "sample", "seed"])
def test_show_prints_the_protocol(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["hybrid", name, "--show"])
    assert result.exit_code == 0
    copy = tmp_path / "copy.yaml"
    copy.write_text(result.stdout, encoding="utf-8")
    assert load_protocol(copy) == load_protocol(name)
