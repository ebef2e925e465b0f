r"""What guidance to another environment does to the torsions of alanine dipeptide, by its scale.

    python benchmarks/ala2_guidance.py MODEL.unisim.pt --target ../shared/reference/ala2_obc2.npz \
        --starts raw/vacuum/ACE-A-NME.vacuum.300K.seed3.h5 --json benchmarks/results/ala2_guidance.json

Every scale makes `copies` chains of `jumps` jumps from frames of the starts (MD of the model's own environment), the
first `burn` of which aren't counted, nothing rejected but NaN, through the Python twin of the integrator. The target is
MD of the environment that guidance leads to: an .npz with `positions`, what mdtraj reads, or one of our HDF5 files. Its
figures for MD of the starts' file are printed as well: what no guidance at all would score with a perfect model.

Kinetics aren't scored: guidance doesn't promise them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import torch

from openmm_unisim.data.stretches import read_stretches
from openmm_unisim.evaluation.estimators.distributions import same_size_floor, torsion_js_distances
from openmm_unisim.evaluation.estimators.features import backbone_torsions
from openmm_unisim.evaluation.estimators.validity import check_trajectory, force_field_bond_lengths
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.evaluation.trajectories import load_trajectory
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import load_molecule

ALPHA_R = (
    (-180.0, 0.0),
    (-120.0, 20.0),
)  # phi, psi: the right-handed helix; C7eq, at psi of 60 and more, is outside


def read_positions(path: Path, topology: mdtraj.Topology) -> np.ndarray:
    """All frames of a file, (n_frames, n_atoms, 3), nm."""
    if path.suffix == ".h5":
        return np.concatenate([stretch.positions for stretch in read_stretches(path)])
    return load_trajectory(path, topology).positions


def torsions(positions: np.ndarray, topology: mdtraj.Topology) -> tuple[np.ndarray, np.ndarray]:
    """phi and psi of the one residue, degrees."""
    angles = backbone_torsions(positions, topology)[0]
    return np.asarray(angles.phi), np.asarray(angles.psi)


def figures(phi: np.ndarray, psi: np.ndarray, target: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Distances to the target and populations."""
    (phi_low, phi_high), (psi_low, psi_high) = ALPHA_R
    helix = (phi >= phi_low) & (phi < phi_high) & (psi >= psi_low) & (psi < psi_high)
    return {
        "frames": len(phi),
        "js": torsion_js_distances(phi, psi, *target),
        "helix": float(helix.mean()),
        "phi_positive": float((phi > 0).mean()),
    }


def guided(
    model: Path, scale: float, starts: np.ndarray, arguments: argparse.Namespace, topology: mdtraj.Topology,
    target: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:  # fmt: skip
    """Figures of chains at one scale."""
    molecule = load_molecule("ACE-ALA-NME")
    jump = ReferenceJump(
        model, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds, guidance_scale=scale
    )
    chain = JumpChain(jump, starts, arguments.seed)
    frames = np.concatenate([f.positions for f in chain.run(arguments.jumps) if f.step > arguments.burn])
    validity = check_trajectory(frames, topology, molecule.positions, force_field_bond_lengths(topology))
    found = figures(*torsions(frames, topology), target) | {"scale": scale, "nan": chain.nan}
    return found | {"validity": validity.as_dict()}


def show(name: str, found: dict[str, Any]) -> None:
    """One line."""
    js = found["js"]
    validity = found.get("validity", {})
    print(
        f"{name:18s} JS phi {js['phi']:.3f} psi {js['psi']:.3f} phi_psi {js['phi_psi']:.3f}"
        f"   helix {found['helix']:.3f}   phi>0 {found['phi_positive']:.3f}"
        f"   explosions {validity.get('explosions', '-')}"
    )


def main() -> None:
    """Measure every scale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--target", type=Path, required=True, help="MD of the environment guided to")
    parser.add_argument("--starts", type=Path, required=True, help="MD of the model's own environment")
    parser.add_argument("--scales", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--jumps", type=int, default=60)
    parser.add_argument("--burn", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    topology = mdtraj.Topology.from_openmm(load_molecule("ACE-ALA-NME").topology)
    own, judge = read_positions(arguments.starts, topology), read_positions(arguments.target, topology)
    target = torsions(judge, topology)
    results: dict[str, Any] = {
        "provenance": provenance(seed=arguments.seed, model=sha256_of_file(arguments.model)),
        "metadata": read_metadata(arguments.model).model_dump(),
        "target": figures(*target, target),
        "own_md": figures(*torsions(own, topology), target),
        "scales": [],
    }
    count = arguments.copies * (arguments.jumps - arguments.burn)
    floor = same_size_floor(*target, count, np.random.default_rng(0))
    results["floor"] = {name: estimate.as_dict() for name, estimate in floor.items()}
    show("MD, target", results["target"])
    show("MD, unguided", results["own_md"])
    print(f"floor of {count} frames: phi_psi {floor['phi_psi'].mean:.3f}")
    starts = own[np.linspace(0, len(own) - 1, arguments.copies).astype(int)].astype(float)
    for scale in arguments.scales:
        results["scales"].append(guided(arguments.model, scale, starts, arguments, topology, target))
        show(f"guidance_scale {scale:g}", results["scales"][-1])
        if arguments.json:
            arguments.json.write_text(json.dumps(jsonable(results), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
