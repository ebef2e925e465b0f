"""How fast is a jump, and how much MD fits into the same time? Writes benchmarks/results/speed.json.

    python benchmarks/bench_speed.py
    python benchmarks/bench_speed.py --model my.unisim.pt --input ACE-NME.pdb --substeps 40

MD is run well: native generalised-Born force, 4 fs, hydrogen mass 4 Da, constrained X-H bonds, the faster of the
Reference and CPU platforms. The ratio of both speeds is nominal: it says nothing about how good the jumps are.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import openmm
import torch

from openmm_unisim import UniSimIntegrator
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.pretrained.registry import resolve_model
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.simulation.relaxation import MDProtocol, thermalise, time_md_run_well
from openmm_unisim.system import create_system, get_platform, load_molecule

RESULTS = Path(__file__).resolve().parent / "results" / "speed.json"
PS_PER_S_TO_NS_PER_DAY = 86.4


def time_jumps(context: openmm.Context, jumps: int, repeats: int) -> list[float]:
    """Seconds a jump of each repeat, after one jump that compiles the model and is not counted."""
    integrator = context.getIntegrator()
    integrator.step(1)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        integrator.step(jumps)
        context.getState(positions=True)  # waits for an asynchronous platform
        seconds.append((time.perf_counter() - started) / jumps)
    return seconds


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of the benchmark."""
    path = resolve_model(arguments.model)
    metadata = read_metadata(path)
    temperature = metadata.training_temperature_K
    molecule = load_molecule(arguments.input)
    system = create_system(molecule, metadata.environment)
    protocol = MDProtocol(metadata.environment, temperature)
    start = thermalise(molecule, system, protocol, arguments.thermalise, (1, 2), "Reference")
    platforms = {}
    for name in ("Reference", "CPU"):
        integrator = UniSimIntegrator(
            path, molecule.topology, temperature, arguments.substeps, randomNumberSeed=1
        )
        substeps, lag_time = integrator.getNumSubsteps(), metadata.lag_time_ps
        context = openmm.Context(system, integrator, get_platform(name))
        context.setPositions(start.positions)
        seconds = time_jumps(context, arguments.jumps, arguments.repeats)
        median = statistics.median(seconds)
        platforms[name] = {
            "seconds_per_jump_median": median,
            "seconds_per_jump_of_each_repeat": seconds,
            "seconds_per_substep": median / substeps,
            "nominal_ns_per_day": lag_time / median * PS_PER_S_TO_NS_PER_DAY,
        }
    md = time_md_run_well(
        molecule, metadata.environment, temperature, start.positions, "Reference", arguments.md_seconds
    )
    fastest = max(platforms, key=lambda name: platforms[name]["nominal_ns_per_day"])
    return {
        "molecule": molecule.name,
        "atoms": len(molecule.positions),
        "model": {"name": str(arguments.model), "sha256": sha256_of_file(path), "lag_time_ps": lag_time},
        "substeps": substeps,
        "jumps": platforms,
        "fastest_platform": fastest,
        "md": md,
        "nominal_ratio_to_md": platforms[fastest]["nominal_ns_per_day"] / md["ns_per_day"],
        "provenance": provenance(seed=1, torch_threads=torch.get_num_threads()),
    }


def main() -> None:
    """Parse the arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ala2", help="registered name or model file")
    parser.add_argument("--input", default="ACE-ALA-NME", help="sequence or structure file")
    parser.add_argument("--substeps", type=int, default=0, help="0: the model's default")
    parser.add_argument("--jumps", type=int, default=50, help="jumps in a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--thermalise", type=float, default=20.0, help="ps of MD before the first jump")
    parser.add_argument("--md-seconds", type=float, default=10.0, help="wall time spent on timing MD")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = measure(arguments)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    platform, md = figures["fastest_platform"], figures["md"]
    milliseconds = 1000 * figures["jumps"][platform]["seconds_per_jump_median"]
    print(f"{figures['molecule']}, {figures['atoms']} atoms, lag {figures['model']['lag_time_ps']:g} ps")
    print(f"  jump of {figures['substeps']} substeps ({platform}): {milliseconds:.1f} ms")
    print(f"  MD run well ({md['platform']}, {md['time_step_fs']:g} fs): {md['ns_per_day']:,.0f} ns/day")
    print(f"  nominal ratio {figures['nominal_ratio_to_md']:.2f}; {arguments.output}")


if __name__ == "__main__":
    main()
