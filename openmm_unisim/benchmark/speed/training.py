"""Speed of training: whole optimiser steps of the plain layers over the full graph, and of the fast paths, in turn.

A step is `Trainer.train_step` on pairs from a short MD run: batch, forward and backward pass, clipping,
Adam, averages. Networks have the sizes of the shipped `ala2`.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...data.generate import GenerateConfig, generate
from ...errors import ConfigError
from ...memory import keep_freed_memory
from ...model.conditioned import ConditionedConfig
from ...model.pair_field import near_pairs
from ...provenance import provenance
from ...training.batches import part_generator
from ...training.config import VectorFieldConfig
from ...training.trainer import Trainer
from ...training.vector_field import VectorFieldStage
from .matrix_products import step_products, time_products
from .side_by_side import compare

__all__ = ["TRAINING_FORMAT", "TrainingBenchmarkSettings", "benchmark_training"]

TRAINING_FORMAT = 1
ALA2_SIZE = {"hidden": 64, "heads": 4, "layers": 3, "filters": 32, "refine_layers": 2}
TWIN_EDGES = 50_000  # edges of a batch of the plain layers: more leave the caches, and soon the memory
TWIN, OPERATORS = "twin, full graph", "operators"
LAG, SPACING, FRAMES, EQUILIBRATION = 2.0, 0.5, 200, 5.0  # of the MD: ps, ps, -, ps


@dataclass(frozen=True)
class TrainingBenchmarkSettings:
    """What is measured.

    Attributes
    ----------
    molecules : tuple of str
        Sequences or files.
    batch : int
        Samples of a step; the plain layers get fewer where their arrays would not fit.
    cutoff : float
        Angstrom; a smaller cutoff that is measured, too; 0: none.
    compiled : bool
        Measure torch.compile of the plain layers, too; takes minutes.
    threads : int
        Threads that are compared with one, by the clock; 1: none.
    repeats : int
        Steps of each path.
    """

    molecules: tuple[str, ...] = ("ACE-ALA-NME", "ACE-LYS-PHE-ASP-ALA-NME")
    batch: int = 32
    cutoff: float = 8.0
    compiled: bool = False
    threads: int = 2
    repeats: int = 7

    def __post_init__(self) -> None:
        if min(self.batch, self.repeats, self.threads) < 1 or self.cutoff < 0 or not self.molecules:
            raise ConfigError(
                "benchmark training takes molecules, a batch, repeats and threads of at least 1 and a cutoff of at "
                "least 0 angstrom; change the one that isn't."
            )


@dataclass
class Bench:
    """Trainers on one molecule's data, in a folder that is given."""

    settings: TrainingBenchmarkSettings
    folder: Path
    data: Path
    trainers: dict[str, Trainer[VectorFieldStage]] = field(default_factory=dict)

    def add(self, name: str, batch: int, threads: int = 1, **changes: Any) -> Trainer[VectorFieldStage]:
        """A trainer of the given path; `cutoff` is one of the model."""
        model = ConditionedConfig(**ALA2_SIZE, cutoff=changes.pop("cutoff", 12.0))
        config = VectorFieldConfig(
            model=model,
            lag_time=LAG,
            train_files=[str(self.data)],
            batch=batch,
            atom_budget=1_000_000,
            unlisted=True,
            **{"compiled": False, **changes},
        )
        trainer = Trainer(VectorFieldStage, config, self.folder / str(len(self.trainers)), threads)
        self.trainers[name] = trainer
        return trainer


