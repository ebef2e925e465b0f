"""What a subgraph of a large molecule errs and costs. Writes subgraph_errors.json and subgraph_costs.json.

    python benchmarks/subgraph.py
    python benchmarks/subgraph.py --weights runs/mine/run.safetensors --centres 12

The molecule is the first 1,196 atoms of human mTOR (PDB entry 4JSV, which pdbfixer ships), its pairs 20 ps of vacuum
MD apart. Data, and weights of a short training on it (those of a molecule of other density would be far off), are made
once and kept in --data. Errors are those of a cut against the whole molecule with the same weights, over the gradient
region of 8 angstrom, for growing environments; 20 angstrom is the published one. Costs are those of a training step by
the operators, each in a process of its own: peak memory, processor time, atoms in the loss. 15 minutes of one core.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from openmm import app, unit
from torch import Generator, Tensor

from openmm_unisim.benchmark.speed.scaling_systems import molecule_of_size
from openmm_unisim.benchmark.speed.scaling_tasks import peak_memory
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.data.pairs import Pair, PairSampler, PairSource
from openmm_unisim.data.subgraph import cut
from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.interpolant.bridge import interpolate, output_scale, skip_scale
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.conditioned import ConditionedConfig, ConditionedField, rigid_shift
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.fused import use_fused
from openmm_unisim.model.neighbour_search import NeighbourSearch
from openmm_unisim.model.pair_field import PairField
from openmm_unisim.model.receptive_field import receptive_field
from openmm_unisim.model.vector_field import VectorField
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.losses import end_point_error
from openmm_unisim.training.run_state import read_run, start_from
from openmm_unisim.training.subgraph import SubgraphCutter, subgraph_loss
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
ENVIRONMENT_RADIUS, GRADIENT_RADIUS = 20.0, 8.0  # published
RADII = (8.0, 12.0, 16.0, 20.0, 24.0)
TIMES = (0.02, 0.3, 0.9)
LAG = 20.0
COSTS = ((1200, "whole"), (1200, "cut"), (2500, "whole"), (2500, "cut"), (5000, "whole"), (5000, "cut"))


def make_data(folder: Path) -> Path:
    """The protein's pairs: 30 frames, 1 ps apart."""
    path, structure = folder / "protein.h5", folder / "protein.pdb"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        molecule = molecule_of_size(1200)
        with structure.open("w") as stream:
            app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
        settings = {"frame_spacing": 1.0, "scramble_time": 0.0, "equilibration_time": 10.0, "block": 10}
        generate(GenerateConfig(str(structure), "vacuum", nanoseconds=0.03, **settings), path)
    return path


