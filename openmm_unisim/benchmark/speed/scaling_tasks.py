"""What the worker does for `benchmark scaling`: one size in a process of its own, whose peak memory is that size's."""

import resource
import sys
import time
from pathlib import Path
from typing import Any

from openmm import app, unit

from ...system import Molecule, create_system, get_platform, load_molecule

__all__ = ["jump_protein", "profile_step", "time_step", "write_structure"]

T, T_NEXT = 0.3, 0.4  # of the substep that is timed


def peak_memory() -> float:
    """Largest resident set of this process so far, MiB.

    On Linux from /proc: what `getrusage` says there begins with the memory of the process that started this one.
    """
    if sys.platform.startswith("linux"):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def _prepare(task: dict[str, Any]) -> Molecule:
    import torch

    torch.set_num_threads(task["threads"])
    torch.set_flush_denormal(True)
    return load_molecule(task["structure"])


def _arguments(molecule: Molecule, bonds: bool) -> dict[str, Any]:
    """State of one copy in the middle of a jump, and noise."""
    import torch

    positions = torch.from_numpy(molecule.positions - molecule.positions.mean(0)).float().unsqueeze(0)
    none = torch.zeros(0)
    return {
        "positions": positions, "initial_positions": positions,
        "atomic_numbers": torch.from_numpy(molecule.atomic_numbers),
        "bonds": torch.from_numpy(molecule.bonds) if bonds else torch.zeros(0, 2, dtype=torch.int64),
        "t": torch.tensor([T], dtype=torch.float64), "t_next": torch.tensor([T_NEXT], dtype=torch.float64),
        "kT": 2.494, "forces": none, "guidance_scale": 0.0, "box_vectors": none,
        "noise": torch.randn(positions.shape, generator=torch.Generator().manual_seed(1)),
    }  # fmt: skip


def time_step(task: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of a network evaluation (`drift`) and of a whole `step`, and the same of a second size in turn.

    Reads `structure, model, repeats, threads` and `beside`, the structure of the size that ratios refer to, or None.
    Peak memory is taken before the second size is loaded.
    """
    import torch

    from ...export.loader import argument_names, load_model_file
    from .side_by_side import compare

    molecule = _prepare(task)
    loaded, metadata = load_model_file(task["model"])
    module: Any = loaded

    def calls(own: Molecule, name: str) -> dict[str, Any]:
        given = _arguments(own, metadata.needs_bonds)
        asked = {key: given[key] for key in argument_names(module.drift)}
        return {
            f"evaluation{name}": lambda: module.drift(**asked),
            f"step{name}": lambda: module.step(**given),
        }

    own = calls(molecule, "")
    with torch.no_grad():
        for _ in range(3):  # TorchScript compiles in the first two calls
            own["step"]()
        peak = peak_memory()
        other = load_molecule(task["beside"]) if task["beside"] else None
        beside = {} if other is None else calls(other, " beside")
        figures = compare({**own, **beside}, task["repeats"], 2)
    return {
        "n_atoms": len(molecule.positions), "n_atoms_beside": 0 if other is None else len(other.positions),
        "peak_memory_MiB": peak, "figures": figures,
    }  # fmt: skip


def profile_step(task: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of the parts of a step of the packed network, eager; and edges of an atom.

    Reads `structure, repeats, threads`. A part's time is its median over the repeats; `rest` holds geometry of the
    edges, last normalisation, noise and density.
    """
    import torch

    from ...export.published import random_jump

    molecule = _prepare(task)
    jump = random_jump()
    given = _arguments(molecule, bonds=False)
    spent: dict[str, list[float]] = {}
    encoder: Any = jump.field.encoder
    named = [("neighbour list", jump.search), ("embedding", encoder.embedding)]
    named += [("attention layers", layer) for layer in encoder.layers]
    named += [("heads", head) for head in (jump.field.velocity_head, jump.field.denoiser_head)]
    for name, module in named:
        _time_calls(module, spent.setdefault(name, []))
    whole = []
    with torch.no_grad():
        for _ in range(task["repeats"] + 1):
            began = time.process_time()
            jump.step(**given)
            whole.append(1000 * (time.process_time() - began))
        z_index = jump.element_index(given["atomic_numbers"])
        table = jump.search(10.0 * given["positions"][0], torch.zeros_like(z_index), z_index)
    edges = int(table.mask.sum())
    parts = {name: _median_of_rounds(times, task["repeats"] + 1) for name, times in spent.items()}
    step = sorted(whole[1:])[len(whole[1:]) // 2]
    parts["rest"] = max(0.0, step - sum(parts.values()))
    return {
        "n_atoms": len(z_index), "milliseconds": parts, "step_milliseconds": step,
        "edges_per_atom": edges / len(z_index), "slots": int(table.index.size(1)),
    }  # fmt: skip


def _time_calls(module: Any, times: list[float]) -> None:
    """Append the processor time of each call of a module to `times`, ms."""
    began: list[float] = []
    module.register_forward_pre_hook(lambda *_: began.append(time.process_time()))
    module.register_forward_hook(lambda *_: times.append(1000 * (time.process_time() - began.pop())))


def _median_of_rounds(times: list[float], rounds: int) -> float:
    """Of the sums over each round but the first."""
    each = len(times) // rounds
    sums = sorted(sum(times[k * each : (k + 1) * each]) for k in range(1, rounds))
    return sums[len(sums) // 2]


def jump_protein(task: dict[str, Any]) -> dict[str, Any]:
    """Jumps of `UniSimIntegrator` in an ordinary Simulation with ff14SB in vacuum.

    Reads `structure, model, platform, threads, substeps, repeats`.
    """
    import numpy as np

    from ...integrator import UniSimIntegrator

    began = time.process_time()
    molecule = _prepare(task)
    system = create_system(molecule, "vacuum")
    integrator = UniSimIntegrator(
        task["model"], molecule.topology, 300 * unit.kelvin, task["substeps"], randomNumberSeed=1
    )
    platform = get_platform(task["platform"])
    simulation = app.Simulation(molecule.topology, system, integrator, platform)
    simulation.context.setPositions(molecule.positions)
    set_up = time.process_time() - began
    spent = []
    for _ in range(task["repeats"]):
        began = time.process_time()
        simulation.step(1)
        spent.append(time.process_time() - began)
    state = simulation.context.getState(positions=True)
    positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    moved = np.sqrt(((positions - molecule.positions) ** 2).sum(1).mean())
    return {
        "n_atoms": len(molecule.positions), "platform": task["platform"], "substeps": task["substeps"],
        "set_up_s": set_up, "jump_s": sorted(spent)[len(spent) // 2], "finite": bool(np.isfinite(positions).all()),
        "accepted": integrator.getNumAccepted(), "not_finite": integrator.getNumNaN(), "rms_moved_nm": float(moved),
        "peak_memory_MiB": peak_memory(),
    }  # fmt: skip


def write_structure(molecule: Molecule, path: Path) -> None:
    """A PDB file that `load_molecule` reads in the worker."""
    with path.open("w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
