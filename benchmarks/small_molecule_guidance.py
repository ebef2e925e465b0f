r"""A test molecule, which no weights were trained on, in an environment that none saw: OBC2 with a pocket.

    python -W ignore benchmarks/small_molecule_guidance.py paracetamol --work runs/paracetamol_guidance \
        --json benchmarks/results/paracetamol_guidance.json --figure docs/figures/paracetamol_guidance.png

The base weights are `unified` (OBC2, 300 K). The environment is a pull on one torsion, as of a binding site that holds
one face of a ring: of two states, equal in OBC2, it prefers one by 3 kT (`CASES`). alpha comes from
`calibrate-guidance` on the reference MD in OBC2. Chains without and with guidance (`openmm`, `resample`) are
judged by MD *in that environment*: OBC2 and the pull, several walkers, flexible, 2 fs. The same command goes on with
what was begun. Errors of chains are jackknifes over them, as they are independent, those of MD over its walkers.
Kinetics aren't scored: guidance doesn't promise them.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm
import torch
from ala2_guidance import read_positions
from ala2_guidance_sources import Group, guided_jump
from numpy.typing import NDArray
from openmm import app, unit

from openmm_unisim.benchmark.transfer.free_run import FreeRun, run_freely
from openmm_unisim.cli.calibrate_guidance import calibrate_guidance
from openmm_unisim.data.environment_energy import ForceEnergy
from openmm_unisim.data.molecule_list import find_entry
from openmm_unisim.data.molecule_source import load_entry
from openmm_unisim.evaluation.estimators.distributions import (
    js_distance,
    same_size_floor,
    torsion_histogram,
    torsion_histogram_2d,
)
from openmm_unisim.evaluation.estimators.rotatable import RotatableTorsion, torsion_angles
from openmm_unisim.evaluation.estimators.validity import distant_heavy_pairs
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.pretrained.registry import FOLDER
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.system import Molecule, create_system
from openmm_unisim.units import BOLTZMANN

WEIGHTS = FOLDER / "unified" / "weights.safetensors"
KT = BOLTZMANN * 300.0
MD_STEP, MD_SPACING, MD_EQUILIBRATION = 0.002, 2.0, 150.0  # ps
LAG = 20.0  # ps
FES_BINS = 24
Frames = NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """A molecule, the torsion that is pulled and another one, and the pull.

    Attributes
    ----------
    pulled, other : RotatableTorsion
    names : tuple of str
        Of the two torsions, in the result.
    pull : str
        Energy of `theta`, the pulled torsion in radians, in kJ/mol.
    face : float
        Middle of the half circle of the pulled torsion that the pull prefers, degrees.
    """

    molecule: str
    pulled: RotatableTorsion
    other: RotatableTorsion
    names: tuple[str, str]
    pull: str
    face: float

    @property
    def torsions(self) -> list[RotatableTorsion]:
        """The pulled one, the other one."""
        return [self.pulled, self.other]

    def force(self) -> openmm.CustomTorsionForce:
        """The environment."""
        force = openmm.CustomTorsionForce(self.pull)
        force.addTorsion(*self.pulled.atoms, [])
        return force

    def system(self, molecule: Molecule) -> tuple[openmm.System, int]:
        """OBC2 and the pull, which has the returned force group."""
        system, force, group = create_system(molecule, "obc2"), self.force(), 5
        force.setForceGroup(group)
        system.addForce(force)
        return system, group

    def population(self, angles: NDArray[np.float64]) -> float:
        """Share of frames on the face that the pull prefers; `angles` of both torsions, (n, 2), degrees."""
        return float((np.cos(np.radians(angles[:, 0] - self.face)) > 0.0).mean())


CASES = {
    "aspirin": Case(
        "aspirin",
        RotatableTorsion("ester, C2-O2-C3-C4", (1, 3, 4, 5)),
        RotatableTorsion("acid, C3-C8-C9-O3", (4, 9, 10, 11)),
        ("ester", "acid"),
        "4*(1-cos(theta-1.31))",
        90.0,
    ),
    "paracetamol": Case(
        "paracetamol",
        RotatableTorsion("ring, C2-N1-C3-C4", (1, 3, 4, 5)),
        RotatableTorsion("hydroxyl, C5-C6-O2-H7", (6, 7, 8, 17)),
        ("ring", "hydroxyl"),
        "4*(1-cos(theta))",
        0.0,
    ),
}


def walker(case: Case, molecule: Molecule, start: Frames, seed: int, frames: int, path: Path) -> Frames:
    """MD in the environment, (frames, n_atoms, 3), nm; read if it is there."""
    if path.is_file():
        return np.load(path)
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, MD_STEP)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(molecule.topology, case.system(molecule)[0], integrator, platform)
    simulation.context.setPositions(start)
    simulation.context.setVelocitiesToTemperature(300.0, seed)
    simulation.step(round(MD_EQUILIBRATION / MD_STEP))
    found = []
    for _ in range(frames):
        simulation.step(round(MD_SPACING / MD_STEP))
        positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)
        found.append(positions.value_in_unit(unit.nanometer).astype(np.float32))
    np.save(path, np.array(found))
    return np.array(found)


class Angles:
    """Both torsions of chains or walkers.

    Attributes
    ----------
    values : ndarray, shape (n_chains, n_frames, 2), degrees
    """

    def __init__(self, case: Case, chains: Frames, topology: mdtraj.Topology) -> None:
        flat = torsion_angles(chains.reshape(-1, *chains.shape[2:]), topology, case.torsions)
        self.values = flat.reshape(*chains.shape[:2], 2)

    def without(self, chain: int) -> NDArray[np.float64]:
        """Torsions of the other chains, (n, 2)."""
        return np.delete(self.values, chain, axis=0).reshape(-1, 2)

    @property
    def flat(self) -> NDArray[np.float64]:
        """All of them, (n, 2)."""
        return self.values.reshape(-1, 2)


def distances(case: Case, angles: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, float]:
    """JS distances of single torsions and of both together."""
    (a, b), (c, d) = angles.T, target.T
    return {
        case.names[0]: js_distance(torsion_histogram(a), torsion_histogram(c)),
        case.names[1]: js_distance(torsion_histogram(b), torsion_histogram(d)),
        "both": js_distance(torsion_histogram_2d(a, b), torsion_histogram_2d(c, d)),
    }


def free_energy(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """-ln p of one torsion in bins, kT, the lowest being 0; infinite where nothing was."""
    counts = torsion_histogram(angles, FES_BINS)
    with np.errstate(divide="ignore"):
        return -np.log(counts / counts.max())


def jackknife(angles: Angles, figure: Callable[[NDArray[np.float64]], Any]) -> Any:
    """Standard error of a figure over independent chains."""
    count = len(angles.values)
    found = np.array([figure(angles.without(chain)) for chain in range(count)])
    return np.sqrt((count - 1) / count * ((found - found.mean(axis=0)) ** 2).sum(axis=0))


def figures(case: Case, angles: Angles, target: NDArray[np.float64]) -> dict[str, Any]:
    """What is reported of chains: distances to the target, population, free energies, with standard errors."""
    flat = angles.flat
    errors = jackknife(angles, lambda a: list(distances(case, a, target).values()))
    return {
        "chains": len(angles.values),
        "frames": len(flat),
        "js": distances(case, flat, target),
        "js_error": dict(zip((*case.names, "both"), errors)),
        "face": case.population(flat),
        "face_error": float(jackknife(angles, case.population)),
        **{f"fes_{name}_kT": free_energy(flat[:, k]) for k, name in enumerate(case.names)},
    }


def validity(frames: Frames, molecule: Molecule, reference: Frames) -> dict[str, Any]:
    """Broken frames: not finite, a bond 0.05 nm from MD's mean, heavy atoms nearer than 0.1 nm."""
    flat = frames.reshape(-1, *frames.shape[2:])
    finite = np.isfinite(flat).all(axis=(1, 2))
    first, second = np.array([bond[:2] for bond in molecule.bonds]).T
    lengths = lambda x: np.linalg.norm(x[:, first] - x[:, second], axis=-1)  # noqa: E731
    off = np.abs(lengths(flat[finite]) - lengths(reference).mean(axis=0)).max(axis=1) > 0.05
    pairs = distant_heavy_pairs(mdtraj.Topology.from_openmm(molecule.topology))
    near = (
        np.linalg.norm(flat[finite][:, pairs[:, 0]] - flat[finite][:, pairs[:, 1]], axis=-1).min(axis=1) < 0.1
    )
    return {
        "frames": len(flat),
        "nan": int((~finite).sum()),
        "bond": int(off.sum()),
        "clash": int(near.sum()),
        "valid": float((finite.sum() - (off | near).sum()) / len(flat)),
    }


