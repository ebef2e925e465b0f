"""What happens to a task whose process fails in one way or another."""

import sys
from pathlib import Path

import pytest

from openmm_unisim.benchmark import isolation
from openmm_unisim.benchmark.candidates import Engine, default_threads, list_engines
from openmm_unisim.benchmark.worker import perform
from openmm_unisim.errors import ConfigError, PlatformError, StructureError, UniSimError

ENGINE = Engine("Reference", 1)


def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """A process that runs `script` instead of the worker."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_crash_is_a_recorded_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "echo driver broken >&2; kill -SEGV $$")
    outcome = isolation.run_isolated("time_md", {}, ENGINE, 20.0)
    assert outcome.result is None and outcome.failure == "the process died of SIGSEGV: driver broken"
    with pytest.raises(
        UniSimError, match=r"time md on Reference gave no result .*SIGSEGV.*choose other --platforms"
    ):
        isolation.run_or_raise("time_md", {}, ENGINE, 20.0)


def test_a_hang_is_a_recorded_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "exec sleep 60")
    assert isolation.run_isolated("time_md", {}, ENGINE, 0.2).failure == "not finished after 0 s"


def test_the_worker_gets_thread_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "echo threads $OMP_NUM_THREADS $OPENMM_CPU_THREADS >&2; exit 3")
    failure = isolation.run_isolated("time_md", {}, Engine("CPU", 7), 20.0).failure
    assert failure == "the process ended with status 3: threads 7 7"


def test_a_named_error_comes_back_as_itself() -> None:
    task = {"input": "nowhere.pdb"}
    outcome = isolation.run_isolated("sample_md", task, ENGINE, 60.0)
    assert outcome.error_class == "StructureError"
    with pytest.raises(StructureError, match="neither a file nor a capped sequence"):
        raise outcome.as_error("sample_md", ENGINE)


def test_an_unknown_platform_is_a_named_error() -> None:
    task = {
        "kind": "time_md", "input": "ACE-ALA-NME", "environment": "vacuum", "temperature": 300.0, "friction": 1.0,
        "platform": "Quantum", "positions": [[0.1 * i, 0.0, 0.0] for i in range(22)], "time_steps": [2.0],
    }  # fmt: skip
    answer = perform(task)
    assert answer["error"]["class"] == "PlatformError" and "Quantum" in answer["error"]["message"]


def test_engines() -> None:
    assert list_engines(("Reference", "CPU"), (1, 2)) == [
        Engine("Reference", 1),
        Engine("CPU", 1),
        Engine("CPU", 2),
    ]
    assert Engine("CPU", 2).label == "CPU, 2 threads" and Engine("Reference", 1).label == "Reference"
    assert default_threads()[0] == 1
    with pytest.raises(PlatformError, match="Quantum"):
        list_engines(("Quantum",))
    with pytest.raises(ConfigError, match="at least 1"):
        list_engines((), (0,))
