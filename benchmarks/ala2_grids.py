r"""Time grids, calls a jump and substep covariance: what each does to free-running jumps of ala2.

    python benchmarks/ala2_grids.py WEIGHTS.safetensors raw/ACE-A-NME.obc2.300K.seed8.h5 \
        --json benchmarks/results/ala2_grids.json

Every setting makes `copies` chains of `jumps` jumps each from held-out MD frames, nothing rejected but NaN, through the
Python twin of the integrator (the same law and noise stream), and is scored against the shipped reference.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import torch

from openmm_unisim.data import trajectory_file
from openmm_unisim.evaluation.estimators.features import backbone_torsions
from openmm_unisim.evaluation.estimators.frame_energies import frame_energies
from openmm_unisim.evaluation.estimators.validity import check_trajectory, force_field_bond_lengths
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.evaluation.reference import shipped_reference
from openmm_unisim.evaluation.run.score import score_ala2
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import Molecule, create_system, load_molecule
from openmm_unisim.units import BOLTZMANN

SETTINGS = (  # calls, grid power (0 uniform), covariance
    (20, 2.5, "group-wise"),
    (40, 2.5, "group-wise"),
    (20, 2.5, "isotropic"),
    (40, 2.5, "isotropic"),
    (20, 2.0, "group-wise"),
    (20, 3.0, "group-wise"),
    (20, 0.0, "group-wise"),
    (20, 0.0, "isotropic"),
    (10, 2.5, "group-wise"),
    (16, 2.5, "group-wise"),
    (14, 2.5, "group-wise"),
    (14, 2.0, "group-wise"),
)


def energy_terms(molecule: Molecule, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Potential energy of each frame in OBC2 by kind of force, bonds of hydrogens apart, and in all, kJ/mol."""
    found = frame_energies(frames, create_system(molecule, "obc2"), molecule.atomic_numbers == 1)
    return found.terms | {"all": found.potential}


def run(jump: ReferenceJump, starts: np.ndarray, jumps: int, seed: int) -> tuple[np.ndarray, int]:
    """Frames (n_copies, jumps + 1, n_atoms, 3), the starts included, and the count of NaN proposals."""
    chain = JumpChain(jump, starts, seed)
    frames = [starts] + [frame.positions for frame in chain.run(jumps)]
    return np.stack(frames, 1), chain.nan


def measure(model: Path, arguments: argparse.Namespace, walker: trajectory_file.Trajectory) -> dict[str, Any]:
    """All figures of one model file."""
    molecule = load_molecule("ACE-ALA-NME")
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    start_phi = np.asarray(backbone_torsions(walker.positions, topology)[0].phi)
    common = np.flatnonzero(
        start_phi < 0
    )  # the reference never visits phi > 0, where hot starts may have left walkers
    picked = common[np.linspace(0, len(common) - 1, arguments.copies).astype(int)]
    jump = ReferenceJump(model, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds)
    began = time.perf_counter()
    frames, nan = run(jump, walker.positions[picked].astype(float), arguments.jumps, arguments.seed)
    seconds = time.perf_counter() - began
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
        name = f"{arguments.seed}-{model.parent.name}.npz"
        np.savez(arguments.save / name, positions=frames[:, 1:].astype(np.float32))
    new = frames[:, 1:]
    flat = new.reshape(-1, *frames.shape[2:])
    angles = backbone_torsions(frames.reshape(-1, *frames.shape[2:]), topology)[0]
    phi, psi = (np.asarray(a).reshape(frames.shape[:2]) for a in (angles.phi, angles.psi))
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    assert reference is not None
    scores = score_ala2(
        phi[:, 1:], psi[:, 1:], reference.torsions[0].phi, reference.torsions[0].psi,
        jump_psi=(psi[:, :-1].ravel(), psi[:, 1:].ravel()), generator=np.random.default_rng(0),
    )  # fmt: skip
    energies = energy_terms(molecule, flat)
    md = energy_terms(molecule, walker.positions[common[:: max(1, len(common) // 2000)]].astype(float))
    kT = BOLTZMANN * walker.attributes["temperature_K"]
    return {
        "jumps": int(flat.shape[0]),
        "score": scores,
        "nan": nan,
        "validity": check_trajectory(
            flat, topology, molecule.positions, force_field_bond_lengths(topology)
        ).as_dict(),
        "energy_median_minus_md_kT": {k: float((np.median(energies[k]) - np.median(md[k])) / kT) for k in md},
        "energy_spread_over_md": float(np.std(energies["all"]) / np.std(md["all"])),
        "copy_jumps_per_s": float(flat.shape[0] / seconds),
    }


def main() -> None:
    """Measure every setting and write the results as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("walker", type=Path, help="held-out MD: starts and energies")
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--jumps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", help="indices of SETTINGS")
    parser.add_argument("--save", type=Path, help="folder for the frames, for benchmarks/score_trajectory.py")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    walker = trajectory_file.read(arguments.walker)
    results: dict[str, Any] = {
        "provenance": provenance(seed=arguments.seed, weights=sha256_of_file(arguments.weights))
    }
    results["settings"] = []
    chosen = SETTINGS if arguments.only is None else [SETTINGS[k] for k in arguments.only]
    for calls, power, covariance in chosen:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model.unisim.pt"
            export_conditioned(
                arguments.weights, model, substeps=calls, grid_power=power, covariance=covariance
            )
            entry = measure(model, arguments, walker)
        entry |= {"calls": calls, "grid": f"S({power:g})" if power else "uniform", "covariance": covariance}
        results["settings"].append(entry)
        score, excess = entry["score"], entry["energy_median_minus_md_kT"]["all"]
        print(
            f"{calls:3d} {entry['grid']:8s} {covariance:10s} JS {score['js']['phi_psi']:.3f} "
            f"(floor {score['js_floor']['phi_psi']['mean']:.3f}) stay {score['stay_difference']} "
            f"dE {excess:+.2f} kT  nan {entry['nan']}  {entry['copy_jumps_per_s']:.1f}/s",
            flush=True,
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(jsonable(results), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
