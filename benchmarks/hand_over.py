"""What does a jump's hand-over cost with a platform's own kernels, and what through ContextImpl? Writes
benchmarks/results/hand_over.json.

    OMP_NUM_THREADS=1 python benchmarks/hand_over.py [--jumps 60]

Hand-over is what `getTimings()` counts as such: positions out and in, velocities, the clock; the model (a toy in closed
form), forces and noise are not in it. Systems are free atoms, of which all jump, or 22; a guided jump also places the
molecule and asks for forces four times, of a force group that acts on one particle only, since a GPU platform may still
be computing forces while the clock runs for the hand-over. Two processes, one of which loads no library for a platform
so that everything goes through ContextImpl, take turns with blocks of five jumps; figures are medians over jumps by the
clock, one thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch

import openmm_unisim._plugin as plugin
from openmm_unisim.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "hand_over.json"
FORMS = ("context", "own")
PLATFORMS = ("Reference", "CPU", "OpenCL-single", "OpenCL-mixed", "OpenCL-double")
SIZES = ((22, 22), (2000, 22), (20000, 22), (2000, 2000), (20000, 20000))  # particles, of which so many jump
KINDS = ("ou", "guided")
BLOCK, WARM_UP, GROUP, ANSWER = 5, 3, 5, "answer: "
COLUMNS = [
    "platform", "particles", "jumping", "through ContextImpl, ms", "own kernels, ms", "ratio",
    "guided, through ContextImpl, ms", "guided, own kernels, ms", "ratio",
]  # fmt: skip


class Case:
    """A Context that jumps, in this process."""

    def __init__(self, model: Path, platform: str, n: int, jumping: int) -> None:
        from openmm_unisim import UniSimIntegrator
        from tests.plugin.systems import free_atoms, make_context

        topology, system = free_atoms(n)
        well = openmm.CustomExternalForce("x^2")
        well.addParticle(n // 2, [])
        well.setForceGroup(GROUP)
        system.addForce(well)
        particles = range(n // 2 - jumping // 2, n // 2 - jumping // 2 + jumping)
        self.integrator = UniSimIntegrator(model, topology, 300, randomNumberSeed=5, particles=particles)
        self.integrator.setGuidanceForceGroups({GROUP})
        self.context = make_context(system, self.integrator, platform)
        self.context.setPositions(np.random.default_rng(0).normal(size=(n, 3)) * 0.1)
        self.jumps(WARM_UP)

    def jumps(self, number: int) -> list[float]:
        """Hand-over of each of so many jumps, seconds."""
        seconds = []
        for _ in range(number):
            before = self.integrator.getTimings()["hand_over"]
            self.integrator.step(1)
            seconds.append(self.integrator.getTimings()["hand_over"] - before)
        return seconds


def work(form: str) -> None:
    """Answer requests, one JSON a line: a new case, or a number of jumps of the present one."""
    if form == "context":
        plugin._load_platforms = lambda: None
    plugin.load_plugin()
    case: Case | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            assert case is not None
            answer: Any = case.jumps(request)
        else:
            del case
            case = Case(Path(request[0]), *request[1:])
            answer = case.context.getPlatform().supportsKernels(["MoveUniSimData"])
        print(ANSWER + json.dumps(answer), flush=True)


class Worker:
    """A process that works."""

    def __init__(self, form: str) -> None:
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "OPENMM_CPU_THREADS": "1", "POCL_MAX_PTHREAD_COUNT": "1"
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", form], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip

    def ask(self, request: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # OpenMM prints a warning of its own
            if line.startswith(ANSWER):
                return json.loads(line[len(ANSWER) :])
        raise SystemExit("A process that measures has died; run it by itself to see why: --worker own.")


def measure(jumps: int, platforms: list[str]) -> list[dict[str, Any]]:
    """Milliseconds of each case and form: median, and quartiles."""
    from tests.toy_models import write_toy

    figures = []
    workers = {form: Worker(form) for form in FORMS}
    with tempfile.TemporaryDirectory() as folder:
        models = {kind: write_toy(Path(folder, f"{kind}.unisim.pt"), kind=kind) for kind in KINDS}
        cases = [(p, n, j, kind) for p in platforms for n, j in SIZES for kind in KINDS]
        for platform, n, jumping, kind in cases:
            seconds: dict[str, list[float]] = {form: [] for form in FORMS}
            for form, worker in workers.items():
                own = worker.ask([str(models[kind]), platform, n, jumping])
                if own != (form == "own"):
                    raise SystemExit(f"{platform} has {'' if own else 'no '}kernels in the process '{form}'.")
            for _ in range(0, jumps, BLOCK):
                for form, worker in workers.items():
                    seconds[form] += worker.ask(BLOCK)
            entry: dict[str, Any] = {"platform": platform, "particles": n, "jumping": jumping, "model": kind}
            for form in FORMS:
                quarters = statistics.quantiles([1e3 * value for value in seconds[form]], n=4)
                entry[form] = {"milliseconds": quarters[1], "quartiles": [quarters[0], quarters[2]]}
            entry["ratio"] = entry["context"]["milliseconds"] / entry["own"]["milliseconds"]
            print(json.dumps(entry), flush=True)
            figures.append(entry)
    return figures


def rows(figures: list[dict[str, Any]]) -> list[list[Any]]:
    """One row for each platform and size; free and guided jumps side by side."""
    found: dict[tuple, list[Any]] = {}
    for entry in figures:
        key = (entry["platform"], entry["particles"], entry["jumping"])
        medians = [float(f"{entry[form]['milliseconds']:.3g}") for form in FORMS]
        found.setdefault(key, list(key)).extend([*medians, float(f"{entry['ratio']:.2g}")])
    return list(found.values())


def main() -> None:
    """Parse the arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jumps", type=int, default=60)
    parser.add_argument("--platforms", nargs="+", default=list(PLATFORMS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--worker", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(ROOT))  # for the toys and systems of the tests
    if arguments.worker:
        work(arguments.worker)
        return
    from tests.plugin.systems import platform_names

    platforms = platform_names(*arguments.platforms)
    if absent := sorted(set(arguments.platforms) - set(platforms)):
        raise SystemExit(f"OpenMM {openmm.__version__} has no platform {', '.join(absent)} here.")
    figures = measure(arguments.jumps, platforms)
    record = {
        "columns": COLUMNS, "rows": rows(figures), "figures": figures,
        "settings": {"jumps": arguments.jumps, "block": BLOCK},
        "provenance": provenance(seed=5, torch_threads=1),
    }  # fmt: skip
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()
