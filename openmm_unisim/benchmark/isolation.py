"""A measurement in a process of its own: a crash, a hang or an error becomes a recorded failure.

OpenMM's OpenCL and CUDA platforms can end the whole process where a driver is broken, and thread pools keep the size
that they had at first use; a fresh process answers both. Task and result travel as JSON files.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import UniSimError
from .candidates import Engine

__all__ = ["Outcome", "run_isolated", "run_or_raise"]

_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENMM_CPU_THREADS",
    "POCL_MAX_PTHREAD_COUNT",  # OpenCL on a processor
)


@dataclass(frozen=True)
class Outcome:
    """What a task returned, or why it returned nothing.

    Attributes
    ----------
    result : dict or None
    failure : str
        Empty for a result.
    error_class : str
        Name of the named error that the task raised; empty for a crash.
    """

    result: dict[str, Any] | None
    failure: str = ""
    error_class: str = ""

    def as_error(self, kind: str, engine: Engine) -> UniSimError:
        """The failure as a named error: the task's own, or one that tells of a crash."""
        if self.error_class:
            return getattr(errors, self.error_class, UniSimError)(self.failure)
        return UniSimError(
            f"The process for {kind.replace('_', ' ')} on {engine.label} gave no result ({self.failure}); "
            "choose other --platforms."
        )


def run_isolated(kind: str, task: dict[str, Any], engine: Engine, timeout_s: float) -> Outcome:
    """Run one of `worker.TASKS` in a new process.

    Parameters
    ----------
    kind : str
        Name of the task.
    task : dict
        Its arguments, plain values.
    engine : Engine
        Added to the task as `platform`, and as the limit of all its thread pools.
    timeout_s : float
        After that the process is ended.
    """
    with tempfile.TemporaryDirectory(prefix="unisim-benchmark-") as folder:
        request, reply = Path(folder, "task.json"), Path(folder, "result.json")
        content = {**task, "kind": kind, "platform": engine.platform, "threads": engine.threads}
        request.write_text(json.dumps({**content, "spawned": time.time()}), encoding="utf-8")
        command = [sys.executable, "-m", f"{__package__}.worker", str(request), str(reply)]
        try:
            process = subprocess.run(
                command, env=_environment(engine.threads), capture_output=True, text=True, timeout=timeout_s,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome(None, f"not finished after {timeout_s:.0f} s")
        if not reply.is_file():
            return Outcome(None, _cause_of_death(process.returncode, process.stderr))
        answer = json.loads(reply.read_text(encoding="utf-8"))
    if "error" in answer:
        return Outcome(None, answer["error"]["message"], answer["error"]["class"])
    return Outcome(answer["result"])


def run_or_raise(kind: str, task: dict[str, Any], engine: Engine, timeout_s: float) -> dict[str, Any]:
    """The same, where the benchmark can't go on without the result: a failure is raised as a named error."""
    outcome = run_isolated(kind, task, engine, timeout_s)
    if outcome.result is not None:
        return outcome.result
    raise outcome.as_error(kind, engine)


def _environment(threads: int) -> dict[str, str]:
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    limits = {name: str(threads) for name in _THREAD_LIMITS}
    return {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(paths)}


def _cause_of_death(code: int, stderr: str) -> str:
    """One line: the signal or status, and the last words."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = f": {lines[-1]}" if lines else ""
    if code < 0:
        return f"the process died of {signal.Signals(-code).name}{last}"
    return f"the process ended with status {code}{last}"
