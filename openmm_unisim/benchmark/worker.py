"""The process behind `isolation.run_isolated`: one task in, one result out.

    python -m openmm_unisim.benchmark.worker task.json result.json

A named error, or one that OpenMM raises, is written as the result; any other fault, and a crash, is told by the lack of
a result and by the traceback on stderr.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import openmm

from ..errors import PlatformError, UniSimError

__all__ = ["TASKS", "perform"]

# Name -> module and function; imported when called, so that MD doesn't pay for torch.
TASKS = {
    "time_md": ("md_tasks", "time_md"),
    "sample_md": ("md_tasks", "sample_md"),
    "time_jumps": ("jump_tasks", "time_jumps"),
    "sample_jumps": ("jump_tasks", "sample_jumps"),
    "time_step": ("speed.scaling_tasks", "time_step"),
    "profile_step": ("speed.scaling_tasks", "profile_step"),
    "jump_protein": ("speed.scaling_tasks", "jump_protein"),
}


def perform(task: dict[str, Any]) -> dict[str, Any]:
    """The answer to a task: ``{"result": ...}``, or ``{"error": {"class": ..., "message": ...}}``."""
    module, function = TASKS[task["kind"]]
    try:
        result = getattr(importlib.import_module(f"{__package__}.{module}"), function)(task)
    except UniSimError as error:
        return {"error": {"class": type(error).__name__, "message": str(error)}}
    except openmm.OpenMMException as error:
        message = f"OpenMM failed on platform '{task['platform']}' ({' '.join(str(error).split())}); choose another."
        return {"error": {"class": PlatformError.__name__, "message": message}}
    return {"result": result}


def main() -> None:
    """Read, perform, write."""
    request, reply = map(Path, sys.argv[1:])
    task = json.loads(request.read_text(encoding="utf-8"))
    # Interpreter and OpenMM; torch and the model count as loading.
    task["start_s"] = time.time() - task["spawned"]
    temporary = reply.with_suffix(".tmp")
    temporary.write_text(json.dumps(perform(task)), encoding="utf-8")
    temporary.rename(reply)


if __name__ == "__main__":
    main()
