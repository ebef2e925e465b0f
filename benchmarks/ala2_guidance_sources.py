r"""What each source of guidance does to the torsions of alanine dipeptide, and what it costs.

    python benchmarks/ala2_guidance_sources.py --target ../shared/reference/ala2_obc2.npz \
        --starts raw/vacuum/ACE-A-NME.vacuum.300K.seed3.h5 --json benchmarks/results/ala2_guidance_sources.json

The vacuum weights are guided to OBC2, whose MD is the target, and to vacuum with a restraint on psi, whose target is
the vacuum MD of the starts' file reweighted by exp(-beta W). `excess removed` is the share of the unguided distance to
the target, less the floor of as many MD frames, that guidance takes away. The cost is processor time a jump over that
of the unguided jumps of the same run, the environment's forces and energies included. Sizes are those of some ten
minutes on one core; nothing is rejected but NaN. Kinetics aren't scored: guidance doesn't promise them.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm
import torch
from ala2_guidance import figures, read_positions, torsions
from numpy.typing import NDArray

from openmm_unisim.data.environment_energy import ForceEnergy
from openmm_unisim.data.stretches import read_stretches
from openmm_unisim.evaluation.estimators.distributions import same_size_floor
from openmm_unisim.evaluation.estimators.validity import check_trajectory, force_field_bond_lengths
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.export.change import change_metadata
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.interpolant.tilt import calibrated_alpha
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.guidance import Resampling
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import SOLVENT_FORCE_GROUP, Molecule, create_system, load_molecule
from openmm_unisim.units import BOLTZMANN

SHIPPED = Path(__file__).resolve().parents[1] / "openmm_unisim" / "pretrained"
WEIGHTS = SHIPPED / "ala2-vacuum" / "weights.safetensors"
KERNEL = SHIPPED / "ala2-vacuum-to-obc2" / "weights.safetensors"
SOURCES = ("none", "learned", "openmm", "openmm+residual", "resample 4", "resample 16")
RESTRAINT = "10*(1-cos(theta+0.35))"  # kJ/mol, psi toward -20 degrees
Frames = NDArray[np.float64]


class Group:
    """One force group of a System: forces and energies of frames."""

    def __init__(self, system: openmm.System, group: int) -> None:
        platform = openmm.Platform.getPlatformByName("Reference")
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
        self._groups = {group}

    def forces(self, frames: Frames) -> Frames:
        """(m, n_atoms, 3) nm to (m, n_atoms, 3) kJ/mol/nm."""
        return np.array([self._state(x, forces=True).getForces(asNumpy=True)._value for x in frames])

    def energy(self, frames: Frames) -> Frames:
        """(m, n_atoms, 3) nm to (m,) kJ/mol."""
        return np.array([self._state(x, energy=True).getPotentialEnergy()._value for x in frames])

    def _state(self, frame: Frames, **wanted: bool) -> openmm.State:
        self._context.setPositions(frame)
        return self._context.getState(groups=self._groups, **wanted)


@dataclass
class Task:
    """One environment to be guided to."""

    name: str
    model: Path
    group: Group
    target: tuple[NDArray[np.floating], NDArray[np.floating]]
    sources: tuple[str, ...]


def restraint(topology: mdtraj.Topology) -> openmm.CustomTorsionForce:
    """A pull on psi."""
    force = openmm.CustomTorsionForce(RESTRAINT)
    places = {(a.residue.name, a.name): a.index for a in topology.atoms}
    force.addTorsion(*(places[key] for key in (("ALA", "N"), ("ALA", "CA"), ("ALA", "C"), ("NME", "N"))), [])
    return force


def lagged(path: Path, lag: float, energy: Callable[[Frames], Frames]) -> float:
    """alpha of an energy, from pairs a lag apart."""
    starts, ends = [], []
    for stretch in read_stretches(path):
        eps = torch.from_numpy(energy(stretch.positions)) / (BOLTZMANN * 300.0)
        shift = round(lag / float(stretch.attributes["frame_spacing_ps"]))
        starts.append(eps[:-shift])
        ends.append(eps[shift:])
    return calibrated_alpha(torch.cat(starts), torch.cat(ends))


def tasks(arguments: argparse.Namespace, folder: Path, topology: mdtraj.Topology) -> list[Task]:
    """OBC2, and vacuum with a restraint."""
    molecule = load_molecule("ACE-ALA-NME")
    solvent, restrained = folder / "obc2.unisim.pt", folder / "restraint.unisim.pt"
    export_conditioned(WEIGHTS, solvent, guidance=KERNEL, source="openmm+residual")
    export_conditioned(WEIGHTS, restrained, source="openmm")
    force = restraint(topology)
    energy = ForceEnergy(molecule, [force])
    alpha = lagged(arguments.starts, read_metadata(restrained).lag_time_ps, energy)
    change_metadata(restrained, restrained, {"guidance_alpha": alpha, "guidance_environment": "restraint"})
    own = read_positions(arguments.starts, topology)
    weights = np.exp(-energy(own) / (BOLTZMANN * 300.0))
    chosen = np.random.default_rng(0).choice(len(own), 20_000, p=weights / weights.sum())
    phi, psi = torsions(own, topology)
    force.setForceGroup(5)
    system = create_system(molecule, "vacuum")
    system.addForce(force)
    target = torsions(read_positions(arguments.target, topology), topology)
    obc2 = Group(create_system(molecule, "obc2"), SOLVENT_FORCE_GROUP)
    unlearned = tuple(name for name in SOURCES if name not in ("learned", "openmm+residual"))
    return [
        Task("obc2", solvent, obc2, target, SOURCES),
        Task("restraint on psi", restrained, Group(system, 5), (phi[chosen], psi[chosen]), unlearned),
    ]


def guided_jump(model: Path, molecule: Molecule, group: Group, source: str) -> ReferenceJump:
    """A jump of a molecule with a source of guidance; "resample 8" is that of eight candidates."""
    name, _, number = source.partition(" ")
    return ReferenceJump(
        model, atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds, guidance_source=name,
        forces=group.forces, resampling=Resampling(group.energy, int(number)) if number else None,
    )  # fmt: skip


def measure(task: Task, source: str, starts: Frames, arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of chains with one source."""
    molecule = load_molecule("ACE-ALA-NME")
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    jump = guided_jump(task.model, molecule, task.group, source)
    chain = JumpChain(jump, starts, arguments.seed)
    began = time.process_time()
    frames = np.concatenate([f.positions for f in chain.run(arguments.jumps) if f.step > arguments.burn])
    seconds = time.process_time() - began
    validity = check_trajectory(frames, topology, molecule.positions, force_field_bond_lengths(topology))
    found = figures(*torsions(frames, topology), task.target)
    cost = seconds / (arguments.copies * arguments.jumps)
    return found | {
        "source": source,
        "nan": chain.nan,
        "seconds_a_jump": cost,
        "validity": validity.as_dict(),
    }


