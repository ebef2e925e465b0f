"""What the worker does with MD: time it, and sample it.

======================  =====================================================  ====================
symbol                  meaning                                                name here
======================  =====================================================  ====================
2 K / (n_dof k_B)       kinetic temperature, K                                 kinetic_temperature_K
n_dof                   3 N - constraints - 3 (no motion of the centre)        _degrees_of_freedom
max |d/d_0 - 1|         worst relative violation of a constraint               constraint_error
med |f - f_R| / |f_R|   median relative deviation of forces from Reference's   force_deviation
======================  =====================================================  ====================

Tasks are dicts of plain values; each function names the keys that it reads.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ..errors import ConfigError, UniSimError
from ..simulation.preparation import derive_seeds
from ..simulation.relaxation import Clock, MDProtocol, TimedMD, start_md, step_md, thermalise
from ..system import Molecule, get_platform, load_molecule
from ..units import BOLTZMANN
from .stopwatch import Stages
from .torsion_lists import torsion_lists

__all__ = ["sample_md", "time_md"]

_FORCE_UNIT = unit.kilojoule_per_mole / unit.nanometer


def time_md(task: dict[str, Any]) -> dict[str, Any]:
    """Speeds of one engine with several time steps, in turn, and whether its energy and forces are Reference's.

    Reads `input, environment, temperature, friction, platform, positions, time_steps, repeats, seconds`.

    Returns
    -------
    dict
        ``agreement`` (`_agreement`), and ``time_steps``: for each (as text, fs) a dict of ``speeds``, a list of
        `MDSpeed` as dicts, or of ``failure``.
    """
    molecule, positions = load_molecule(task["input"]), np.array(task["positions"])
    agreement = _agreement(molecule, _protocol(task, task["time_steps"][0]), positions, task["platform"])
    timers: dict[str, TimedMD] = {}
    results: dict[str, dict[str, Any]] = {}
    for turn in range(-1, task["repeats"]):  # turn -1 warms up
        for time_step in task["time_steps"]:
            key = f"{time_step:g}"
            result = results.setdefault(key, {"speeds": []})
            if "failure" in result:
                continue
            try:
                if turn < 0:
                    timers[key] = TimedMD(molecule, _protocol(task, time_step), positions, task["platform"])
                speed = timers[key].measure(task["seconds"] if turn >= 0 else 0.2 * task["seconds"])
            except UniSimError as error:
                results[key] = {"speeds": [], "failure": str(error)}
                continue
            if turn >= 0:
                result["speeds"].append(asdict(speed))
    return {"agreement": agreement, "time_steps": results}


def _protocol(task: dict[str, Any], time_step_fs: float) -> MDProtocol:
    return MDProtocol.run_well(
        task["environment"],
        task["temperature"],
        time_step_fs=time_step_fs,
        friction_per_ps=task["friction"],
    )


def _agreement(
    molecule: Molecule, protocol: MDProtocol, positions: NDArray[np.float64], platform: str
) -> dict[str, float]:
    """``energy_deviation_kj_mol`` and ``force_deviation`` of the platform against Reference at one structure."""
    energies, forces = [], []
    for name in ("Reference", platform):
        context = openmm.Context(protocol.system(molecule), protocol.integrator(1), get_platform(name))
        context.setPositions(positions)
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
        forces.append(state.getForces(asNumpy=True).value_in_unit(_FORCE_UNIT))
    size = np.linalg.norm(forces[0], axis=1)
    deviation = np.linalg.norm(forces[1] - forces[0], axis=1)[size > 0] / size[size > 0]
    return {
        "energy_deviation_kj_mol": abs(energies[1] - energies[0]),
        "force_deviation": float(np.median(deviation)),
    }


def sample_md(task: dict[str, Any]) -> dict[str, Any]:
    """Thermalise, then sample for a given wall time.

    Reads `input, environment, temperature, friction, platform, time_step, thermalise, seed, seconds,
    frame_spacing, energies, spawned, start_s`. Torsions are computed after the clock stopped; nothing is written to
    disk.

    Returns
    -------
    dict
        ``torsions``: label, phi, psi (degrees) of each residue; ``times_s`` by stage, ``cpu_s``,
        ``frame_spacing_ps``, ``n_frames``; with `energies` also the series ``potential_energy_kj_mol`` and
        ``kinetic_temperature_K``, and ``constraint_error``.
    """
    stages = Stages(task)
    molecule, protocol = load_molecule(task["input"]), _protocol(task, task["time_step"])
    steps = task["frame_spacing"] * 1000.0 / protocol.time_step_fs
    if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
        raise ConfigError(
            f"A frame every {task['frame_spacing']:g} ps is no multiple of a time step of "
            f"{protocol.time_step_fs:g} fs; choose another time step."
        )
    system = protocol.system(molecule)
    stages.end("loading")
    first, second, third = derive_seeds(task["seed"])
    start = thermalise(molecule, system, protocol, task["thermalise"], (first, second), task["platform"])
    context = start_md(molecule, protocol, start.positions, task["platform"], third)
    stages.end("relaxation")
    record = _Record(context, task["energies"])
    sampling = Clock()
    while True:
        step_md(context, round(steps))
        record.take()
        wall_s, cpu_s = sampling.read()
        if wall_s >= task["seconds"]:
            break
    return {
        "times_s": {**stages.as_dict(), "sampling": wall_s},
        "cpu_s": cpu_s,
        "frame_spacing_ps": task["frame_spacing"],
        "n_frames": len(record.frames),
        "torsions": torsion_lists(record.frames, molecule),
        **record.energies(),
    }


class _Record:
    """Frames (single precision, nm) and, if asked for, energies and constraints of a run."""

    def __init__(self, context: openmm.Context, energies: bool):
        self._context, self._wanted = context, energies
        self.frames: list[NDArray[np.float32]] = []
        self._potential: list[float] = []
        self._temperature: list[float] = []
        self._violation = 0.0
        system = context.getSystem()
        constraints = [system.getConstraintParameters(i) for i in range(system.getNumConstraints())]
        self._pairs = np.array([(i, j) for i, j, _ in constraints], dtype=np.int64).reshape(-1, 2)
        self._lengths = np.array([length.value_in_unit(unit.nanometer) for _, _, length in constraints])
        self._scale = 2.0 / (_degrees_of_freedom(system) * BOLTZMANN)

    def take(self) -> None:
        """Add the state in hand."""
        state = self._context.getState(positions=True, energy=self._wanted)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        self.frames.append(positions.astype(np.float32))
        if not self._wanted:
            return
        self._potential.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
        kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
        self._temperature.append(self._scale * kinetic)
        if len(self._pairs):
            ends = positions[self._pairs]
            lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
            self._violation = max(self._violation, float(np.max(np.abs(lengths / self._lengths - 1.0))))

    def energies(self) -> dict[str, Any]:
        """The series, or nothing."""
        if not self._wanted:
            return {}
        return {
            "potential_energy_kj_mol": self._potential,
            "kinetic_temperature_K": self._temperature,
            "constraint_error": self._violation,
        }


def _degrees_of_freedom(system: openmm.System) -> int:
    massive = sum(system.getParticleMass(i)._value > 0 for i in range(system.getNumParticles()))
    return 3 * massive - system.getNumConstraints() - 3
