"""Run a command whose OpenMM has no worker threads: `python tools/in_turn.py python benchmarks/make_references.py …`

A step of a small molecule on the CPU platform wakes its one worker and waits for it many times, which can
cost more than the forces do (docs/performance.md). threads_in_turn.cpp, compiled once
into build/ and loaded before OpenMM (LD_PRELOAD), calls the tasks in turn instead; every bit of a trajectory stays.
Linux, and for one thread a process.
"""

import os
import subprocess
import sys
from pathlib import Path

import openmm.version

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path(__file__).resolve().with_name("threads_in_turn.cpp")


def library() -> Path:
    """The compiled library, as new as its source and the installed OpenMM."""
    path = ROOT / "build" / f"threads_in_turn-{openmm.version.version}.so"
    if not path.is_file() or path.stat().st_mtime < SOURCE.stat().st_mtime:
        path.parent.mkdir(exist_ok=True)
        include = Path(openmm.version.openmm_library_path).parent / "include"
        part = path.with_suffix(f".{os.getpid()}")
        command = ["g++", "-O2", "-shared", "-fPIC", f"-I{include}", str(SOURCE), "-o", str(part)]
        subprocess.run(command, check=True)
        part.replace(path)
    return path


def main() -> None:
    """Become the command."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.environ["LD_PRELOAD"] = str(library())
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
