r"""Acceptance of single jumps: flexible alanine dipeptide in OBC2, the shipped weights `ala2`, Metropolis on paths.

    python benchmarks/exact_ala2.py --jumps 128 --json benchmarks/results/exact_ala2.json

Substeps (20, 50), power of the symmetric grid (1.5, 2.5), covariance (isotropic, group-wise) and, with the latter,
means corrected by forces where sigma sqrt(1-t) < 0.005 nm. Each combination makes one judged jump from each of the
same starts (MD at 1 fs without constraints, `--spacing-ps` apart) with the same seeds. `accept_all` are chains of
unjudged jumps: how far the energies of what is kept lie above MD's. Errors are standard errors over jumps.
"""

import argparse
import json
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.pretrained.registry import FOLDER
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.system import Molecule, create_system, load_molecule
from openmm_unisim.units import BOLTZMANN

WEIGHTS = FOLDER / "ala2" / "weights.safetensors"
KT = BOLTZMANN * 300.0
FORCE_MEANS = 0.005  # nm


class Starts:
    """Frames of flexible MD, and the System that they are of."""

    def __init__(self, number: int, spacing_ps: float) -> None:
        self.molecule: Molecule = load_molecule("ACE-ALA-NME")
        self.system = create_system(self.molecule, "obc2")
        integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.001)
        integrator.setRandomNumberSeed(3)
        simulation = self.simulation(integrator)
        simulation.context.setVelocitiesToTemperature(300, 4)
        simulation.minimizeEnergy(maxIterations=50)
        simulation.step(10000)
        frames, energies = [], []
        for _ in range(number):
            simulation.step(round(1000 * spacing_ps))
            state = simulation.context.getState(positions=True, energy=True)
            frames.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
            energies.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / KT)
        self.frames, self.energies = np.array(frames), np.array(energies)

    def simulation(self, integrator: Any) -> app.Simulation:
        """A Simulation of the System."""
        platform = openmm.Platform.getPlatformByName("Reference")
        simulation = app.Simulation(self.molecule.topology, self.system, integrator, platform)
        simulation.context.setPositions(self.molecule.positions)
        return simulation


def judged(starts: Starts, model: Path) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """One jump from each start, decided by Metropolis; the row of the table, and min(1, a) of each."""
    integrator = UniSimIntegrator(
        model, starts.molecule.topology, 300, acceptanceMode=UniSimIntegrator.MetropolisHastings,
        randomNumberSeed=5,
    )  # fmt: skip
    simulation = starts.simulation(integrator)
    begun, log_a = time.process_time(), []
    for number, frame in enumerate(starts.frames):
        simulation.context.setPositions(frame)
        integrator.setJumpIndex(number)
        simulation.step(1)
        log_a.append(integrator.getLastLogAcceptance())
    values, timings = np.array(log_a), integrator.getTimings()
    chance = np.exp(np.minimum(values, 0.0))
    known, count = values[np.isfinite(values)], len(values)
    row = {
        "acceptance": float(chance.mean()),
        "standard_error": float(chance.std(ddof=1) / np.sqrt(count)),
        "accepted": integrator.getNumAccepted(),
        "not_finite": integrator.getNumNaN(),
        "log_a_mean": float(known.mean()),
        "log_a_quantiles": np.quantile(known, [0.05, 0.25, 0.5, 0.75, 0.95]),
        "forces_a_jump": timings["force_evaluations"] / count,
        "cpu_ms_a_jump": 1000 * (time.process_time() - begun) / count,
    }
    return row, chance


def kept_energies(starts: Starts, model: Path, jumps: int) -> dict[str, float]:
    """Energies along a chain of unjudged jumps above MD's mean, kT."""
    integrator = UniSimIntegrator(model, starts.molecule.topology, 300, randomNumberSeed=6)
    simulation = starts.simulation(integrator)
    simulation.context.setPositions(starts.frames[0])
    above = []
    for _ in range(jumps):
        simulation.step(1)
        energy = simulation.context.getState(energy=True).getPotentialEnergy()
        above.append(energy.value_in_unit(unit.kilojoule_per_mole) / KT - starts.energies.mean())
    low, median, high = np.quantile(above, [0.25, 0.5, 0.75])
    return {
        "median": float(median),
        "lower_quartile": float(low),
        "upper_quartile": float(high),
        "jumps": jumps,
    }


def batches(model: str) -> list[dict[str, Any]]:
    """Processor time of a step, and calls of the network, with several sizes of batches of proposals."""
    starts, found = Starts(1, 1.0), []
    for number in (1, 4, 8):
        integrator = UniSimIntegrator(
            model, starts.molecule.topology, 300, acceptanceMode=UniSimIntegrator.MetropolisHastings,
            randomNumberSeed=5,
        )  # fmt: skip
        integrator.setProposalBatchSize(number)
        simulation = starts.simulation(integrator)
        simulation.context.setPositions(starts.frames[0])
        simulation.step(3)
        integrator.resetTimings()
        begun = time.process_time()
        simulation.step(60)
        cpu, calls = time.process_time() - begun, integrator.getTimings()["model_calls"]
        found.append({"size": number, "cpu_ms_a_step": 1000 * cpu / 60, "calls_a_step": calls / 60})
    return found


def combinations() -> list[dict[str, Any]]:
    """What is compared; isotropic noise has no covariance that forces could use."""
    found = []
    for substeps, power in product((20, 50), (2.5, 1.5)):
        for covariance, width in (("isotropic", 0.0), ("group-wise", 0.0), ("group-wise", FORCE_MEANS)):
            found.append(
                {"substeps": substeps, "grid_power": power, "covariance": covariance, "force_means": width}
            )
    return found


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jumps", type=int, default=128, help="of each combination")
    parser.add_argument("--spacing-ps", type=float, default=2.0, help="of the starts")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument(
        "--batches", action="store_true", help="only time batches, into an existing JSON file"
    )
    given = parser.parse_args()
    if given.batches:
        known = json.loads(given.json.read_text(encoding="utf-8"))
        known["batches"] = {"rows": batches("ala2"), "provenance": provenance()}
        given.json.write_text(json.dumps(jsonable(known), indent=1) + "\n", encoding="utf-8")
        return
    starts = Starts(given.jumps, given.spacing_ps)
    rows, chances = [], {}
    energies = {"standard_deviation": starts.energies.std(ddof=1), "frames": given.jumps}
    record: dict[str, Any] = {
        "jumps": given.jumps, "spacing_ps": given.spacing_ps, "rows": rows, "accept_all_energy_above_md_kT": {},
        "md_energy_kT": energies, "weights_sha256": sha256_of_file(WEIGHTS), "provenance": provenance(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for number, asked in enumerate(combinations()):
            model = Path(folder) / f"{number}.unisim.pt"
            export_conditioned(WEIGHTS, model, **asked)
            row, chance = judged(starts, model)
            chances[tuple(asked.values())] = chance
            plain = chances.get((*list(asked.values())[:3], 0.0)) if asked["force_means"] else None
            if plain is not None:  # paired: the same starts and noise
                change = chance - plain
                row["gain"] = float(change.mean())
                row["gain_standard_error"] = float(change.std(ddof=1) / np.sqrt(len(change)))
            rows.append({**asked, **row})
            print(json.dumps(jsonable(rows[-1])), flush=True)
            if (asked["substeps"], asked["grid_power"]) == (20, 2.5):
                key = f"{asked['covariance']}, force means {asked['force_means']:g} nm"
                record["accept_all_energy_above_md_kT"][key] = kept_energies(starts, model, 200)
            given.json.write_text(json.dumps(jsonable(record), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