def model_file(case: Case, work: Path, data: Path) -> Path:
    """`unified` with live guidance, its strength calibrated for the pocket; made once."""
    path, xml = work / "unified.unisim.pt", work / "pocket.xml"
    if not path.is_file():
        xml.write_text(openmm.XmlSerializer.serialize(case.force()), encoding="utf-8")
        plain = work / "plain.unisim.pt"
        export_conditioned(WEIGHTS, plain, source="openmm", lag_time=LAG)
        calibrate_guidance(str(plain), [str(data)], path, force=[xml], name="pocket")
    return path


def chains(
    case: Case, source: str, model: Path, starts: Frames, molecule: Molecule, arguments: argparse.Namespace
) -> FreeRun:
    """Chains of one source; read, or gone on with, if they are there."""
    system, group = case.system(molecule)
    identity = {
        "model": sha256_of_file(model),
        "source": source,
        "seed": arguments.seed,
        "copies": len(starts),
    }
    jump = guided_jump(model, molecule, Group(system, group), source)
    path = arguments.work / f"{source.replace(' ', '')}.npz"
    return run_freely(
        jump, starts, arguments.jumps, arguments.seed, path, identity,
        lambda done, total: print(f"\r{source}: {done} of {total}", end="", flush=True),
    )  # fmt: skip


