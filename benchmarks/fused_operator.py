"""How much faster are the fused operators than their twins? Writes benchmarks/results/fused_operator.json.

    OMP_NUM_THREADS=1 python benchmarks/fused_operator.py

Everything that is compared is timed in turn, ten calls in a row as in a jump, in one process with one thread. Ratios
are of medians of its processor
time, which a machine shared with other work stretches less than the time on the wall (in the file, too). "twin" is the
eager PyTorch code, "scripted" the same as a frozen TorchScript module. Networks of published size have random weights;
the ala2 ones are those shipped.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn

import openmm_unisim
from openmm_unisim.benchmark.speed.products import time_products
from openmm_unisim.benchmark.speed.side_by_side import compare
from openmm_unisim.elements import vocabulary_lookup
from openmm_unisim.export.conditioned import export_conditioned, load_conditioned
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.scripted import ConditionedJump
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.model.bond_graph import adjacency_matrix, bond_distance
from openmm_unisim.model.config import PublishedConfig
from openmm_unisim.model.fused import for_inference
from openmm_unisim.model.graph import published_table
from openmm_unisim.model.vector_field import VectorField
from openmm_unisim.provenance import provenance
from openmm_unisim.system import load_molecule

RESULTS = Path(__file__).resolve().parent / "results" / "fused_operator.json"
WEIGHTS = Path(openmm_unisim.__file__).parent / "pretrained" / "ala2" / "weights.safetensors"
BLOCK = 10  # calls in a row, as in a jump
MOLECULE = "ACE-ALA-NME"


def freeze(module: nn.Module) -> nn.Module:
    """As in a model file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(module.eval()))


def published(repeats: int, copies: int) -> dict[str, Any]:
    """One evaluation of the published vector field, 256 x 4, for copies of the molecule."""
    molecule = load_molecule(MOLECULE)
    positions = 10 * torch.from_numpy(molecule.positions).float().repeat(copies, 1)
    z = torch.tensor(vocabulary_lookup())[torch.from_numpy(molecule.atomic_numbers)].repeat(copies)
    group = torch.arange(copies).repeat_interleave(len(molecule.positions))
    table = published_table(positions, group, z == 0, torch.zeros_like(group))
    given = (positions, z, torch.full((len(z),), 0.3), table)

    def field() -> VectorField:
        return VectorField(PublishedConfig(), Generator().manual_seed(1)).eval()

    networks = {"twin": field(), "scripted": freeze(field()), "fused": for_inference(field())}
    networks["fused, scripted"] = freeze(networks["fused"])
    networks["fused in bfloat16, scripted"] = freeze(for_inference(field(), half=True))
    return compare(
        {name: lambda n=network: n(*given) for name, network in networks.items()},
        repeats,
        block=BLOCK if copies == 1 else 1,
    )


def ala2(repeats: int) -> dict[str, Any]:
    """One network evaluation and one whole substep with the shipped weights."""
    molecule = load_molecule(MOLECULE)
    generator = Generator().manual_seed(0)
    start = torch.from_numpy(molecule.positions).float().unsqueeze(0)
    now = start + 0.01 * torch.randn(start.shape, generator=generator)
    numbers, bonds, none = (
        torch.from_numpy(molecule.atomic_numbers),
        torch.from_numpy(molecule.bonds),
        torch.zeros(0),
    )
    t, t_next = (torch.tensor([x], dtype=torch.float64) for x in (0.2, 0.3))
    noise = torch.randn(start.shape, generator=generator)
    arguments = (now, start, numbers, bonds, t, t_next, 2.494, none, 0.0, none, noise)
    field, spread, extra = load_conditioned(WEIGHTS)
    eager = ConditionedJump(field, spread, extra["lag_time"], 2.5, True, numbers.unique()).eval()
    z = torch.tensor(vocabulary_lookup())[numbers]
    adjacency = adjacency_matrix(bonds, len(z))
    given = (10 * now, 10 * start, t.float(), extra["lag_time"], z, adjacency, bond_distance(adjacency))
    networks = {"twin": field, "scripted": freeze(load_conditioned(WEIGHTS)[0])}
    networks["fused, scripted"] = freeze(for_inference(load_conditioned(WEIGHTS)[0]))
    steps = {"twin": eager}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("plain file", "fused file"):
            path = Path(folder) / f"{name}.pt"
            export_conditioned(WEIGHTS, path, plain=name.startswith("plain"))
            steps[name] = load_model_file(path)[0]
    return {
        "network": compare(
            {name: lambda n=n: n(*given) for name, n in networks.items()}, repeats, block=BLOCK
        ),
        "substep": compare(
            {name: lambda n=n: n.step(*arguments) for name, n in steps.items()}, repeats, block=BLOCK
        ),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with torch.no_grad():
        figures = {
            "products": time_products(arguments.repeats),
            "published, 22 atoms": published(arguments.repeats, 1),
            "published, 16 copies of 22 atoms": published(max(5, arguments.repeats // 4), 16),
            **{f"ala2 {name}": value for name, value in ala2(arguments.repeats).items()},
        }
    return figures


def show(name: str, figures: dict[str, Any], indent: str = "") -> None:
    """Print one comparison, or several."""
    print(f"{indent}{name}")
    for key, entry in figures.items():
        if "milliseconds" not in entry:
            show(key, entry, indent + "  ")
            continue
        more = "".join(f", {entry[k]:.0f} {unit}" for k, unit in
                       (("samples_per_s", "samples/s"), ("gflop_per_s", "GFLOP/s")) if k in entry)  # fmt: skip
        print(
            f"{indent}  {key:16s} {entry['milliseconds']:9.3f} ms, {entry['times_faster']:5.2f} x "
            f"({entry['wall_times_faster']:.2f} on the wall){more}"
        )


def main() -> None:
    """Parse the arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    figures = measure(arguments)
    for name, entry in figures.items():
        show(name, entry)
    record = {"figures": figures, "provenance": provenance(seed=1, torch_threads=torch.get_num_threads())}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()
