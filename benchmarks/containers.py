"""Which container is faster? The `ala2` weights as TorchScript and as AOTInductor packages, each with and without the
fused operators. Writes benchmarks/results/containers.json.

    OMP_NUM_THREADS=1 python benchmarks/containers.py [--repeats 40]

Everything is timed in turn in one process with one thread; ratios are of medians of its processor time. Files are
loaded in a process of their own, so that "load" is what a simulation waits for: from the call to the end of the first
`step`, without importing torch. Compiling the two packages takes a few minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

import openmm_unisim
from openmm_unisim.benchmark.speed.side_by_side import compare
from openmm_unisim.export.conditioned import export_conditioned, load_conditioned
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.scripted import ConditionedJump
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance
from openmm_unisim.system import load_molecule

RESULTS = Path(__file__).resolve().parent / "results" / "containers.json"
WEIGHTS = Path(openmm_unisim.__file__).parent / "pretrained" / "ala2" / "weights.safetensors"
FILES = {
    "TorchScript, plain": "plain.unisim.pt", "TorchScript, operators": "operators.unisim.pt",
    "package, plain": "plain.unisim.pt2", "package, operators": "operators.unisim.pt2",
}  # fmt: skip


def substep(copies: int) -> dict[str, Any]:
    """Arguments of `step`: alanine dipeptide, displaced."""
    molecule = load_molecule("ACE-ALA-NME")
    generator = Generator().manual_seed(0)
    start = torch.from_numpy(molecule.positions).float().repeat(copies, 1, 1)
    none, t = torch.zeros(0), torch.full((copies,), 0.2, dtype=torch.float64)
    return {
        "positions": start + 0.01 * torch.randn(start.shape, generator=generator), "initial_positions": start,
        "atomic_numbers": torch.from_numpy(molecule.atomic_numbers), "bonds": torch.from_numpy(molecule.bonds),
        "t": t, "t_next": t + 0.1, "kT": 2.494, "forces": none, "guidance_scale": 0.0, "box_vectors": none,
        "noise": torch.randn(start.shape, generator=generator),
    }  # fmt: skip


def first_step(path: Path) -> None:
    """Load a file, take a step and print the seconds; runs in a process of its own."""
    given = substep(1)
    started, began = time.perf_counter(), time.process_time()
    with torch.no_grad():
        load_model_file(path)[0].step(**given)
    print(json.dumps({"wall_s": time.perf_counter() - started, "processor_s": time.process_time() - began}))


def processor_time() -> float:
    """Of this process and of the compilers that it started, seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(entry.ru_utime + entry.ru_stime for entry in used)


def exported(path: Path) -> dict[str, Any]:
    """Write a file; its size, and the seconds that writing and loading take."""
    started, began = time.perf_counter(), processor_time()
    export_conditioned(WEIGHTS, path, plain=path.name.startswith("plain"))
    seconds, processor = time.perf_counter() - started, processor_time() - began
    command = [sys.executable, __file__, "--first-step", str(path)]
    answers = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(5)]
    loads = sorted((json.loads(answer) for answer in answers), key=lambda entry: entry["processor_s"])
    return {
        "export_s": seconds, "export_processor_s": processor, "megabytes": path.stat().st_size / 1e6,
        "load_and_first_step": loads[len(loads) // 2],
    }  # fmt: skip


def agreement(expected: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Largest differences from the eager twin."""
    position, density = (float((one - other).abs().max()) for one, other in zip(expected, found, strict=True))
    return {"positions_nm": position, "log_density": density}


def measure(repeats: int) -> dict[str, Any]:
    """All figures."""
    field, spread, extra = load_conditioned(WEIGHTS)
    elements = torch.tensor([1, 6, 7, 8])
    models: dict[str, Any] = {
        "eager twin": ConditionedJump(field, spread, extra["lag_time"], 2.5, True, elements).eval()
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, file in FILES.items():
            files[name] = exported(Path(folder) / file)
            models[name] = load_model_file(Path(folder) / file)[0]
            print(name, files[name], flush=True)
    figures: dict[str, Any] = {"files": files}
    with torch.no_grad():
        for copies in (1, 16):
            given = substep(copies)
            calls = {name: lambda m=model, a=given: m.step(**a) for name, model in models.items()}
            figures[f"step, {copies} copies"] = compare(
                calls, repeats if copies == 1 else max(5, repeats // 4)
            )
            twin = calls["eager twin"]()
            figures[f"agreement, {copies} copies"] = {
                name: agreement(twin, call()) for name, call in calls.items()
            }
    return figures


def main() -> None:
    """Parse the arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--first-step", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    if arguments.first_step:
        first_step(arguments.first_step)
        return
    figures = measure(arguments.repeats)
    for copies in (1, 16):
        for name, entry in figures[f"step, {copies} copies"].items():
            print(f"{copies:3d} {name:24s} {entry['milliseconds']:8.3f} ms {entry['times_faster']:6.2f} x")
    record = {"figures": figures, "provenance": provenance(seed=0, torch_threads=torch.get_num_threads())}
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()