def benchmark_training(
    settings: TrainingBenchmarkSettings, report: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Samples per second, parts of a step, threads, and the matrix products alone, for each molecule.

    Parameters
    ----------
    settings : TrainingBenchmarkSettings
    report : callable (str)
        Told what is being done.

    Returns
    -------
    dict
        `molecules`: name to figures; `settings`; `provenance`.
    """
    keep_freed_memory()
    torch.set_flush_denormal(True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        molecules = {name: _molecule(settings, name, report) for name in settings.molecules}
    finally:
        torch.set_num_threads(threads)
    return {
        "settings": vars(settings),
        "molecules": molecules,
        "provenance": provenance(seed=1, torch_threads=1),
    }


def _molecule(
    settings: TrainingBenchmarkSettings, name: str, report: Callable[[str], None]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        report(f"{name}: MD for the pairs")
        data = Path(folder) / "walker.h5"
        generate(
            GenerateConfig(name, nanoseconds=FRAMES * SPACING / 1000, frame_spacing=SPACING, scramble_time=2.0,
                           equilibration_time=EQUILIBRATION),
            data,
        )  # fmt: skip
        bench = Bench(settings, Path(folder), data)
        _paths(bench)
        report(f"{name}: steps of {', '.join(bench.trainers)}")
        paths = compare({k: trainer.train_step for k, trainer in bench.trainers.items()}, settings.repeats, 2)
        _add_rates(paths, bench)
        fast = bench.trainers[OPERATORS]
        report(f"{name}: parts of a step, threads, matrix products")
        pairs = _pairs_of(fast)
        atoms = fast.stage.molecules[0].n_atoms
        products = step_products(fast.stage.config.model, settings.batch * atoms, sum(pairs) // len(pairs))
        result = {
            "n_atoms": atoms,
            "share_of_pairs_within_cutoff": sum(pairs)
            / len(pairs)
            / settings.batch
            / (atoms * (atoms + 1) / 2),
            "paths": paths,
            "parts": {k: _parts(bench.trainers[k], settings.repeats) for k in (TWIN, OPERATORS)},
            "products": time_products(products, settings.repeats),
        }
        if settings.threads > 1:
            result["threads"] = _threads(bench)
        return result


def _paths(bench: Bench) -> None:
    settings = bench.settings
    atoms = bench.add(OPERATORS, settings.batch).stage.molecules[0].n_atoms
    operators = bench.trainers.pop(OPERATORS)
    smaller = min(settings.batch, max(1, TWIN_EDGES // atoms**2))
    bench.add(TWIN, smaller, fused=False)
    if settings.compiled:
        bench.add("twin, compiled", smaller, fused=False, compiled=True)
    bench.trainers[OPERATORS] = operators
    if settings.cutoff:
        bench.add(f"operators, cutoff {settings.cutoff:g}", settings.batch, cutoff=settings.cutoff)


def _add_rates(paths: dict[str, dict[str, float]], bench: Bench) -> None:
    """Samples per second, and how many times more of them than the twin's: batches may differ."""
    for name, figures in paths.items():
        batch = bench.trainers[name].stage.config.batch
        figures["batch"] = batch
        figures["samples_per_s"] = 1000 * batch / figures["milliseconds"]
        figures["wall_samples_per_s"] = 1000 * batch / figures["wall_milliseconds"]
    for key in ("", "wall_"):
        for figures in paths.values():
            ratio = figures[f"{key}samples_per_s"] / paths[TWIN][f"{key}samples_per_s"]
            figures[f"{key}times_faster"] = ratio


def _pairs_of(trainer: Trainer[VectorFieldStage], draws: int = 4) -> list[int]:
    """Pairs within the cutoff in some batches."""
    counts = []
    for _ in range(draws):
        (batch,) = trainer.parts.of_step(0)
        counts.append(near_pairs(batch.pair.start, trainer.stage.config.model.cutoff).index.size(1))
    return counts


def _parts(trainer: Trainer[VectorFieldStage], repeats: int) -> dict[str, float]:
    """Milliseconds of processor time of data, forward pass, backward pass and optimiser."""
    (batch,) = trainer.parts.of_step(0)
    held: dict[str, Any] = {}

    def forward() -> None:
        trainer.optimiser.zero_grad(set_to_none=True)
        held["loss"] = trainer.stage.loss(batch)[0]

    calls: dict[str, Callable[[], Any]] = {
        "data": lambda: trainer.stage.draw(part_generator(1, 0, 0)),
        "forward": forward,
        "backward": lambda: held["loss"].backward(),
        "optimiser": lambda: trainer.update(0.0),
    }
    return {name: figures["milliseconds"] for name, figures in compare(calls, repeats, 2).items()}


def _threads(bench: Bench) -> dict[str, Any]:
    """Steps with one and with more threads; the gain is by the clock."""
    settings = bench.settings
    one = bench.trainers[OPERATORS]
    trainers = {
        "1 thread": one,
        f"{settings.threads} threads": bench.add("more", one.stage.config.batch, settings.threads),
    }
    figures = compare({name: trainer.train_step for name, trainer in trainers.items()}, settings.repeats, 2)
    for entry in figures.values():
        entry["wall_samples_per_s"] = 1000 * settings.batch / entry["wall_milliseconds"]
    return figures
