"""Start points of a hybrid run, for MD in parallel or a Markov state model.

====================  ======================================================================================
file in seeds/        contents
====================  ======================================================================================
topology.pdb          topology
system.xml            the System, as the run's MD had it
integrator.xml        its MD integrator, with the seed 0: each use draws its own noise
run.py                a script that runs MD from one start point
NNNN/state.xml        State: positions, velocities, parameters
NNNN/start.pdb        the same positions
seeds.json            which cycles they are, and how alike neighbours in the list still are
====================  ======================================================================================

**How alike**: the correlation between one start point and the next of the distances between heavy atoms more than three
bonds apart, all distances together. 0 is what independent draws have, up to 1 / sqrt(number).
"""

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..simulation.outputs import output_errors, write_json
from ..simulation.quality import excluded_pairs
from .hybrid_simulation import HybridSimulation

__all__ = ["SeedWriter", "lag_one_correlation"]


class SeedWriter:
    """Writes start points.

    Parameters
    ----------
    folder : Path
        ``seeds`` of the run.
    simulation : HybridSimulation
    every : int
        Cycles between two start points.
    """

    def __init__(self, folder: Path, simulation: HybridSimulation, every: int):
        self._folder, self._simulation, self._every = folder, simulation, every

    def prepare(self) -> None:
        """What all start points share."""
        simulation = self._simulation
        integrator = openmm.XmlSerializer.clone(simulation.mdIntegrator)
        if hasattr(integrator, "setRandomNumberSeed"):
            integrator.setRandomNumberSeed(0)
        with output_errors(self._folder):
            self._folder.mkdir(exist_ok=True)
            (self._folder / "system.xml").write_text(
                openmm.XmlSerializer.serialize(simulation.system), encoding="utf-8"
            )
            (self._folder / "integrator.xml").write_text(
                openmm.XmlSerializer.serialize(integrator), encoding="utf-8"
            )
            (self._folder / "run.py").write_text(
                (resources.files(__package__) / "seed_script.py").read_text(encoding="utf-8"),
                encoding="utf-8",
            )
            self._write_pdb(self._folder / "topology.pdb")

    def after_cycle(self, cycle: int) -> None:
        """Write a start point if it is time for one; a resumed run writes the same again."""
        if cycle % self._every:
            return
        folder = self._folder / f"{cycle // self._every:04d}"
        state = self._simulation.context.getState(positions=True, velocities=True, parameters=True)
        with output_errors(folder):
            folder.mkdir(exist_ok=True)
            self._write_pdb(folder / "start.pdb")
            temporary = folder / "state.xml.tmp"
            temporary.write_text(openmm.XmlSerializer.serialize(state), encoding="utf-8")
            temporary.replace(folder / "state.xml")

    def finish(self, cycles: int) -> dict[str, Any]:
        """Write and return seeds.json.

        Parameters
        ----------
        cycles : int
            Cycles made.
        """
        numbers = list(range(1, cycles // self._every + 1))
        frames = np.array([self._positions(number) for number in numbers])
        record = {
            "number": len(numbers),
            "cycles": [number * self._every for number in numbers],
            "lag_one_correlation": lag_one_correlation(frames, self._simulation.topology),
            "independent_would_be_within": 1.0 / np.sqrt(len(numbers)) if numbers else None,
        }
        write_json(self._folder / "seeds.json", record)
        return record

    def _positions(self, number: int) -> NDArray[np.float64]:
        state = openmm.XmlSerializer.deserialize(
            (self._folder / f"{number:04d}" / "state.xml").read_text(encoding="utf-8")
        )
        return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))

    def _write_pdb(self, path: Path) -> None:
        positions = self._simulation.context.getState(positions=True).getPositions()
        with open(path, "w", encoding="utf-8") as stream:
            app.PDBFile.writeFile(self._simulation.topology, positions, stream, keepIds=True)


def lag_one_correlation(frames: NDArray[np.float64], topology: app.Topology) -> float | None:
    """Correlation of neighbouring frames (module docstring); None for fewer than three frames or no such distance.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, n_atoms, 3), nm
    topology : openmm.app.Topology
    """
    heavy = [
        atom.index for atom in topology.atoms() if atom.element is not None and atom.element.symbol != "H"
    ]
    excluded = excluded_pairs(topology)
    pairs = np.array([(i, j) for i in heavy for j in heavy if i < j and (i, j) not in excluded]).reshape(
        -1, 2
    )
    if len(frames) < 3 or len(pairs) == 0:
        return None
    distances = np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=2)
    centred = distances - distances.mean(axis=0)
    variance = float((centred**2).mean())
    return float((centred[1:] * centred[:-1]).mean()) / variance if variance > 0 else None
