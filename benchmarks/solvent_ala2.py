"""Alanine dipeptide in TIP3P: work and acceptance of switching moves against protocol and switching length.

    python benchmarks/solvent_ala2.py --folder runs/solvent_ala2 --snapshots 20

Resumable: called again it goes on with the snapshot where it stopped; a larger --snapshots extends it. From each
snapshot of NPT-equilibrated MD jumps of the model are tried until one passes the screen (the solute's OBC2 energy);
that one jump is then switched by every protocol, with the same velocities. So the protocols are compared in pairs,
and a_2 is the mean of min(1, e^{-beta (W - du)}) over jumps that pass: acceptance of a move = p_1 a_2.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from openmm_unisim.provenance import provenance
from openmm_unisim.simulation.noise import acceptance_uniform
from openmm_unisim.solvent.move import Snapshot
from openmm_unisim.solvent.preparation import Solution, implicit_screen, solvate
from openmm_unisim.solvent.propagator import SolventPropagator
from openmm_unisim.solvent.proposal import SoluteJump, thermal_velocities
from openmm_unisim.solvent.protocol import SwitchingProtocol
from openmm_unisim.solvent.solute import Solute
from openmm_unisim.system import load_molecule
from openmm_unisim.units import BOLTZMANN

TEMPERATURE = 300.0
BETA = 1.0 / (BOLTZMANN * TEMPERATURE)
DEFAULT = "straight:0 straight:0.1 straight:0.5 straight:2 path:0.5 discharge:0.5 discharge:2 decouple:0.5 decouple:2"
MAX_ATTEMPTS = 60
CROSSING = 90.0  # degrees, by which phi or psi changes in a jump to another basin
CPU = openmm.Platform.getPlatformByName("CPU")
THREADS = {"Threads": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/solvent_ala2"))
    parser.add_argument("--snapshots", type=int, default=20)
    parser.add_argument("--edge", type=float, default=2.6, help="nm")
    parser.add_argument("--between", type=int, default=250, help="MD steps of 2 fs between snapshots")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/solvent_ala2.json"))
    parser.add_argument(
        "--protocols", default=DEFAULT, help="kind:ps ..., fixed by the first call of a folder"
    )
    arguments = parser.parse_args()
    protocols = {name: parsed(name) for name in arguments.protocols.split()}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    molecule = load_molecule("ACE-ALA-NME")
    solution = solvate(molecule, arguments.edge)
    simulation = equilibrated(solution, arguments.folder)
    measure = Measurement(solution, implicit_screen(molecule), arguments.folder, protocols)
    while len(measure.rows) < arguments.snapshots:
        simulation.step(arguments.between)
        measure.one(simulation.context)
        save_state(simulation, arguments.folder, len(measure.rows))
        print(
            f"{len(measure.rows)} snapshots, {measure.rows[-1]['cpu_s']:.0f} s of CPU in the last", flush=True
        )
        if sum(row["passed"] for row in measure.rows) > 1:  # of one jump there is no error
            write(measure.rows, solution, arguments, protocols)
    write(measure.rows, solution, arguments, protocols)
    print(table(json.loads(arguments.output.read_text(encoding="utf-8"))))


def write(rows: list[dict[str, Any]], solution: Solution, arguments: Any, protocols: dict[str, Any]) -> None:
    """The results so far."""
    record = summary(rows, solution, arguments.edge, protocols)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def parsed(name: str) -> SwitchingProtocol:
    """A protocol by kind and duration, such as straight:0.5."""
    kind, duration = name.split(":")
    return SwitchingProtocol(kind, float(duration))


def equilibrated(solution: Solution, folder: Path) -> app.Simulation:
    """NPT MD (2 fs, hydrogens of 4 Da) after minimisation and 10 ps, or at the last saved snapshot."""
    system = openmm.XmlSerializer.clone(solution.system)
    system.addForce(openmm.MonteCarloBarostat(1.0 * unit.bar, TEMPERATURE * unit.kelvin, 25))
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, 0.002)
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(solution.topology, system, integrator, CPU, THREADS)
    state = folder / "state.xml"
    if state.is_file():
        simulation.loadState(str(state))
        return simulation
    simulation.context.setPositions(solution.positions)
    simulation.minimizeEnergy(maxIterations=200)
    simulation.context.setVelocitiesToTemperature(TEMPERATURE, 1)
    simulation.step(5000)
    save_state(simulation, folder, 0)
    return simulation


def save_state(simulation: app.Simulation, folder: Path, rows: int) -> None:
    """The state to go on from, replaced as a whole."""
    simulation.saveState(str(folder / "new.xml"))
    os.replace(folder / "new.xml", folder / "state.xml")


class Measurement:
    """One jump that passes the screen, switched by every protocol, from each snapshot."""

    def __init__(
        self, solution: Solution, screen: Any, folder: Path, protocols: dict[str, SwitchingProtocol]
    ):
        self.file = folder / "rows.jsonl"
        self.rows = (
            [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]
            if self.file.is_file()
            else []
        )
        self._solute = Solute(solution.topology, solution.system, solution.particles)
        self._jump = SoluteJump("ala2", self._solute, TEMPERATURE, 1, exact=True)
        self._screen = screen
        system = solution.system
        self._masses = np.array(
            [system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(system.getNumParticles())]
        )
        self._propagators = {
            name: SolventPropagator(system, self._solute.particles, protocol, CPU, THREADS)
            for name, protocol in protocols.items()
        }

    def one(self, context: openmm.Context) -> None:
        """Add a row."""
        cpu = time.process_time()
        before = Snapshot.of(context)
        number = 1000 * len(self.rows)
        attempts, jump, change = self._pass_screen(before, number)
        row: dict[str, Any] = {"snapshot": len(self.rows), "attempts": attempts, "passed": jump is not None}
        if jump is not None:
            own = before.positions[self._solute.particles]
            row["displacement_nm"] = float(np.sqrt(((jump.positions - own) ** 2).sum(1).mean()))
            row["du_kj_mol"], row["log_path_ratio"] = change, jump.log_ratio
            row["phi_psi_before"], row["phi_psi_after"] = dihedrals(own), dihedrals(jump.positions)
            drawn = thermal_velocities(self._masses, TEMPERATURE, 1, number)
            row["work_kj_mol"], row["protocol_cpu_s"] = {}, {}
            for name, propagator in self._propagators.items():
                started = time.process_time()
                row["work_kj_mol"][name] = self._work(context, before, drawn, jump, propagator)
                row["protocol_cpu_s"][name] = time.process_time() - started
            context.setPositions(before.positions)
            context.setVelocities(before.velocities)
        row["cpu_s"] = time.process_time() - cpu
        self.rows.append(row)
        with open(self.file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def _pass_screen(self, before: Snapshot, number: int) -> tuple[int, Any, float]:
        own = before.positions[self._solute.particles]
        shift = self._solute.images(own, before.box) @ before.box
        energy = self._screen(own + shift)
        for attempt in range(MAX_ATTEMPTS):
            jump = self._jump.propose(own, before.box, number + attempt)
            change = self._screen(jump.positions + shift) - energy if jump.finite else np.nan
            if np.log(acceptance_uniform(1, number + attempt)) < -BETA * change + jump.log_ratio:
                return attempt + 1, jump, change
        return MAX_ATTEMPTS, None, np.nan

    def _work(
        self, context: Any, before: Snapshot, drawn: Any, jump: Any, propagator: SolventPropagator
    ) -> float:
        track = jump.track if propagator.protocol.kind == "path" else jump.track[[0, -1]]
        switched = propagator.switch(before.positions, drawn, before.box, track)
        context.setPositions(switched.positions)
        energy = context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        return float(energy - before.energy + switched.kinetic_after - switched.kinetic_before)


def dihedrals(positions: np.ndarray) -> list[float]:
    """phi and psi, degrees (ACE-ALA-NME as `load_molecule` numbers it)."""
    names = [atom.name + atom.residue.name for atom in load_molecule("ACE-ALA-NME").topology.atoms()]
    rows = [["CACE", "NALA", "CAALA", "CALA"], ["NALA", "CAALA", "CALA", "NNME"]]
    angles = []
    for row in rows:
        a, b, c, d = (positions[names.index(name)] for name in row)
        u, v, w = b - a, c - b, d - c
        first, second = np.cross(u, v), np.cross(v, w)
        angles.append(float(np.degrees(np.arctan2(np.linalg.norm(v) * (u @ second), first @ second))))
    return angles


def summary(
    rows: list[dict[str, Any]], solution: Solution, edge: float, protocols: dict[str, SwitchingProtocol]
) -> dict[str, Any]:
    """Acceptance and work of each protocol."""
    passed = [row for row in rows if row["passed"]]
    p_1 = len(passed) / sum(row["attempts"] for row in rows)
    crossing = [row for row in passed if dihedral_change(row) > CROSSING]
    within = [row for row in passed if dihedral_change(row) <= CROSSING]
    results = {}
    for name, protocol in protocols.items():
        results[name] = {
            "steps": protocol.n_steps,
            **acceptance(passed, name),
            "cpu_s_each": float(np.mean([row["protocol_cpu_s"][name] for row in passed])),
            "within_a_basin": acceptance(within, name),
            "crossing": acceptance(crossing, name),
        }
        results[name]["acceptance_of_a_move"] = p_1 * results[name]["a_2"]
    return {
        "question": "work and acceptance of switching moves of alanine dipeptide in TIP3P",
        "model": "ala2", "waters": solution.n_waters, "edge_nm": edge,
        "snapshots": len(rows), "jumps_switched": len(passed), "p_1": p_1,
        "cpu_s": sum(row["cpu_s"] for row in rows),
        "protocols": results, "rows": rows, "provenance": provenance(seed=1),
    }  # fmt: skip


def dihedral_change(row: dict[str, Any]) -> float:
    """Larger change of phi and psi, degrees."""
    change = np.array(row["phi_psi_after"]) - np.array(row["phi_psi_before"])
    return float(np.abs((change + 180) % 360 - 180).max())


def acceptance(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Excess work beta (W - du), and the mean of min(1, e^-that), of one protocol."""
    x = BETA * np.array([row["work_kj_mol"][name] - row["du_kj_mol"] for row in rows])
    if len(x) < 2:
        return {"jumps": len(x)}
    a = np.where(np.isfinite(x), np.exp(-np.clip(x, 0, 700)), 0.0)
    return {
        "jumps": len(x),
        "excess_work_kT": {
            "mean": float(x.mean()), "std": float(x.std(ddof=1)),
            "quartiles": np.percentile(x, [0, 25, 50, 75, 100]).tolist(),
        },
        "a_2": float(a.mean()),
        "a_2_standard_error": float(a.std(ddof=1) / np.sqrt(len(a))),
    }  # fmt: skip


def table(record: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| protocol:ps | steps | excess work, kT: mean ± std | median | a₂ | p₁a₂ | a₂ within a basin "
        "| a₂ crossing | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, values in record["protocols"].items():
        work = values["excess_work_kT"]
        groups = [f"{values[key].get('a_2', float('nan')):.2g}" for key in ("within_a_basin", "crossing")]
        lines.append(
            f"| {name} | {values['steps']} | {work['mean']:.1f} ± {work['std']:.1f} | {work['quartiles'][2]:.1f} | "
            f"{values['a_2']:.2g} ± {values['a_2_standard_error']:.1g} | {values['acceptance_of_a_move']:.2g} | "
            f"{groups[0]} | {groups[1]} | {values['cpu_s_each']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
