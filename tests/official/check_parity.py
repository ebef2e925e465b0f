"""Compare our published-form networks with numbers recorded from the authors' code.

    python tests/official/check_parity.py FILE.npz [--tolerance 1e-4]

Prints one line per array, with the largest difference relative to the largest recorded number, and exits with
1 if any array is off by more than the tolerance. Every size is read from the file.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

if importlib.util.find_spec("openmm_unisim") is None:  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from openmm_unisim.interpolant.published import drift, guided_drift, intermediate_gradient
from openmm_unisim.model.embedding import ElementIndex
from openmm_unisim.model.graph import NeighbourTable, edge_pairs, published_table
from openmm_unisim.model.published_names import PublishedModels, load_published

STRENGTH = 0.1  # of the recorded guided drift


class Comparison(NamedTuple):
    """One array: its name, max|difference|/max|recorded|, and whether that is within the tolerance."""

    name: str
    error: float
    passed: bool


class Setup(NamedTuple):
    """Input of the recorded run, and our networks with its weights."""

    models: PublishedModels
    sigma: float
    positions: Tensor
    z_index: Tensor
    molecule_index: Tensor
    table: NeighbourTable


def prepare(record: dict[str, np.ndarray]) -> Setup:
    """Rebuild the networks and the graph from the file's own weights and sizes."""
    config = json.loads(str(record["config"]))
    state = {
        k.removeprefix("weights."): torch.from_numpy(v) for k, v in record.items() if k.startswith("weights.")
    }
    models = load_published(
        state, config["heads"], config["cutoff"], config["cutoff_H"], config["vel_scale"], config["iff_scale"]
    )
    sizes = {
        name: getattr(models.config.trunk, name) for name in ("hidden", "ffn", "rbf", "expand", "layers")
    }
    wrong = {name: (size, config[name]) for name, size in sizes.items() if size != config[name]}
    if wrong:
        raise SystemExit(f"The file's weights and its config disagree: {wrong}.")
    numbers = torch.from_numpy(record["io.atomic_numbers"])
    positions = torch.from_numpy(record["io.positions_angstrom"])
    molecule_index = torch.from_numpy(record["io.molecule_index"])
    table = published_table(
        positions,
        molecule_index,
        numbers == 1,
        torch.zeros_like(numbers),
        config["cutoff"],
        config["cutoff_H"],
    )
    return Setup(models, config["sigma_angstrom"], positions, ElementIndex()(numbers), molecule_index, table)


def outputs_at(setup: Setup, t: float) -> dict[str, Tensor]:
    """All recorded quantities at one interpolant time, computed by us."""
    models = setup.models
    time = torch.tensor(t, dtype=torch.float32)
    state = (setup.positions, setup.z_index, time.expand(len(setup.positions)), setup.table)
    with torch.no_grad():
        scalars, vectors = models.vector_field.encoder(*state)
        velocity, denoiser, base = models.vector_field(*state)
        start, end, correction = models.guidance_kernel(*state, base)
    unguided = drift(velocity, denoiser, time, setup.sigma)
    combined = intermediate_gradient(start, end, correction, time)
    return {
        "scalars": scalars,
        "vectors": vectors,
        "velocity": velocity,
        "denoiser": denoiser,
        "drift_unguided": unguided,
        "boundary0": start,
        "boundary1": end,
        "intermediate": correction,
        "guided_drift_strength_0p1": guided_drift(unguided, combined, STRENGTH, models.config.guidance_scale),
    }


def head_outputs(setup: Setup, head: int) -> dict[str, Tensor]:
    """Energy (n_molecules, 1) and force of a pretraining head at time 0."""
    n_molecules = int(setup.molecule_index.max()) + 1
    energy, force = setup.models.representation(
        setup.positions, setup.z_index, torch.zeros(len(setup.positions)), setup.table, setup.molecule_index,
        n_molecules, head, False,
    )  # fmt: skip
    return {"energy": energy.detach().unsqueeze(1), "force": force.detach()}


def compare(record: dict[str, np.ndarray], tolerance: float) -> list[Comparison]:
    """Compare every `io.t*` and `io.head*` array of a record."""
    setup = prepare(record)
    results = []

    def add(name: str, ours: Tensor) -> None:
        recorded = torch.from_numpy(record[name])
        if ours.shape != recorded.shape:
            raise SystemExit(
                f"{name} was recorded with shape {tuple(recorded.shape)}, ours is {tuple(ours.shape)}."
            )
        error = float((ours - recorded).abs().max() / recorded.abs().max())
        results.append(Comparison(name, error, error <= tolerance))

    ours = {tuple(pair) for pair in edge_pairs(setup.table).T.tolist()}
    for key in sorted({name.split(".")[1] for name in record if name.startswith("io.t")}):
        edges = record[f"io.{key}.edges"].T.tolist()
        differing = (
            len(ours ^ {tuple(pair) for pair in edges}) + len(edges) - len({tuple(pair) for pair in edges})
        )
        results.append(Comparison(f"io.{key}.edges", differing / len(edges), differing == 0))
        for name, value in outputs_at(setup, float(record[f"io.{key}.interpolant_time"])).items():
            add(f"io.{key}.{name}", value)
    for key in sorted({name.split(".")[1] for name in record if name.startswith("io.head")}):
        for name, value in head_outputs(setup, int(key.removeprefix("head"))).items():
            add(f"io.{key}.{name}", value)
    unchecked = {name for name in record if name.startswith(("io.t", "io.head"))} - {r.name for r in results}
    unchecked = {name for name in unchecked if not name.endswith("interpolant_time")}
    if unchecked:
        raise SystemExit(f"Arrays of the file that this script does not know: {sorted(unchecked)}.")
    return results


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with np.load(arguments.file, allow_pickle=False) as stored:
            record = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, AttributeError) as error:  # .npy gives an array, which has no `files`
        raise SystemExit(f"'{arguments.file}' is no .npz file that can be read ({error}).") from error
    results = compare(record, arguments.tolerance)
    for result in results:
        print(f"{'PASS' if result.passed else 'FAIL'}  {result.error:9.2e}  {result.name}")
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} of {len(results)} arrays within {arguments.tolerance:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