def train(data: Path, folder: Path, steps: int) -> Path:
    """The conditioned field at its default size, on whole copies of the molecule; goes on where it was left."""
    config = VectorFieldConfig(
        lag_time=LAG, train_files=[str(data)], steps=steps, warmup=20, subgraph_atoms=0, unlisted=True
    )
    trainer = Trainer(VectorFieldStage, config, folder)
    while trainer.step < steps:
        loss = trainer.train_step()
        if trainer.step % 10 == 0 or trainer.step == steps:
            trainer.save()
            print(f"step {trainer.step}: loss {loss:.3f}", flush=True)
    return trainer.state_path


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm."""
    return float((found - expected).norm() / expected.norm())


def gradient_of(loss: Tensor, module: torch.nn.Module) -> Tensor:
    """All derivatives in one array."""
    found = torch.autograd.grad(loss, list(module.parameters()), materialize_grads=True)
    return torch.cat([x.flatten() for x in found])


class Samples:
    """Pairs, times, noise and centres that every network is tried on."""

    def __init__(self, data: Path, count: int) -> None:
        source = PairSource.load([data])
        self.z, self.bonds = torch.tensor(vocabulary_lookup())[source.atomic_numbers], source.bonds
        self.atoms = len(self.z)
        adjacency = adjacency_matrix(self.bonds, self.atoms)
        self.known = (self.z, adjacency, bond_distance(adjacency))
        generator = Generator().manual_seed(1)
        self.samples: list[tuple[Pair, Tensor, Tensor, int]] = []
        for k in range(count):
            pair = PairSampler(source, LAG).draw(1, generator)
            noise = torch.randn(pair.start.shape, generator=generator)
            centre = int(torch.randint(self.atoms, (), generator=generator))
            self.samples.append((pair, torch.tensor([TIMES[k % len(TIMES)]]), noise, centre))

    def x_t(self, k: int, sigma: float) -> Tensor:
        pair, t, noise, _ = self.samples[k]
        return interpolate(pair.start, pair.end, t, sigma, noise)


def conditioned_errors(
    samples: Samples, field: ConditionedField, config: ConditionedConfig
) -> dict[str, Any]:
    """Cuts against the whole molecule: end points, gradients; and what the projection does."""
    fast = PairField(field)
    rows: dict[float, list[tuple[float, ...]]] = {radius: [] for radius in RADII}
    projection, gradients = [], []
    for k, (pair, t, noise, centre) in enumerate(samples.samples):
        x_t, start = samples.x_t(k, config.sigma), pair.start
        rigid = rigid_shift(x_t, start, t, config.sigma, config.displacement)
        known = (x_t, start, t, LAG, *samples.known)
        whole = fast(*known, rigid)[0]
        unit_error = float(output_scale(t, config.sigma, config.displacement))
        guess = (
            start + skip_scale(t, config.sigma, config.displacement).view(-1, 1, 1) * (x_t - start) + rigid
        )
        with torch.no_grad():
            moved = fast(*known)[0] - whole
            projection.append(float(moved.square().mean().sqrt()) / unit_error)
        found = cut(x_t[0], centre, GRADIENT_RADIUS, GRADIENT_RADIUS)
        weights = torch.zeros(samples.atoms).index_put([found.atoms], found.weights)
        loss = end_point_error(whole, pair.end, t, config.sigma, config.displacement, weights).mean()
        expected = gradient_of(loss, field)
        gradients.append(expected)
        inside, whole = found.atoms, whole.detach()
        added = (whole - guess)[:, inside].square().mean().sqrt()
        for radius in RADII:
            cutter = SubgraphCutter(samples.z, samples.bonds, config, start[0], radius, GRADIENT_RADIUS)
            part = cutter(pair, t, noise, LAG, centre)
            end = fast(*part[:2], t, LAG, *part[6:9], part.rigid)[0]
            error = end_point_error(end, part.end, t, config.sigma, config.displacement, part.weights).mean()
            gradient = relative(gradient_of(error, field), expected)
            off = (end.detach()[:, part.weights > 0] - whole[:, inside]).square().mean().sqrt()
            rows[radius].append((float(off) / unit_error, float(off / added), gradient, len(part.atoms)))
    return {
        "receptive_field_A": receptive_field(config),
        "projection_rms_in_c_out": mean(projection),
        "gradient_between_samples": between(gradients),
        "by_environment_radius_A": summary(
            rows, ("rms_in_c_out", "rms_of_what_the_network_adds", "gradient", "atoms")
        ),
    }


def published_errors(samples: Samples) -> dict[str, Any]:
    """The same of the published form, random weights: velocities, denoisers, gradients.

    Layers and cutoff are the published ones; a quarter of the channels, for memory.
    """
    config = PublishedConfig(trunk=TrunkConfig(hidden=64, ffn=128))
    field = use_fused(VectorField(config, Generator().manual_seed(1)), True)
    search = NeighbourSearch(config.graph)
    sigma = ConditionedConfig().sigma
    rows: dict[float, list[tuple[float, ...]]] = {radius: [] for radius in RADII}
    gradients = []

    def evaluate(k: int, x_t: Tensor, atoms: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        pair, t, noise, _ = samples.samples[k]
        table = search(x_t[atoms], torch.zeros_like(atoms), samples.z[atoms])
        velocity, denoiser, _ = field(x_t[atoms], samples.z[atoms], t.expand(len(atoms)), table)
        error = (field.velocity_scale * (velocity - (pair.end - pair.start)[0, atoms])).square().mean(1)
        error = error + (denoiser - noise[0, atoms]).square().mean(1)
        both = torch.cat([velocity, denoiser], 1).detach()
        return both[weights > 0], gradient_of((error * weights).sum(), field)

    for k, (*_, centre) in enumerate(samples.samples):
        x_t = samples.x_t(k, sigma)[0]
        inner = cut(x_t, centre, GRADIENT_RADIUS, GRADIENT_RADIUS)
        weights = torch.zeros(samples.atoms).index_put([inner.atoms], inner.weights)
        whole, expected = evaluate(k, x_t, torch.arange(samples.atoms), weights)
        gradients.append(expected)
        for radius in RADII:
            found = cut(x_t, centre, radius, GRADIENT_RADIUS)
            own, gradient = evaluate(k, x_t, found.atoms, found.weights)
            rows[radius].append((relative(own, whole), relative(gradient, expected), len(found.atoms)))
    return {
        "receptive_field_A": receptive_field(config),
        "gradient_between_samples": between(gradients),
        "by_environment_radius_A": summary(rows, ("rms_of_outputs", "gradient", "atoms")),
    }


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def between(gradients: list[Tensor]) -> float:
    """Norm of the difference of two samples' gradients over their norm, mean over neighbours: the noise of a step."""
    return mean([relative(one, two) for one, two in zip(gradients, gradients[len(TIMES) :])])


def summary(rows: dict[float, list[tuple[float, ...]]], names: tuple[str, ...]) -> dict[str, Any]:
    """Means over the samples."""
    return {
        f"{radius:g}": {name: mean([row[k] for row in values]) for k, name in enumerate(names)}
        for radius, values in rows.items()
    }


