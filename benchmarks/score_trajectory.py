"""Score trajectories of alanine dipeptide (or any molecule with one phi/psi pair) against an MD reference.

    python benchmarks/score_trajectory.py run.npz --json score.json
    python benchmarks/score_trajectory.py run.xtc --topology topology.pdb --reference ala2_obc2.npz

A trajectory is an .npz with `positions` (nm), (n_frames, n_atoms, 3) or (n_copies, n_frames, n_atoms, 3), or
anything that mdtraj reads. Without --reference the shipped one is used. Several files are independent
copies of equal length. Definitions: openmm_unisim/evaluation/estimators/{distributions,kinetics,validity}.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from openmm_unisim.errors import ConfigError, DataError, UniSimError
from openmm_unisim.evaluation.estimators.distributions import js_distance, torsion_histogram_2d
from openmm_unisim.evaluation.estimators.features import ResidueTorsions, backbone_torsions
from openmm_unisim.evaluation.estimators.validity import check_trajectory, force_field_bond_lengths
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.evaluation.reference import (
    REFERENCE_FOLDER,
    TorsionReference,
    shipped_reference,
    trajectory_reference,
)
from openmm_unisim.evaluation.run.score import score_ala2
from openmm_unisim.evaluation.trajectories import load_topology, load_trajectory
from openmm_unisim.provenance import provenance, sha256_of_file


def load_copies(path: Path, topology: mdtraj.Topology) -> np.ndarray:
    """Positions of one file, shape (n_copies, n_frames, n_atoms, 3), nm."""
    if path.suffix == ".npz" and path.is_file():
        with np.load(path, allow_pickle=False) as archive:
            if "positions" in archive and archive["positions"].ndim == 4:
                return archive["positions"]
    return load_trajectory(path, topology).positions[None]


def score(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of the given files together."""
    topology, structure = load_topology(arguments.topology)
    copies = [load_copies(path, topology) for path in arguments.trajectory]
    if len({copy.shape[1] for copy in copies}) > 1:
        raise DataError(
            f"copies of {[copy.shape[1] for copy in copies]} frames; give trajectories of equal length."
        )
    positions = np.concatenate(copies)[:, arguments.skip :]
    flat = positions.reshape(-1, *positions.shape[2:])
    residues = backbone_torsions(flat, topology)
    reference = _reference(arguments, topology)
    if len(residues) != 1 or len(reference.torsions) != 1:
        raise ConfigError(
            f"{len(residues)} residues with phi and psi; this script scores molecules with exactly one."
        )
    lag_frames = reference.lag_frames(arguments.lag_time)
    if lag_frames is None:
        raise ConfigError(
            f"lag time {arguments.lag_time} ps isn't a multiple of the reference's frame spacing "
            f"({reference.frame_spacing_ps} ps); choose one that is."
        )
    shape = positions.shape[:2]
    scores = score_ala2(
        residues[0].phi.reshape(shape),
        residues[0].psi.reshape(shape),
        reference.torsions[0].phi,
        reference.torsions[0].psi,
        lag_frames=arguments.lag_frames,
        lag_frames_reference=lag_frames,
        lag_time_ps=arguments.lag_time,
        generator=np.random.default_rng(arguments.seed),
    )
    scores["validity"] = check_trajectory(
        flat, topology, structure, force_field_bond_lengths(topology)
    ).as_dict()
    scores["reference_name"] = reference.name
    if arguments.pieces > 1:
        judge = reference.torsions[0]
        scores["pieces"] = pieces(
            residues[0].phi.reshape(shape), residues[0].psi.reshape(shape), judge, arguments
        )
    return scores


def pieces(
    phi: np.ndarray, psi: np.ndarray, reference: ResidueTorsions, arguments: argparse.Namespace
) -> dict[str, Any]:
    """JS distance of phi/psi of consecutive pieces of (n_copies, n_frames): what a shorter run scores."""
    judge = torsion_histogram_2d(reference.phi, reference.psi)
    length = phi.shape[1] // arguments.pieces
    distances = [
        js_distance(
            torsion_histogram_2d(*(angle[:, first : first + length].ravel() for angle in (phi, psi))), judge
        )
        for first in range(0, length * arguments.pieces, length)
    ]
    return {
        "pieces": arguments.pieces,
        "n_frames": length * phi.shape[0],
        "js_phi_psi": distances,
        "mean": float(np.mean(distances)),
        "std": float(np.std(distances, ddof=1)),
    }


def _reference(arguments: argparse.Namespace, topology: mdtraj.Topology) -> TorsionReference:
    if arguments.reference is not None:
        return trajectory_reference(arguments.reference, topology)
    sequence = "-".join(residue.name for residue in topology.residues)
    shipped = shipped_reference(sequence, "obc2")
    if shipped is None:
        raise ConfigError(f"no reference is shipped for {sequence}; give one with --reference.")
    return shipped


def _text(entry: dict[str, float] | None) -> str:
    return "n/a" if entry is None else f"{entry['value']:.4f} +- {entry['standard_error']:.4f}"


def print_summary(scores: dict[str, Any]) -> None:
    """The figures that decide, one a line."""
    floor, js = scores["js_floor"], scores["js"]
    print(f"frames {scores['n_frames']}, of which NaN {scores['nan_frames']}")
    for key in ("phi_psi", "phi", "psi"):
        print(f"JS {key:8s} {js[key]:.4f}   MD floor {floor[key]['mean']:.4f} +- {floor[key]['std']:.4f}")
    for key in ("stay_alpha", "stay_beta", "population_alpha", "population_phi_positive"):
        print(f"{key:24s} {_text(scores['model'][key])}   MD {_text(scores['reference'][key])}")
    if "pieces" in scores:
        found = scores["pieces"]
        print(
            f"JS phi_psi of {found['n_frames']} frames: {found['mean']:.4f}, spread of one {found['std']:.4f}"
        )
    validity = scores["validity"]
    print(
        {
            key: validity[key]
            for key in ("explosions", "frames_bond_off", "frames_chirality_flipped", "frames_clash")
        }
    )


def main() -> None:
    """Read the arguments, score, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trajectory", type=Path, nargs="+")
    parser.add_argument("--topology", type=Path, default=REFERENCE_FOLDER / "ala2_obc2.pdb")
    parser.add_argument("--reference", type=Path, help="MD trajectory; default: the shipped one")
    parser.add_argument("--lag-time", type=float, default=20.0, help="ps (default 20)")
    parser.add_argument(
        "--lag-frames", type=int, default=1, help="frames of the trajectory to a lag (default 1)"
    )
    parser.add_argument("--skip", type=int, default=0, help="frames to drop at the start of each copy")
    parser.add_argument("--pieces", type=int, default=1, help="also score as many shorter runs")
    parser.add_argument("--seed", type=int, default=0, help="of the resampling behind the floor")
    parser.add_argument("--json", type=Path, help="write everything there")
    arguments = parser.parse_args()
    try:
        scores = score(arguments)
    except UniSimError as error:
        parser.exit(2, f"Error: {error}\n")
    print_summary(scores)
    if arguments.json is not None:
        files = {str(path): sha256_of_file(path) for path in arguments.trajectory}
        record = {**scores, "provenance": provenance(seed=arguments.seed, trajectories=files)}
        arguments.json.write_text(
            json.dumps(jsonable(record), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
