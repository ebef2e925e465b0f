"""A run that may be killed at any moment: ``python -m tests.platforms.killed_run KIND PLATFORM MODEL FOLDER STEPS``.

It writes a checkpoint now and then, and each frame's positions as raw doubles; started again it goes on from the
checkpoint, the frames after it cut off.
"""

import sys
from pathlib import Path

import numpy as np
import openmm
from openmm import app

from openmm_unisim import HybridSimulation, UniSimIntegrator
from openmm_unisim.system import create_system, load_molecule

INTERVAL = 7  # steps between checkpoints
KINDS = ("integrator", "compound", "hybrid")
PROPERTIES = {"CPU": {"Threads": "1"}}  # sums of several threads come in any order


class Frames:
    """A reporter that appends positions, and leaves what a kill tears to the next start."""

    def __init__(self, path: Path, n_atoms: int, steps: int):
        size = 24 * n_atoms
        if path.exists():
            with path.open("r+b") as stream:
                stream.truncate(steps * size)
        self._stream = path.open("ab")

    def describeNextReport(self, simulation: app.Simulation) -> dict:
        return {"steps": 1, "periodic": False, "include": ["positions"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        self._stream.write(state.getPositions(asNumpy=True)._value.astype(np.float64).tobytes())
        self._stream.flush()


def make(kind: str, platform: str, model: str) -> app.Simulation:
    """A simulation of alanine dipeptide that is the same each time."""
    molecule = load_molecule("ACE-ALA-NME")
    system = create_system(molecule, "obc2")
    jumps = UniSimIntegrator(model, molecule.topology, 300, randomNumberSeed=5)
    settings = (openmm.Platform.getPlatformByName(platform), PROPERTIES.get(platform, {}))
    if kind == "hybrid":
        simulation: app.Simulation = HybridSimulation(
            molecule.topology, system, jumps, mdSteps=4, randomNumberSeed=5, platform=settings[0],
            platformProperties=settings[1],
        )  # fmt: skip
    else:
        integrator: openmm.Integrator = jumps
        if kind == "compound":
            integrator = openmm.CompoundIntegrator()
            md = openmm.LangevinMiddleIntegrator(300, 1.0, 0.001)
            md.setRandomNumberSeed(6)
            integrator.addIntegrator(md)
            integrator.addIntegrator(jumps)
        simulation = app.Simulation(molecule.topology, system, integrator, *settings)
    simulation.context.setPositions(molecule.positions)
    if kind == "hybrid":
        simulation.drawVelocities()
    else:
        simulation.context.setVelocitiesToTemperature(300, 7)
    return simulation


def run(kind: str, platform: str, model: str, folder: Path, steps: int) -> None:
    """Make steps until there are so many; a compound integrator makes four of MD and a jump in turn."""
    folder.mkdir(exist_ok=True)
    simulation = make(kind, platform, model)
    checkpoint = folder / "run.chk"
    if checkpoint.exists():
        simulation.loadCheckpoint(str(checkpoint))
    simulation.reporters.append(
        Frames(folder / "frames", simulation.system.getNumParticles(), simulation.currentStep)
    )
    while simulation.currentStep < steps:
        if kind == "compound":
            simulation.integrator.setCurrentIntegrator(int(simulation.currentStep % 5 == 4))
        simulation.step(1)
        if simulation.currentStep % INTERVAL == 0:
            simulation.saveCheckpoint(str(checkpoint))  # in one rename


if __name__ == "__main__":
    _kind, _platform, _model, _folder, _steps = sys.argv[1:]
    run(_kind, _platform, _model, Path(_folder), int(_steps))