def cost_of_step(n_atoms: int, mode: str) -> dict[str, Any]:
    """Some optimiser steps on one pair each: peak memory of this process, processor time and atoms of a step."""
    keep_freed_memory()
    molecule = molecule_of_size(n_atoms)
    generator = Generator().manual_seed(1)
    start = 10 * torch.from_numpy(molecule.positions).float().unsqueeze(0)
    pair = Pair(start, start + 0.5 * torch.randn(start.shape, generator=generator))
    z = torch.tensor(vocabulary_lookup())[torch.from_numpy(molecule.atomic_numbers)]
    bonds, t = torch.from_numpy(molecule.bonds), torch.tensor([0.3])
    config = ConditionedConfig(refine_layers=2)
    field = ConditionedField(config, generator)
    fast, optimiser = PairField(field), torch.optim.Adam(field.parameters())
    radii = (ENVIRONMENT_RADIUS, GRADIENT_RADIUS) if mode == "cut" else (1e6, 1e6)
    cutter = SubgraphCutter(z, bonds, config, start[0], *radii)
    before = peak_memory() / 1024
    steps = []
    for _ in range(5 if mode == "cut" else 2):
        began = time.process_time()
        part = cutter.draw(pair, t, torch.randn(start.shape, generator=generator), LAG, generator)
        optimiser.zero_grad()
        subgraph_loss(fast, part, config, 0.1).backward()
        optimiser.step()
        steps.append((time.process_time() - began, len(part.atoms), int((part.weights > 0).sum())))
    seconds, seen, counted = (mean(values) for values in zip(*steps[1:]))  # the first one warms up
    return {
        "molecule_atoms": len(z), "mode": mode, "atoms_seen": round(seen), "atoms_in_the_loss": round(counted),
        "seconds": seconds, "peak_GiB": peak_memory() / 1024, "before_the_steps_GiB": before,
    }  # fmt: skip


def costs() -> list[dict[str, Any]]:
    """Each in a process of its own."""
    found = []
    for n_atoms, mode in COSTS:
        command = [sys.executable, __file__, "--cost", str(n_atoms), mode]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(result.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    """Parse the arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "subgraph")
    parser.add_argument(
        "--weights", type=Path, help="a run's checkpoint; a short run on the molecule unless told"
    )
    parser.add_argument("--steps", type=int, default=100, help="of that short run")
    parser.add_argument("--centres", type=int, default=12)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder")
    parser.add_argument(
        "--cost", nargs=2, metavar=("ATOMS", "MODE"), help="what the program calls itself with"
    )
    arguments = parser.parse_args()
    if arguments.centres < 2 * len(TIMES):
        parser.error(
            f"--centres must be at least {2 * len(TIMES)}: two at each time, to compare their gradients."
        )
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if arguments.cost:
        print(json.dumps(cost_of_step(int(arguments.cost[0]), arguments.cost[1])))
        return
    data = make_data(arguments.data)
    samples = Samples(data, arguments.centres)
    weights = arguments.weights or train(data, arguments.data / "run", arguments.steps)
    _, steps, record = read_run(weights)
    config = ConditionedConfig(**record["config"]["model"])
    field = ConditionedField(config)
    start_from(weights, field)
    errors = {
        "conditioned": conditioned_errors(samples, field, config),
        "published": published_errors(samples),
    }
    origin = provenance(seed=1, torch_threads=1)
    figures = {
        **error_table(errors), "molecule_atoms": samples.atoms, "samples": arguments.centres, "times": TIMES,
        "gradient_radius_A": GRADIENT_RADIUS, "errors": errors, "data_sha256": sha256_of_file(data),
        "run": {"steps": steps, "sha256": sha256_of_file(weights), "model": config.model_dump()},
        "provenance": origin,
    }  # fmt: skip
    (arguments.output / "subgraph_errors.json").write_text(
        json.dumps(figures, indent=1) + "\n", encoding="utf-8"
    )
    print(json.dumps(figures, indent=1), flush=True)
    figures = {**cost_table(costs()), "radii_A": [ENVIRONMENT_RADIUS, GRADIENT_RADIUS], "provenance": origin}
    (arguments.output / "subgraph_costs.json").write_text(
        json.dumps(figures, indent=1) + "\n", encoding="utf-8"
    )


def error_table(errors: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Rows for benchmarks/tables.py."""
    ours, theirs = (errors[name]["by_environment_radius_A"] for name in ("conditioned", "published"))
    columns = [
        "environment, Å", "atoms", "end point, share of c_out", "share of what the network adds", "gradient",
        "published: outputs", "published: gradient",
    ]  # fmt: skip
    rows = [
        [radius, round(own["atoms"]), own["rms_in_c_out"], own["rms_of_what_the_network_adds"], own["gradient"],
         theirs[radius]["rms_of_outputs"], theirs[radius]["gradient"]]
        for radius, own in ours.items()
    ]  # fmt: skip
    return {"columns": columns, "rows": rows}


def cost_table(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows for benchmarks/tables.py."""
    columns = [
        "atoms",
        "part",
        "atoms seen",
        "atoms in the loss",
        "s a step",
        "ms an atom in the loss",
        "peak, GiB",
    ]
    rows = [
        [one["molecule_atoms"], one["mode"], one["atoms_seen"], one["atoms_in_the_loss"], one["seconds"],
         1000 * one["seconds"] / one["atoms_in_the_loss"], one["peak_GiB"]]
        for one in found
    ]  # fmt: skip
    return {"columns": columns, "rows": rows}


if __name__ == "__main__":
    main()
