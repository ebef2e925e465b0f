r"""What ala2's figures depend on: the scale of the noise, and the temperature.

    python benchmarks/ala2_sensitivity.py noise raw/ACE-A-NME.obc2.300K.seed8.h5
    python benchmarks/ala2_sensitivity.py temperature --trajectory runs/ala2_1us

noise        Free jumps with every normal number multiplied by a factor, started from held-out MD frames. A model
             whose step law is right has its best energy and distribution at 1.
temperature  The model knows 300 K only (the integrator refuses another temperature). How wrong is it elsewhere? MD at
             several temperatures beside MD at 300 K and beside the model's trajectory at 300 K.

Calls and grid: benchmarks/ala2_grids.py. benchmarks/tables.py makes the tables of docs/results.md from both.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm
import torch
from ala2_grids import energy_terms
from openmm import unit

from openmm_unisim.data import trajectory_file
from openmm_unisim.evaluation.estimators.distributions import same_size_floor, torsion_js_distances
from openmm_unisim.evaluation.estimators.features import ResidueTorsions, backbone_torsions
from openmm_unisim.evaluation.estimators.kinetics import assign_basin, population
from openmm_unisim.evaluation.estimators.validity import check_trajectory, force_field_bond_lengths
from openmm_unisim.evaluation.reference import (
    TorsionReference,
    read_compact_reference,
    shipped_reference,
    write_compact_reference,
)
from openmm_unisim.evaluation.run.score import score_ala2
from openmm_unisim.evaluation.trajectories import load_topology, load_trajectory
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.pretrained.registry import resolve_model
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.simulation.relaxation import MDProtocol, start_md, step_md
from openmm_unisim.system import Molecule, load_molecule
from openmm_unisim.units import BOLTZMANN

RESULTS = Path(__file__).resolve().parent / "results"
SCALES = (0.90, 0.95, 1.0, 1.05, 1.10)
TEMPERATURES = (280.0, 300.0, 320.0, 350.0)
FRAME_PS = 2.0


class ScaledNoiseChain(JumpChain):
    """Jumps whose normal numbers are multiplied by a factor."""

    scale = 1.0

    def _noise(self) -> np.ndarray:
        return self.scale * super()._noise()


def reference_torsions() -> ResidueTorsions:
    """phi and psi of the shipped 300 ns."""
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    assert reference is not None
    return reference.torsions[0]


def noise_row(
    scale: float, jump: ReferenceJump, starts: np.ndarray, jumps: int, molecule: Molecule, md_energy: float
) -> list:
    """One row: scale, JS, populations, P(stay), energy, validity."""
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    chain = ScaledNoiseChain(jump, starts, 1)
    chain.scale = scale
    frames = np.stack([starts] + [frame.positions for frame in chain.run(jumps)], 1)
    angles = backbone_torsions(frames.reshape(-1, *frames.shape[2:]), topology)[0]
    phi, psi = (a.reshape(frames.shape[:2]) for a in (angles.phi, angles.psi))
    judge = reference_torsions()
    score = score_ala2(
        phi[:, 1:], psi[:, 1:], judge.phi, judge.psi, jump_psi=(psi[:, :-1].ravel(), psi[:, 1:].ravel()),
        generator=np.random.default_rng(0),
    )  # fmt: skip
    flat = frames[:, 1:].reshape(-1, *frames.shape[2:])
    validity = check_trajectory(flat, topology, molecule.positions, force_field_bond_lengths(topology))
    energy = float(np.median(energy_terms(molecule, flat)["all"]))
    floor = score["js_floor"]["phi_psi"]
    return [
        f"{scale:.2f}", f"{score['js']['phi_psi']:.3f}", f"{floor['mean']:.3f} ± {floor['std']:.3f}",
        *(f"{score['model'][key]['value']:.3f} ± {score['model'][key]['standard_error']:.3f}"
          for key in ("population_alpha", "stay_alpha", "stay_beta")),
        f"{(energy - md_energy) / (BOLTZMANN * 300.0):+.1f}", f"{validity.explosions} / {chain.nan}",
        str(validity.frames_chirality_flipped),
    ]  # fmt: skip


def noise(arguments: argparse.Namespace) -> dict[str, Any]:
    """Rows over the scale of the noise."""
    molecule = load_molecule("ACE-ALA-NME")
    path = resolve_model(arguments.model)
    jump = ReferenceJump(path, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds)
    walker = trajectory_file.read(arguments.walker)
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    # the reference never visits phi > 0, where hot starts may have left walkers
    common = np.flatnonzero(backbone_torsions(walker.positions, topology)[0].phi < 0)
    md = energy_terms(molecule, walker.positions[common[:: max(1, len(common) // 2000)]].astype(float))["all"]
    picked = common[np.linspace(0, len(common) - 1, arguments.copies).astype(int)]
    starts = walker.positions[picked].astype(float)
    rows = []
    for scale in SCALES:
        rows.append(noise_row(scale, jump, starts, arguments.jumps, molecule, float(np.median(md))))
        print(*rows[-1], sep="  ", flush=True)
    columns = [
        "noise", "JS φ/ψ", "MD floor", "α population (MD .404)", "P(stay α) (MD .671)", "P(stay β) (MD .778)",
        "median U − MD (kT)", "explosions / NaN", "flips",
    ]  # fmt: skip
    return {"columns": columns, "rows": rows, "model_sha256": sha256_of_file(path)}


def sample_md(molecule: Molecule, temperature: float, nanoseconds: float) -> ResidueTorsions:
    """phi and psi of MD run well, a frame every `FRAME_PS` after 100 ps."""
    protocol = MDProtocol.run_well("obc2", temperature)
    context = start_md(molecule, protocol, molecule.positions, "Reference", 1)
    openmm.LocalEnergyMinimizer.minimize(context)
    context.setVelocitiesToTemperature(temperature * unit.kelvin, 1)
    step_md(context, round(100_000 / protocol.time_step_fs))
    steps = round(1000 * FRAME_PS / protocol.time_step_fs)
    frames = np.empty((round(nanoseconds * 1000 / FRAME_PS), len(molecule.positions), 3), dtype=np.float32)
    for frame in frames:
        step_md(context, steps)
        frame[:] = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return backbone_torsions(frames, mdtraj.Topology.from_openmm(molecule.topology))[0]


def kept_md(
    molecule: Molecule, temperature: float, nanoseconds: float, folder: Path | None
) -> ResidueTorsions:
    """`sample_md`, or what was kept of it in `folder`."""
    if folder is None:
        return sample_md(molecule, temperature, nanoseconds)
    path = folder / f"md_{temperature:g}K_{nanoseconds:g}ns.npz"
    if not path.exists():
        found = sample_md(molecule, temperature, nanoseconds)
        folder.mkdir(parents=True, exist_ok=True)
        write_compact_reference(path, TorsionReference(path.stem, [found], FRAME_PS))
        print(f"{temperature:g} K sampled", flush=True)
    return read_compact_reference(path).torsions[0]


def temperature(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Rows over the temperature of MD; None without a trajectory to compare with (the MD is kept)."""
    molecule = load_molecule("ACE-ALA-NME")
    sampled = {
        kelvin: kept_md(molecule, kelvin, arguments.nanoseconds, arguments.keep) for kelvin in TEMPERATURES
    }
    if arguments.trajectory is None:
        return None
    atoms, _ = load_topology(arguments.trajectory / "topology.pdb")
    model = backbone_torsions(
        load_trajectory(arguments.trajectory / "trajectory.xtc", atoms).positions, atoms
    )[0]
    judge = reference_torsions()
    n_frames = round(arguments.nanoseconds * 1000 / FRAME_PS)
    # blocks of 1 ns; the reference's frames are 10 ps apart, five times further than those of this MD
    floor = same_size_floor(judge.phi, judge.psi, n_frames // 5, np.random.default_rng(0), block_frames=100)[
        "phi_psi"
    ]
    rows = []
    for kelvin, md in sampled.items():
        alpha = population(assign_basin(md.psi) == 0)
        assert alpha is not None
        to_judge = torsion_js_distances(md.phi[::5], md.psi[::5], judge.phi, judge.psi)["phi_psi"]
        to_model = torsion_js_distances(md.phi[::5], md.psi[::5], model.phi, model.psi)["phi_psi"]
        rows.append([
            f"{kelvin:g}", f"{alpha['value']:.3f} ± {alpha['standard_error']:.3f}", f"{np.mean(md.phi >= 0):.4f}",
            f"{to_judge:.3f}", f"{to_model:.3f}", f"{floor.mean:.3f} ± {floor.std:.3f}",
        ])  # fmt: skip
        print(*rows[-1], sep="  ", flush=True)
    columns = [
        "MD at (K)", "α population", "φ ≥ 0", "JS φ/ψ to 300 ns of MD at 300 K", "JS φ/ψ to ala2 at 300 K",
        "floor (MD at 300 K of this length)",
    ]  # fmt: skip
    return {
        "columns": columns,
        "rows": rows,
        "trajectory": str(arguments.trajectory),
        "nanoseconds": arguments.nanoseconds,
    }


def main() -> None:
    """Measure one of both and write its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("noise")
    first.add_argument("walker", type=Path, help="held-out MD: starts and energies")
    first.add_argument("--model", default="ala2")
    first.add_argument("--copies", type=int, default=50)
    first.add_argument("--jumps", type=int, default=40)
    second = commands.add_parser("temperature")
    second.add_argument("--trajectory", type=Path, help="run folder of ala2; without it MD is made and kept")
    second.add_argument("--keep", type=Path, help="folder for the torsions of the MD, read if there")
    second.add_argument("--nanoseconds", type=float, default=20.0, help="of MD at each temperature")
    for command in (first, second):
        command.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    record = {"noise": noise, "temperature": temperature}[arguments.command](arguments)
    if record is None:
        return
    record["provenance"] = provenance(seed=1)
    path = arguments.json or RESULTS / f"ala2_sensitivity_{arguments.command}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
