"""Run folders for tests: rigid alanine dipeptide turned to given torsions, in the form `simulate` writes."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from openmm_unisim.evaluation.reference import REFERENCE_FOLDER, shipped_reference
from openmm_unisim.evaluation.trajectories import load_topology

PDB = REFERENCE_FOLDER / "ala2_obc2.pdb"
LAG_TIME_PS = 20.0
# axis (from, to) and the atoms on the far side of it, in the atom order of ala2_obc2.pdb
_PHI = ((6, 8), [9, *range(10, 22)])
_PSI = ((8, 10), [11, *range(16, 22)])


def turn(
    positions: NDArray[Any], axis: tuple[int, int], atoms: list[int], degrees: NDArray[Any]
) -> NDArray[Any]:
    """Rotate `atoms` about the bond `axis` by an angle for each frame (Rodrigues); (n_frames, n_atoms, 3)."""
    origin = positions[:, axis[0]][:, None]
    direction = positions[:, axis[1]][:, None] - origin
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    arm = positions[:, atoms] - origin
    angle = np.radians(degrees)[:, None, None]
    along = direction * np.sum(direction * arm, axis=-1, keepdims=True)
    turned = arm * np.cos(angle) + np.cross(direction, arm) * np.sin(angle) + along * (1 - np.cos(angle))
    result = positions.copy()
    result[:, atoms] = turned + origin
    return result


def dipeptide(phi: NDArray[Any], psi: NDArray[Any]) -> NDArray[np.float32]:
    """Positions (n_frames, 22, 3) nm with these torsions (degrees) and the PDB file's bond lengths."""
    topology, structure = load_topology(PDB)
    start = mdtraj.Trajectory(structure[None], topology)
    first = np.degrees([mdtraj.compute_phi(start)[1][0, 0], mdtraj.compute_psi(start)[1][0, 0]])
    frames = np.repeat(structure[None].astype(np.float64), len(phi), axis=0)
    frames = turn(frames, *_PHI, np.asarray(phi) - first[0])
    return turn(frames, *_PSI, np.asarray(psi) - first[1]).astype(np.float32)


def reference_run(n_jumps: int) -> NDArray[np.float32]:
    """A run whose torsions are every second frame of the shipped MD: what a perfect model would give."""
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    assert reference is not None
    residue = reference.torsions[0]
    return dipeptide(residue.phi[: 2 * n_jumps : 2], residue.psi[: 2 * n_jumps : 2])


def run_record(n_jumps: int, **changes: Any) -> dict[str, Any]:
    """run.json of a finished run."""
    metadata = {
        "lag_time_ps": LAG_TIME_PS,
        "environment": "obc2",
        "constraints": "none",
        "force_field": "amber14/protein.ff14SB.xml",
    }
    record = {
        "format": 1,
        "status": "finished",
        "settings": {
            "environment": "obc2",
            "temperature_K": 300.0,
            "jumps": n_jumps,
            "seed": 7,
            "substeps": 20,
        }
        | {"platform": "Reference", "policy": "reject"},
        "molecule": {"name": "ACE-ALA-NME", "n_atoms": 22},
        "model": {"name": "ala2", "path": "ala2.unisim.pt", "sha256": "0" * 64, "metadata": metadata},
        "lag_time_ps": LAG_TIME_PS,
        "md": {"run_well": {"ns_per_day": 500.0, "platform": "Reference", "time_step_fs": 4.0}},
        "jumps": {"done": n_jumps},
        "warnings": [],
        "provenance": {"commit": "test"},
    }
    return record | changes


def jump_rows(n_jumps: int, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of jumps.csv of a run without faults, 0.05 s a jump."""
    energies = generator.normal(-68.0, 13.6, n_jumps)
    return [
        {
            "jump": index + 1,
            "time_ps": (index + 1) * LAG_TIME_PS,
            "potential_energy_kj_mol": energies[index],
            "accepted": 1,
            "log_acceptance": float("nan"),
            "max_bond_deviation_nm": 0.009,
            "chirality_flips": 0,
            "clashes": 0,
            "nan": 0,
            "wall_s": 0.05,
        }
        for index in range(n_jumps)
    ]


def write_run(
    folder: Path, positions: NDArray[Any], rows: list[dict[str, Any]], record: dict[str, Any], pdb: Path = PDB
) -> Path:
    """Write the four files of a run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(pdb, folder / "topology.pdb")
    topology, _ = load_topology(pdb)
    times = LAG_TIME_PS * np.arange(1, len(positions) + 1)
    mdtraj.Trajectory(positions, topology, time=times).save_xtc(str(folder / "trajectory.xtc"))
    with open(folder / "jumps.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder
