r"""Where along the bridge does a jump lose the shape of the end distribution?

    python benchmarks/ala2_bridge.py WEIGHTS.safetensors raw/ACE-A-NME.obc2.300K.seed{1,3,4}.h5 \
        --json benchmarks/results/ala2_bridge.json

Pairs (x_0, x_1) of MD; x_t drawn from the exact bridge between them at a time of the grid; the rest of the jump made by
the model. From t = 0 this is one whole jump. Ends should fall into regions of phi as those of MD do, whatever t: the
first t from which they do is where the model's own reading of x_t stops to matter. Regions, of frames with psi outside
[-120, 50): C5 phi < -132, barrier [-132, -96), PII [-96, 0).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import mdtraj
import numpy as np
import torch
from torch import Tensor

from openmm_unisim.data.pairs import Pair, PairSampler, PairSource
from openmm_unisim.evaluation.estimators.features import backbone_torsions
from openmm_unisim.evaluation.estimators.kinetics import assign_basin
from openmm_unisim.export.conditioned import export_conditioned, load_conditioned
from openmm_unisim.interpolant.bridge import interpolate
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.system import load_molecule
from openmm_unisim.units import BOLTZMANN

REGIONS = {"C5": (-180.0, -132.0), "barrier": (-132.0, -96.0), "PII": (-96.0, 0.0)}
TEMPERATURE = 300.0
BATCH = 50


def shares(positions: Tensor) -> dict[str, float]:
    """Share of alpha among all frames, and of each region among the others, of positions in angstrom."""
    molecule = load_molecule("ACE-ALA-NME")
    torsions = backbone_torsions(positions.numpy() / 10.0, mdtraj.Topology.from_openmm(molecule.topology))[0]
    beta = assign_basin(torsions.psi) == 1
    found = {"alpha": float(1.0 - beta.mean())}
    for name, (low, high) in REGIONS.items():
        found[name] = float(np.mean((torsions.phi >= low) & (torsions.phi < high) & beta) / beta.mean())
    return found


def rest_of_jump(
    module: torch.jit.ScriptModule, pair: Pair, grid: list[float], first: int, sigma: float, seed: int
) -> Tensor:
    """Ends (n, n_atoms, 3), angstrom, of jumps whose state at grid point `first` is drawn from the exact bridge."""
    molecule = load_molecule("ACE-ALA-NME")
    fixed = torch.tensor(molecule.atomic_numbers), torch.tensor(molecule.bonds)
    generator = torch.Generator().manual_seed(seed)
    ends = []
    for part in torch.arange(len(pair.start)).split(BATCH):
        start, count = pair.start[part], len(part)
        noise = torch.randn(start.shape, generator=generator)
        x = interpolate(start, pair.end[part], torch.full((count,), grid[first]), sigma, noise) / 10.0
        for low, high in zip(grid[first:], grid[first + 1 :]):
            times = (torch.full((count,), time, dtype=torch.float64) for time in (low, high))
            noise = torch.randn(start.shape, generator=generator)
            empty = torch.zeros(count, 0, 3)
            x, _ = module.step(
                x, start / 10.0, *fixed, *times, BOLTZMANN * TEMPERATURE, empty, 0.0, empty[0], noise
            )
            x = x.float()
        ends.append(10.0 * x)
    return torch.cat(ends)


def main() -> None:
    """Measure from each grid point that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("walkers", type=Path, nargs="+", help="MD that the pairs are drawn from")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument(
        "--points", type=int, nargs="*", default=[0, 3, 6, 9, 12, 15], help="of the time grid"
    )
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    generator = torch.Generator().manual_seed(arguments.seed)
    pair = PairSampler(PairSource.load(arguments.walkers), 20.0).draw(arguments.pairs, generator)
    rows = [{"from": "MD", **shares(pair.end)}]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / "model.unisim.pt"
        export_conditioned(arguments.weights, file, substeps=arguments.calls)
        module = torch.jit.load(str(file))
        sigma = load_conditioned(arguments.weights)[0].sigma
        grid = module.time_grid(arguments.calls).tolist()
        for first in arguments.points:
            began = time.perf_counter()
            ends = rest_of_jump(module, pair, grid, first, sigma, arguments.seed)
            rows.append({"from": f"t = {grid[first]:.4f}", **shares(ends)})
            print(rows[-1], f"{time.perf_counter() - began:.0f} s", flush=True)
    columns = ["ends of the rest of the jump", *list(rows[0])[1:]]
    record = {
        "columns": columns,
        "rows": [[row["from"], *(f"{value:.3f}" for value in list(row.values())[1:])] for row in rows],
        "provenance": provenance(
            seed=arguments.seed,
            pairs=arguments.pairs,
            calls=arguments.calls,
            weights=sha256_of_file(arguments.weights),
        ),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
