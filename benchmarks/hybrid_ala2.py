r"""Hybrid protocols beside MD at equal processor time: alanine dipeptide in OBC2, the shipped model `ala2`.

    python benchmarks/hybrid_ala2.py --folder runs/hybrid_ala2 --cpu-seconds 60 --walkers 2 \
        --json benchmarks/results/hybrid_ala2.json

Four methods, each with `walkers` walkers of `cpu-seconds` s of processor time (one thread; on an idle machine that is
wall time, on a shared one it is what compares), in turn, a slice each:

md           MD run well: 4 fs, constrained X-H bonds, hydrogens of 4 Da
md-flexible  LangevinMiddle at 1 fs without constraints: the energies that `sample` has to have
explore      the shipped protocol
sample       the shipped protocol: exact

After each slice a walker's checkpoint and its frames are written, and the same command goes on; a larger
`--cpu-seconds` lengthens a finished run. `--summarise` only reads. Populations are those of alpha (psi in [-120, 50))
and of phi in [0, 140), with standard errors from the statistical inefficiency; crossings are passages
between cores (psi: -80..-10 and 100..180, phi: -150..-50 and 30..90 degrees): a visit to the top of a barrier is none.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from openmm import unit

from openmm_unisim.evaluation.estimators.features import backbone_torsions
from openmm_unisim.evaluation.estimators.kinetics import statistical_inefficiency
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.evaluation.reference import shipped_reference
from openmm_unisim.hybrid.ghmc import GHMCIntegrator
from openmm_unisim.hybrid.hybrid_simulation import HybridSimulation
from openmm_unisim.hybrid.preparation import HybridSettings, PreparedHybrid, prepare_hybrid
from openmm_unisim.hybrid.protocol import JumpPart, MDPart, Protocol, load_protocol
from openmm_unisim.pretrained.registry import resolve_model
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.simulation.relaxation import thermalise

MOLECULE, MODEL = "ACE-ALA-NME", "ala2"
BURN = 0.1  # share of each walker that isn't counted
CORES = {"psi": ((-80.0, -10.0), (100.0, 180.0)), "phi": ((-150.0, -50.0), (30.0, 90.0))}


def protocols() -> dict[str, Protocol]:
    """The methods: cycles of 1 ps for MD."""
    none = JumpPart(number=0, after="accept")
    flexible = MDPart(steps=1000, time_step_fs=1.0, constraints="none")
    return {
        "md": Protocol(kind="explore", thermalise_ps=20.0, md=MDPart(), jump=none),
        "md-flexible": Protocol(kind="explore", thermalise_ps=20.0, md=flexible, jump=none),
        "explore": load_protocol("explore", thermalise_ps=20.0),
        "sample": load_protocol("sample", thermalise_ps=20.0),
    }


class Walker:
    """One walker: its simulation, what it has found, and where it keeps that."""

    def __init__(self, folder: Path, method: str, number: int):
        self.method, self._folder = method, folder
        self._stem = f"{method}-{number}"
        settings = HybridSettings(
            MOLECULE, MODEL, folder, protocols()[method], seed=100 * number + 1, platform="Reference"
        )
        self._prepared = prepare_hybrid(settings)
        self._simulation = self._prepared.simulation()
        self.series: dict[str, np.ndarray] = {}
        self.cpu_s = 0.0
        self._topology = mdtraj.Topology.from_openmm(self._simulation.topology)
        if self._checkpoint.is_file():
            self._load()
        else:
            start(self._simulation, self._prepared)

    @property
    def _checkpoint(self) -> Path:
        return self._folder / f"{self._stem}.npz"

    def run(self, cpu_s: float) -> None:
        """Go on for so much processor time, and save."""
        begun, found = time.process_time(), {"phi": [], "psi": [], "energy": [], "accepted": []}
        while time.process_time() - begun < cpu_s:
            self._simulation.step(1)
            record = self._simulation.lastCycle
            positions = self._simulation.context.getState(positions=True).getPositions(asNumpy=True)
            angles = backbone_torsions(positions.value_in_unit(unit.nanometer)[None], self._topology)[0]
            found["phi"].append(float(angles.phi[0]))
            found["psi"].append(float(angles.psi[0]))
            found["energy"].append(record.potential_energy_kj_mol)
            found["accepted"].append(record.accepted)
        self.cpu_s += time.process_time() - begun
        for name, values in found.items():
            self.series[name] = np.concatenate([self.series.get(name, np.zeros(0)), values])
        self._save()

    def counts(self) -> dict[str, Any]:
        """What the simulation counted."""
        counts, md = self._simulation.getCounts(), self._simulation.mdIntegrator
        return {
            "jumps": counts.jumps,
            "accepted": counts.accepted,
            "rejected": counts.rejected,
            "md_time_ps": counts.md_time_ps,
            "ghmc_acceptance": md.getAcceptanceRate() if isinstance(md, GHMCIntegrator) else None,
        }

    def _save(self) -> None:
        """Frames and OpenMM's checkpoint in one file, replaced as a whole."""
        data = np.frombuffer(self._simulation.context.createCheckpoint(), dtype=np.uint8)
        temporary = self._checkpoint.with_suffix(".tmp.npz")
        np.savez(temporary, checkpoint=data, cpu_s=self.cpu_s, **self.series)
        temporary.replace(self._checkpoint)

    def _load(self) -> None:
        with np.load(self._checkpoint) as file:
            self.series = {name: file[name] for name in ("phi", "psi", "energy", "accepted")}
            self.cpu_s = float(file["cpu_s"])
            self._simulation.context.loadCheckpoint(file["checkpoint"].tobytes())


