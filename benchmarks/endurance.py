"""Do long runs grow or slow down? Writes benchmarks/results/endurance.json.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/endurance.py [--toy-jumps 100000] [--jumps 10000] [--model ala2]

Three runs in this process, on Reference: the Ornstein-Uhlenbeck toy of the tests (3 atoms), whose jump costs
little but what surrounds it; alanine dipeptide with a shipped model; and many Contexts made and dropped. After each of
100 equal parts: resident memory, jumps a second of processor time and of wall time, open files and threads. The first
tenth of a run is its warm-up: growth is from the end of that to the end of the run, speed that of the second tenth and
of the last. On a shared machine processor time is what compares.
"""

import argparse
import gc
import os
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app

from openmm_unisim import UniSimIntegrator
from openmm_unisim.benchmark.result_file import ResultFile
from openmm_unisim.provenance import provenance
from openmm_unisim.system import create_system, get_platform, load_molecule

RESULTS = Path(__file__).resolve().parent / "results" / "endurance.json"
PARTS = 100
PAGE = resource.getpagesize()


def resident_memory() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * PAGE


def toy_simulation() -> app.Simulation:
    """The Ornstein-Uhlenbeck toy on three free atoms."""
    from tests.plugin.systems import free_atoms, jumper, random_positions
    from tests.toy_models import write_toy

    with tempfile.TemporaryDirectory() as folder:
        topology, system = free_atoms(3)
        model = write_toy(Path(folder) / "ou.unisim.pt", "ou")
        return jumper(model, topology, system, random_positions(3))[0]


def real_simulation(model: str) -> app.Simulation:
    """Alanine dipeptide in OBC2, minimised."""
    molecule = load_molecule("ACE-ALA-NME")
    integrator = UniSimIntegrator(model, molecule.topology, 300, randomNumberSeed=1)
    system = create_system(molecule, "obc2")
    simulation = app.Simulation(molecule.topology, system, integrator, get_platform("Reference"))
    simulation.context.setPositions(molecule.positions)
    simulation.minimizeEnergy(maxIterations=100)
    return simulation


def run(simulation: app.Simulation, jumps: int) -> dict[str, Any]:
    """Make the jumps, a part at a time, and say what each part found."""
    part = max(1, jumps // PARTS)
    names = ("jumps", "rss_MB", "cpu_s", "wall_s", "open_files", "threads")
    series: dict[str, list[float]] = {name: [] for name in names}
    for k in range(PARTS):
        cpu, wall = time.process_time(), time.perf_counter()
        simulation.step(part)
        simulation.context.getState(positions=True, energy=True)  # as a reporter would
        gc.collect()
        series["cpu_s"].append(time.process_time() - cpu)
        series["wall_s"].append(time.perf_counter() - wall)
        series["jumps"].append((k + 1) * part)
        series["rss_MB"].append(resident_memory() / 1e6)
        series["open_files"].append(len(os.listdir("/proc/self/fd")))
        series["threads"].append(threading.active_count())
    return {**summary(series, part), "series": series}


def summary(series: dict[str, list[float]], part: int) -> dict[str, Any]:
    """Growth after the warm-up, and speed of the second tenth and the last."""
    memory, tenth = np.array(series["rss_MB"]), PARTS // 10
    speeds = {
        f"jumps_per_{clock}_s_{name}": part * tenth / float(np.sum(series[f"{clock}_s"][where]))
        for clock in ("cpu", "wall")
        for name, where in (("second_tenth", slice(tenth, 2 * tenth)), ("last_tenth", slice(-tenth, None)))
    }
    return {
        "jumps": part * PARTS,
        "memory_growth_percent": 100.0
        * float(memory[-tenth:].mean() / memory[tenth : 2 * tenth].mean() - 1.0),
        "open_files_more": series["open_files"][-1] - series["open_files"][tenth],
        **speeds,
    }


def contexts(model: str, number: int) -> dict[str, Any]:
    """Simulations that are made, make one jump, and are dropped."""
    memory = []
    for _ in range(number):
        simulation = real_simulation(model)
        simulation.step(1)
        del simulation
        gc.collect()
        memory.append(resident_memory() / 1e6)
    tenth = max(1, number // 10)
    growth = 100.0 * (np.mean(memory[-tenth:]) / np.mean(memory[tenth : 2 * tenth]) - 1.0)
    return {"contexts": number, "memory_growth_percent": float(growth), "rss_MB": memory}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy-jumps", type=int, default=100_000)
    parser.add_argument("--jumps", type=int, default=10_000)
    parser.add_argument("--contexts", type=int, default=200)
    parser.add_argument("--model", default="ala2")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    result = ResultFile(arguments.json, "endurance", 1)
    record: dict[str, Any] = {
        "model": arguments.model,
        "runs": {},
        "provenance": provenance(seed=1, device="Reference"),
    }
    for name, measure in (
        ("toy", lambda: run(toy_simulation(), arguments.toy_jumps)),
        ("molecule", lambda: run(real_simulation(arguments.model), arguments.jumps)),
        ("contexts", lambda: contexts(arguments.model, arguments.contexts)),
    ):
        found = record["runs"][name] = measure()
        result.save(record)
        print(
            name, {key: value for key, value in found.items() if key not in ("series", "rss_MB")}, flush=True
        )


if __name__ == "__main__":
    main()
