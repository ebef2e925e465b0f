"""MD run well on OpenMM's CPU platform with and without its worker thread, and on Reference: which is fastest?

    OMP_NUM_THREADS=1 python benchmarks/md_in_turn.py [--molecules ACE-A-NME ...] [--json FILE]

One thread each, a process a measurement, the three ways in turn, `--repeats` times. ns/day by wall clock and by
processor time: on a shared machine the second is what compares, though it, too, counts the switching of threads.
`in turn` is tools/in_turn.py.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openmm

from openmm_unisim.benchmark.result_file import ResultFile
from openmm_unisim.data.molecule_list import find_entry
from openmm_unisim.data.molecule_source import load_entry
from openmm_unisim.provenance import provenance
from openmm_unisim.simulation.relaxation import Clock, MDProtocol

ROOT = Path(__file__).resolve().parents[1]
MOLECULES = ("ACE-A-NME", "ACE-FK-NME", "ACE-AEKLVS-NME")
WAYS = {"Reference": "Reference", "CPU": "CPU", "CPU in turn": "CPU"}


def measure(name: str, platform: str, seconds: float) -> dict[str, Any]:
    """ns/day of a molecule on a platform, in this process."""
    molecule = load_entry(find_entry(name), ROOT / "data" / "parameters")
    protocol = MDProtocol.run_well("obc2", 300.0)
    system = protocol.system(molecule)
    rest = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    rest.setPositions(molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(rest, maxIterations=200)
    integrator = protocol.integrator(1)
    properties = {"Threads": "1"} if platform == "CPU" else {}
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)
    context.setState(rest.getState(positions=True))
    context.setVelocitiesToTemperature(300.0, 1)
    integrator.step(500)
    steps, clock = 0, Clock()
    while clock.read()[0] < seconds:
        integrator.step(250)
        context.getState(energy=True)
        steps += 250
    wall, cpu = clock.read()
    days = steps * protocol.time_step_fs * 1e-6 * 86400.0
    return {"atoms": system.getNumParticles(), "ns_per_day": days / wall, "ns_per_cpu_day": days / cpu}


def in_a_process(name: str, way: str, seconds: float) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, WAYS[way], "--seconds", str(seconds)]
    if way == "CPU in turn":
        command = [sys.executable, str(ROOT / "tools" / "in_turn.py"), *command]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=MOLECULES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "md_in_turn.json")
    parser.add_argument("--one", nargs=2, metavar=("MOLECULE", "PLATFORM"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.seconds)))
        return
    record: dict[str, Any] = {"molecules": {}, "repeats": arguments.repeats, "provenance": provenance(seed=1)}
    for name in arguments.molecules:
        rounds = [
            {way: in_a_process(name, way, arguments.seconds) for way in WAYS}
            for _ in range(arguments.repeats)
        ]
        found = record["molecules"][name] = {"atoms": rounds[0]["CPU"]["atoms"]}
        for way in WAYS:
            found[way] = {
                key: [float(f([one[way][key] for one in rounds])) for f in (np.median, np.min, np.max)]
                for key in ("ns_per_day", "ns_per_cpu_day")
            }
        print(name, {way: [round(v[0]) for v in found[way].values()] for way in WAYS}, flush=True)
    ResultFile(arguments.json, "md_in_turn", 1).save(record)


if __name__ == "__main__":
    main()
