"""What do copies gain by sharing the model's evaluation? Writes benchmarks/results/replicas.json.

    OMP_NUM_THREADS=1 python benchmarks/replicas.py [--copies 1 4 16 64] [--jumps 200] [--model ala2]

For each K: one `ReplicaSimulation` of K copies (each acceptance mode), and K Simulations with a `UniSimIntegrator`
each, a jump of every copy in turn, side by side in one process with one thread. `--jumps` is how many jumps of one
copy a median rests on, at least (so 200/K rounds, and 5 at least). Figures are processor time, wall time is there, too.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from openmm import app

from openmm_unisim import ReplicaSimulation, UniSimIntegrator
from openmm_unisim.benchmark.result_file import ResultFile
from openmm_unisim.benchmark.speed.jump_setup import JumpSetup, prepare, require_whole_jumps
from openmm_unisim.benchmark.speed.side_by_side import compare
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance
from openmm_unisim.system import get_platform

RESULTS = Path(__file__).resolve().parent / "results" / "replicas.json"
PLATFORM = "Reference"
MODES = ("all", "quality", "metropolis")


def integrators(setup: JumpSetup, copies: int, mode: int) -> list[UniSimIntegrator]:
    """One for each copy, with the seeds that the copies of a ReplicaSimulation have."""
    kelvin = setup.metadata.training_temperature_K
    return [
        UniSimIntegrator(
            setup.path, setup.molecule.topology, kelvin, setup.substeps, acceptanceMode=mode, randomNumberSeed=1 + copy
        )
        for copy in range(copies)
    ]  # fmt: skip


def separate(setup: JumpSetup, made: list[UniSimIntegrator]) -> list[app.Simulation]:
    """A Simulation for each integrator, at the thermalised start."""
    found = []
    for integrator in made:
        simulation = app.Simulation(setup.molecule.topology, setup.system, integrator, get_platform(PLATFORM))
        simulation.context.setPositions(setup.positions)
        found.append(simulation)
    return found


def batched(setup: JumpSetup, copies: int, mode: str) -> ReplicaSimulation:
    """The same copies in one ReplicaSimulation."""
    simulation = ReplicaSimulation(
        setup.molecule.topology, setup.system, setup.path, copies, get_platform(PLATFORM),
        acceptance=mode, numSubsteps=setup.substeps, randomNumberSeed=1,
    )  # fmt: skip
    simulation.setPositions(setup.positions)
    return simulation


def measure(setup: JumpSetup, copies: int, jumps: int) -> dict[str, Any]:
    """Processor and wall time of one jump of one copy, in each way."""
    accept_all, exact = UniSimIntegrator.AcceptAll, UniSimIntegrator.MetropolisHastings
    free, tested = integrators(setup, copies, accept_all), integrators(setup, copies, exact)
    alone, alone_exact = separate(setup, free), separate(setup, tested)
    calls: dict[str, Any] = {
        "separate, all": lambda: [simulation.step(1) for simulation in alone],
        "separate, metropolis": lambda: [simulation.step(1) for simulation in alone_exact],
    }
    groups = {mode: batched(setup, copies, mode) for mode in MODES}
    for mode, group in groups.items():
        calls[f"batched, {mode}"] = lambda group=group: group.step(1)
    times = compare(calls, max(5, math.ceil(jumps / copies)), warmup=2)
    for integrator in [*free, *tested]:
        require_whole_jumps(integrator, setup.name)
    kinds = ("milliseconds", "milliseconds_lowest", "milliseconds_highest", "wall_milliseconds")
    rows = {name: {kind: entry[kind] / copies for kind in kinds} for name, entry in times.items()}
    for name, row in rows.items():
        row["jumps_per_cpu_s"] = 1000 / row["milliseconds"]
        rival = "separate, metropolis" if name.endswith("metropolis") else "separate, all"
        row["times_faster_than_separate"] = rows[rival]["milliseconds"] / row["milliseconds"]
    return {"copies": copies, "of_one_jump_of_one_copy": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ala2")
    parser.add_argument("--molecule", default="ACE-ALA-NME")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--jumps", type=int, default=200)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep_freed_memory()
    setup = prepare(options.model, options.molecule, 0, 10.0)
    result = ResultFile(options.json, "replicas", 1)
    record: dict[str, Any] = {
        **setup.record(), "platform": PLATFORM, "rows": [], "provenance": provenance(seed=1, device=PLATFORM),
    }  # fmt: skip
    for copies in options.copies:
        row = measure(setup, copies, options.jumps)
        record["rows"].append(row)
        result.save(record)
        print(
            copies,
            {
                name: round(entry["jumps_per_cpu_s"], 1)
                for name, entry in row["of_one_jump_of_one_copy"].items()
            },
        )


if __name__ == "__main__":
    main()