def reweighted(
    case: Case, frames: Frames, topology: mdtraj.Topology, molecule: Molecule
) -> NDArray[np.float64]:
    """Torsions of frames from OBC2 alone, drawn with weights exp(-W/kT): (n, 2)."""
    weights = np.exp(-ForceEnergy(molecule, [case.force()])(frames) / KT)
    chosen = np.random.default_rng(0).choice(len(frames), 5000, p=weights / weights.sum())
    return torsion_angles(frames, topology, case.torsions)[chosen]


def compare(case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing, and sum up."""
    molecule = load_entry(find_entry(case.molecule), arguments.parameters)
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    own = read_positions(arguments.data, topology)
    model = model_file(case, arguments.work, arguments.data)
    first = own[np.linspace(0, len(own) - 1, arguments.walkers).astype(int)].astype(float)
    number = round(1000 * arguments.nanoseconds / MD_SPACING)
    judge = np.stack([
        walker(case, molecule, start, 300 + k, number, arguments.work / f"md{k}.npy") for k, start in enumerate(first)
    ])  # fmt: skip
    target = Angles(case, judge, topology)
    starts = own[np.linspace(0, len(own) - 1, arguments.copies).astype(int)].astype(float)
    counted = arguments.copies * (arguments.jumps - arguments.burn)
    floors = same_size_floor(
        *target.flat.T, counted, np.random.default_rng(0),
        stride=round(read_metadata(model).lag_time_ps / MD_SPACING), block_frames=arguments.jumps - arguments.burn,
    )  # fmt: skip
    floor = dict(zip((*case.names, "both"), (floors[key].as_dict() for key in ("phi", "psi", "phi_psi"))))
    bare = torsion_angles(own, topology, case.torsions)
    again = reweighted(case, own, topology, molecule)
    result: dict[str, Any] = {
        "alpha": read_metadata(model).guidance_alpha,
        "floor": floor,
        "md": {
            **figures(case, target, target.flat),
            "validity": validity(judge, molecule, judge.reshape(-1, *own.shape[1:])),
        },
        "md_without_pocket": {
            "js": distances(case, bare, target.flat),
            "face": case.population(bare),
            "frames": len(bare),
        },
        "md_reweighted": {"js": distances(case, again, target.flat), "face": case.population(again)},
        "sources": {},
    }
    for source in ("none", *arguments.sources):
        run = chains(case, source, model, starts, molecule, arguments)
        frames = run.frames[:, arguments.burn :]
        found = figures(case, Angles(case, np.nan_to_num(frames), topology), target.flat)
        found["validity"] = validity(frames, molecule, judge.reshape(-1, *own.shape[1:]))
        found["seconds_a_jump"] = run.seconds / run.frames.shape[0] / run.frames.shape[1]
        result["sources"][source] = found
        if source == "none":  # what the weights' own error is, and what the best guidance of them could reach
            flat = frames.reshape(-1, *frames.shape[2:])
            found["js_to_md_without_pocket"] = distances(
                case, torsion_angles(flat, topology, case.torsions), bare
            )
            again = reweighted(case, flat, topology, molecule)
            result["jumps_reweighted"] = {
                "js": distances(case, again, target.flat),
                "face": case.population(again),
            }
        add_excess(found, result["sources"]["none"], floor)
        print(f"\r{line(source, found)}", flush=True)
    return result


def add_excess(found: dict[str, Any], plain: dict[str, Any], floor: dict[str, Any]) -> None:
    """The share of the unguided distance over the floor that a source takes away, errors of both distances in it."""
    found["excess_removed"], found["excess_removed_error"] = {}, {}
    for key in floor:
        excess = plain["js"][key] - floor[key]["mean"]
        left = found["js"][key] - floor[key]["mean"]
        found["excess_removed"][key] = 1.0 - left / excess
        found["excess_removed_error"][key] = float(
            np.hypot(found["js_error"][key], plain["js_error"][key] * left / excess) / abs(excess)
        )


def line(name: str, found: dict[str, Any]) -> str:
    """One line of a table."""
    js = "  ".join(f"{key} {found['js'][key]:.3f} +- {found['js_error'][key]:.3f}" for key in found["js"])
    return f"{name:12s} JS {js}  face {found['face']:.3f} +- {found['face_error']:.3f}"


def draw(case: Case, result: dict[str, Any], path: Path) -> None:
    """Free energies of both torsions: MD, and chains without and with guidance."""
    from matplotlib import pyplot

    middle = (np.arange(FES_BINS) + 0.5) * 360.0 / FES_BINS - 180.0
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True, constrained_layout=True)
    curves = [("MD with the pull", result["md"], "black"), *zip(
        [f"jumps, {'no guidance' if name == 'none' else name}" for name in result["sources"]],
        result["sources"].values(), ("tab:grey", "tab:blue", "tab:orange", "tab:green"),
    )]  # fmt: skip
    for axis, key, title in zip(axes, case.names, (case.pulled.label, case.other.label)):
        for label, found, colour in curves:
            values = np.asarray(found[f"fes_{key}_kT"], dtype=float)
            axis.plot(
                middle, np.where(np.isfinite(values), values, np.nan), color=colour, label=label, marker="."
            )
        axis.set(xlabel=f"{title} / degrees", xlim=(-180, 180), ylim=(-0.2, 7))
    axes[0].set_ylabel("free energy / kT")
    axes[1].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("molecule", choices=sorted(CASES))
    parser.add_argument("--work", type=Path, required=True, help="folder of MD and chains")
    parser.add_argument("--data", type=Path, default=Path("benchmarks/references"), help="reference MD")
    parser.add_argument("--parameters", type=Path, default=Path("data/parameters"))
    parser.add_argument("--walkers", type=int, default=6, help="of MD in the environment")
    parser.add_argument("--nanoseconds", type=float, default=0.5, help="of each walker")
    parser.add_argument("--copies", type=int, default=32)
    parser.add_argument("--jumps", type=int, default=36)
    parser.add_argument("--burn", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--sources", nargs="*", default=["openmm", "resample 4"], help="none is always measured"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    arguments.work.mkdir(parents=True, exist_ok=True)
    case = CASES[arguments.molecule]
    arguments.data = arguments.data / f"{case.molecule}.obc2.h5"
    result = compare(case, arguments)
    settings = {key: value for key, value in vars(arguments).items() if isinstance(value, int | float | list)}
    result |= {
        "molecule": case.molecule, "environment": f"OBC2 and {case.pull} kJ/mol on {case.pulled.label}",
        "settings": settings,
        "provenance": provenance(
            seed=arguments.seed, weights=sha256_of_file(WEIGHTS), data=sha256_of_file(arguments.data)
        ),
    }  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(jsonable(result), indent=1) + "\n", encoding="utf-8")
    if arguments.figure:
        draw(case, result, arguments.figure)


if __name__ == "__main__":
    main()