def compare(task: Task, starts: Frames, arguments: argparse.Namespace, save: Callable[[], None],
            results: dict[str, Any]) -> None:  # fmt: skip
    """All sources of one environment; each is saved as it is done."""
    count = arguments.copies * (arguments.jumps - arguments.burn)
    floor = same_size_floor(*task.target, count, np.random.default_rng(0))["phi_psi"]
    results |= {
        "alpha": read_metadata(task.model).guidance_alpha, "target": figures(*task.target, task.target),
        "floor": floor.as_dict(), "sources": [],
    }  # fmt: skip
    print(f"{task.name}: helix {results['target']['helix']:.3f}, floor of {count} frames {floor.mean:.3f}")
    for source in task.sources:
        if source != "none" and source not in arguments.sources:
            continue
        found = measure(task, source, starts, arguments)
        results["sources"].append(found)
        plain = results["sources"][0]
        excess = plain["js"]["phi_psi"] - floor.mean
        found["excess_removed"] = (plain["js"]["phi_psi"] - found["js"]["phi_psi"]) / excess
        found["cost"] = found["seconds_a_jump"] / plain["seconds_a_jump"]
        print(
            f"  {source:16s} JS {found['js']['phi_psi']:.3f}  excess removed {found['excess_removed']:.2f}  "
            f"helix {found['helix']:.3f}  explosions {found['validity']['explosions']}  cost {found['cost']:.1f}",
            flush=True,
        )
        save()


def main() -> None:
    """Measure every source in both environments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", type=Path, required=True, help="MD in OBC2")
    parser.add_argument("--starts", type=Path, required=True, help="MD in vacuum, one of our HDF5 files")
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--jumps", type=int, default=24)
    parser.add_argument("--burn", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--environments", nargs="+", default=["obc2", "restraint on psi"])
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), help="none is always measured first")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    topology = mdtraj.Topology.from_openmm(load_molecule("ACE-ALA-NME").topology)
    own = read_positions(arguments.starts, topology)
    starts = own[np.linspace(0, len(own) - 1, arguments.copies).astype(int)].astype(float)
    results: dict[str, Any] = {
        "provenance": provenance(
            seed=arguments.seed, weights=sha256_of_file(WEIGHTS), kernel=sha256_of_file(KERNEL),
            target=sha256_of_file(arguments.target), starts=sha256_of_file(arguments.starts),
        ),
        "settings": {"copies": arguments.copies, "jumps": arguments.jumps, "burn": arguments.burn},
        "restraint": RESTRAINT,
        "environments": {},
    }  # fmt: skip

    def save() -> None:
        if arguments.json:
            arguments.json.write_text(json.dumps(jsonable(results), indent=1), encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        for task in tasks(arguments, Path(folder), topology):
            if task.name not in arguments.environments:
                continue
            compare(task, starts, arguments, save, results["environments"].setdefault(task.name, {}))


if __name__ == "__main__":
    main()
