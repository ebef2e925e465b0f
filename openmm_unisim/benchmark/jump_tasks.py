"""What the worker does with UniSim: time its jumps, and sample with them, exactly as `openmm-unisim simulate` does."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app

from ..simulation.guard import JumpGuard
from ..simulation.preparation import PreparedRun, RunSettings, prepare_run
from ..simulation.quality import QualityCounts, QualityMonitor
from ..simulation.relaxation import Clock, thermalise
from ..system import get_platform
from .stopwatch import Stages
from .torsion_lists import torsion_lists

__all__ = ["sample_jumps", "time_jumps"]

_WARM_UP = 2  # jumps: TorchScript compiles in the first two calls


class _Jumps:
    """A prepared UniSim run: loaded, thermalised, warmed up, with the wall time of each stage, s."""

    def __init__(self, task: dict[str, Any]):
        import torch  # its own thread pool; counted as loading

        stages = Stages(task)
        torch.set_num_threads(task["threads"])
        self.prepared: PreparedRun = prepare_run(
            RunSettings(
                input=task["input"],
                model=task["model"],
                output=Path("unused"),
                jumps=1,
                environment=task["environment"],
                temperature=task["temperature"],
                substeps=task["substeps"],
                seed=task["seed"],
                platform=task["platform"],
            )
        )
        prepared = self.prepared
        simulation = app.Simulation(
            prepared.molecule.topology, prepared.system, prepared.integrator, get_platform(prepared.platform)
        )
        stages.end("loading")
        start = thermalise(
            prepared.molecule, prepared.system, prepared.protocol, task["thermalise"], prepared.seeds[:2],
            prepared.platform,
        )  # fmt: skip
        simulation.context.setPositions(start.positions)
        simulation.context.setVelocities(start.velocities)
        stages.end("relaxation")
        monitor = QualityMonitor(prepared.molecule.topology, prepared.system, start.positions)
        self.guard = JumpGuard(simulation, monitor, "reject", QualityCounts())
        for _ in range(_WARM_UP):
            self.guard.jump()
        self.guard.counts = QualityCounts()
        stages.end("first_jumps")
        self.times = stages.as_dict()


def time_jumps(task: dict[str, Any]) -> dict[str, Any]:
    """Wall and processor seconds per jump.

    Reads what `sample_jumps` reads; at least two jumps are made.
    """
    jumps, clock, done = _Jumps(task), Clock(), 0
    while done < 2 or clock.read()[0] < task["seconds"]:
        jumps.guard.jump()
        done += 1
    wall_s, cpu_s = clock.read()
    return {"seconds_per_jump": wall_s / done, "cpu_seconds_per_jump": cpu_s / done, "jumps": done}


def sample_jumps(task: dict[str, Any]) -> dict[str, Any]:
    """Thermalise, then jump for a given wall time or a given number of jumps; broken proposals are rejected.

    Reads `input, model, environment, temperature, substeps, platform, threads, thermalise, seed, seconds, jumps
    (or None), spawned, start_s`. A rejected jump repeats its frame and takes its time. Torsions are computed after the
    clock stopped, nothing is written to disk.

    Returns
    -------
    dict
        As `md_tasks.sample_md` without energies; and ``counts``: ``accepted`` and those of `QualityCounts`.
    """
    jumps = _Jumps(task)
    frames, accepted, clock = [], 0, Clock()
    while True:
        jump = jumps.guard.jump()
        frames.append(jump.positions.astype(np.float32))
        accepted += int(jump.record.accepted)
        wall_s, cpu_s = clock.read()
        if len(frames) >= task["jumps"] if task["jumps"] else wall_s >= task["seconds"]:
            break
    return {
        "times_s": {**jumps.times, "sampling": wall_s},
        "cpu_s": cpu_s,
        "frame_spacing_ps": jumps.prepared.metadata.lag_time_ps,
        "n_frames": len(frames),
        "counts": {"accepted": accepted, **asdict(jumps.guard.counts)},
        "warnings": jumps.prepared.warnings,
        "torsions": torsion_lists(frames, jumps.prepared.molecule),
    }
