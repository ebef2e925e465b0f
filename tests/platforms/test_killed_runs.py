"""Runs that are killed"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.compatibility import ROOT
from tests.platforms.killed_run import KINDS, run

STEPS, FRAME = 1000, 24 * 22  # bytes of a frame of alanine dipeptide
ROWS = {
    "integrator": "`kill -9` at a random moment: the same trajectory, bit for bit",
    "compound": "`kill -9` of a `CompoundIntegrator` of MD and jumps",
    "hybrid": "`kill -9` of a `HybridSimulation`",
}
QUICK = {("integrator", "Reference", 1), ("integrator", "CPU", 1), ("hybrid", "Reference", 1)}
CASES = [
    pytest.param(
        kind, platform, seed, marks=[pytest.mark.feature(ROWS[kind])]
        + ([] if (kind, platform, seed) in QUICK else [pytest.mark.slow])
    )
    for kind in KINDS for platform in ("Reference", "CPU") for seed in (1, 2, 3)
]  # fmt: skip


def start(*line: str) -> subprocess.Popen:
    """The run as a process of its own, which Ctrl-C interrupts also where whoever started the tests ignores SIGINT."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.platforms.killed_run", *line],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_frames(path: Path, number: int, process: subprocess.Popen) -> None:
    """Until there are so many, or the process has ended."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.stat().st_size >= number * FRAME:
            return
        time.sleep(0.001)


@pytest.mark.parametrize(("kind", "platform", "seed"), CASES)
def test_killed_and_resumed(toys, tmp_path: Path, kind: str, platform: str, seed: int) -> None:
    model, generator = str(toys["gentle"]), random.Random(seed)
    run(kind, platform, model, tmp_path / "whole", STEPS)
    parts, died = tmp_path / "parts", 0
    for kill in range(2):
        process = start(kind, platform, model, str(parts), str(STEPS))
        wait_for_frames(parts / "frames", generator.randrange(1, 150) + 150 * kill, process)
        time.sleep(generator.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        died += process.returncode == -signal.SIGKILL
    assert died > 0  # a busy machine may see the second one reach its end
    run(kind, platform, model, parts, STEPS)
    assert (parts / "frames").read_bytes() == (tmp_path / "whole" / "frames").read_bytes()


@pytest.mark.feature("Ctrl-C leaves a run that goes on")
@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_ctrl_c(toys, tmp_path: Path, platform: str) -> None:
    model = str(toys["gentle"])
    run("integrator", platform, model, tmp_path / "whole", STEPS)
    parts = tmp_path / "parts"
    process = start("integrator", platform, model, str(parts), str(STEPS))
    wait_for_frames(parts / "frames", 60, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and b"KeyboardInterrupt" in errors
    run("integrator", platform, model, parts, STEPS)
    assert (parts / "frames").read_bytes() == (tmp_path / "whole" / "frames").read_bytes()