def start(simulation: HybridSimulation, prepared: PreparedHybrid) -> None:
    """Positions at temperature."""
    run = prepared.run
    state = thermalise(
        run.molecule, prepared.system, prepared.md, prepared.settings.protocol.thermalise_ps, run.seeds[:2],
        run.platform,
    )  # fmt: skip
    simulation.context.setPositions(state.positions)
    simulation.drawVelocities()


def mean_of(series: list[np.ndarray]) -> dict[str, float]:
    """Mean over all walkers' frames, standard error and effective samples.

    The inefficiency is that of deviations from the common mean, over all walkers' stretches of the shortest's length:
    deviations of each from its own mean would look better than they are.
    """
    pooled, shortest = np.concatenate(series), min(len(values) for values in series)
    inefficiency = statistical_inefficiency(np.array([values[-shortest:] for values in series]))
    effective = len(pooled) / inefficiency
    error = float(pooled.std() / np.sqrt(effective))
    return {"mean": float(pooled.mean()), "error": error, "effective": effective}


def crossings(angles: np.ndarray, cores: tuple[tuple[float, float], tuple[float, float]]) -> int:
    """Passages from one core to the other, degrees."""
    state = np.zeros(len(angles), dtype=int)
    for index, (low, high) in enumerate(cores, 1):
        state[(angles >= low) & (angles < high)] = index
    visited = state[state > 0]
    return int(np.count_nonzero(np.diff(visited)))


def summary_of(walkers: list[Walker]) -> dict[str, Any]:
    """Figures of one method."""
    kept = [
        {name: values[int(BURN * len(values)) :] for name, values in walker.series.items()}
        for walker in walkers
    ]
    cpu_s = sum(walker.cpu_s for walker in walkers)
    alpha = mean_of([((w["psi"] >= -120) & (w["psi"] < 50)).astype(float) for w in kept])
    counted = cpu_s * (1.0 - BURN)
    return {
        "cycles": sum(len(walker.series["phi"]) for walker in walkers),
        "cpu_s": cpu_s,
        "alpha": alpha,
        "phi_positive": float(np.mean(np.concatenate([(w["phi"] >= 0) & (w["phi"] < 140) for w in kept]))),
        "energy": mean_of([w["energy"] for w in kept]),
        "alpha_effective_per_cpu_s": alpha["effective"] / counted,
        "crossings": {name: sum(crossings(w[name], cores) for w in kept) for name, cores in CORES.items()},
        "crossings_per_cpu_s": {
            name: sum(crossings(w[name], cores) for w in kept) / counted for name, cores in CORES.items()
        },
        "jumps": [walker.counts() for walker in walkers],
    }


def z_score(first: dict[str, float], second: dict[str, float]) -> float:
    """Difference of two means in standard errors."""
    return (first["mean"] - second["mean"]) / float(np.hypot(first["error"], second["error"]))


def compared(methods: dict[str, dict[str, Any]], reference: dict[str, float]) -> dict[str, float]:
    """What the protocols promise, in standard errors: `sample` has flexible MD's energy and the reference's alpha."""
    found = {
        f"{name}: alpha, to 300 ns of MD": z_score(method["alpha"], reference)
        for name, method in methods.items()
    }
    energies = {name: method["energy"] for name, method in methods.items()}
    return {**found, "sample: energy, to md-flexible": z_score(energies["sample"], energies["md-flexible"])}


def main() -> None:
    """Run what is missing, and sum up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="of each walker")
    parser.add_argument("--walkers", type=int, default=2)
    parser.add_argument("--slice", type=float, default=5.0, help="processor time between two savings, s")
    parser.add_argument("--summarise", action="store_true", help="read what is there, run nothing")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    walkers = [
        Walker(arguments.folder, method, number)
        for number in range(arguments.walkers)
        for method in protocols()
    ]
    while not arguments.summarise:
        waiting = [walker for walker in walkers if walker.cpu_s < arguments.cpu_seconds]
        if not waiting:
            break
        min(waiting, key=lambda walker: walker.cpu_s).run(arguments.slice)
    reference = shipped_reference(MOLECULE, "obc2")
    psi = np.asarray(reference.torsions[0].psi)
    result = {
        "provenance": provenance(model=sha256_of_file(resolve_model(MODEL)), walkers=arguments.walkers),
        "protocols": {name: protocol.model_dump() for name, protocol in protocols().items()},
        "reference_alpha": mean_of([((psi >= -120) & (psi < 50)).astype(float)]),
        "methods": {
            method: summary_of([walker for walker in walkers if walker.method == method])
            for method in protocols()
        },
    }
    result["standard_errors_apart"] = compared(result["methods"], result["reference_alpha"])
    for method, found in result["methods"].items():
        print(
            f"{method:12s} {found['cycles']:6d} cycles  alpha {found['alpha']['mean']:.3f} +- "
            f"{found['alpha']['error']:.3f}  E {found['energy']['mean']:.2f} +- {found['energy']['error']:.2f}  "
            f"ESS/s {found['alpha_effective_per_cpu_s']:.2f}  psi crossings/s {found['crossings_per_cpu_s']['psi']:.2f}"
        )
    for name, value in result["standard_errors_apart"].items():
        print(f"{name}: {value:+.1f} standard errors")
    if arguments.json:
        arguments.json.write_text(json.dumps(jsonable(result), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
