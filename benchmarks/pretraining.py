r"""Pretraining: what a step costs, are heads better trained together, and does a vector field gain by it?

    python benchmarks/pretraining.py derivatives [raw/pretraining/together/run.safetensors] \
        --labels raw/labels-run/labels \
        --json benchmarks/results/pretraining_derivatives.json
    python benchmarks/pretraining.py heads --labels raw/labels-run/labels --frames 'raw/data/ACE-*.obc2.300K.seed1.h5' \
        --valid-frames 'raw/valid/*.h5' --runs raw/pretraining --json benchmarks/results/pretraining_heads.json
    python benchmarks/pretraining.py transfer raw/pretraining/together/run.safetensors \
        --frames 'raw/data/ACE-*.obc2.300K.seed1.h5' --valid-frames 'raw/valid/*.h5' --runs raw/pretraining \
        --json benchmarks/results/pretraining_transfer.json

`derivatives` compares the two ways of differentiating a loss on forces, with fresh or given weights: processor time of
loss and gradient, and the relative error of the gradient by differences. `heads` trains all heads together, with one
part for each in a step on average, and each alone, with one part a step: the same optimiser steps and as many parts of
the head. `transfer` trains a vector field from the pretrained weights and from fresh ones, all else equal. Runs
continue after a kill; give another --runs folder, or delete it, for other settings.
"""

import argparse
import glob
import json
import time
from pathlib import Path
from typing import Any

import torch

from openmm_unisim.data.molecule_list import listed
from openmm_unisim.memory import keep_freed_memory
from openmm_unisim.provenance import provenance, sha256_of_file
from openmm_unisim.training.config import RunConfig, VectorFieldConfig
from openmm_unisim.training.pretrain_config import PretrainConfig
from openmm_unisim.training.pretraining import ForcePart, PretrainStage
from openmm_unisim.training.run_state import start_from
from openmm_unisim.training.stage import Stage
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

HEADS = ("ff14sb-obc2", "gaff2-obc2", "mmff94", "gfn2-xtb", "denoising")


def trained(kind: type[Stage], config: RunConfig, folder: Path) -> dict[str, Any]:
    """Log entries with validation, and the record, of a run that is finished here if it wasn't yet."""
    trainer = Trainer(kind, config, folder)
    if trainer.step < config.steps:
        trainer.run(
            lambda entry: print(
                folder.name, entry["step"], f"{entry['loss']:.4f}", entry.get("valid"), flush=True
            )
        )
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    record = {key: value for key, value in trainer.record.items() if key not in ("data", "provenance")}
    return {"log": [entry for entry in entries if "valid" in entry], "record": record}


def derivatives(arguments: argparse.Namespace) -> dict[str, Any]:
    """Processor time and gradient's error of both ways, for parts of one molecule at t = 1."""
    results: dict[str, Any] = {}
    for name in ("ethanol", "ACE-A-NME", "ACE-W-NME"):
        files = (str(arguments.labels / f"{name}.labels.h5"),)
        config = PretrainConfig(heads=("mmff94",), label_files=files, atom_budget=256)
        ways = {
            "exact": config.model_copy(update={"derivatives": "exact"}),
            "differences, plain layers": config.model_copy(update={"fused": False}),
            "differences": config,
        }
        stages = {way: stage_with(settings, arguments.weights) for way, settings in ways.items()}
        part = stages["exact"].draw(torch.Generator().manual_seed(1))
        part = part._replace(t=torch.ones_like(part.t))
        entry: dict[str, Any] = {"atoms": part.shape.n_atoms, "copies": len(part.t)}
        exact, entry["exact_ms"] = measured(stages["exact"], part)
        for way in ("differences, plain layers", "differences"):
            entry[f"{way}_ms"] = measured(stages[way], part)[1]
        for step in (2e-3, 1e-3, 5e-4, 2e-4, 1e-4):
            settings = config.model_copy(update={"difference_step": step})
            stage = stage_with(settings, arguments.weights)
            error = measured(stage, part, 1)[0] - exact
            entry[f"error at {step:g}"] = float(error.norm() / exact.norm())
        results[name] = entry
        print(name, json.dumps(entry), flush=True)
    return results


def stage_with(config: PretrainConfig, weights: Path | None) -> PretrainStage:
    """A stage with fresh weights, or those of a run's checkpoint."""
    stage = PretrainStage(config)
    if weights is not None:
        start_from(weights, stage.model)
    return stage


def measured(stage: PretrainStage, part: ForcePart, repeats: int = 5) -> tuple[torch.Tensor, float]:
    """The gradient of a part's loss and the least processor time, ms."""
    weights = [weight for weight in stage.model.parameters() if weight.requires_grad]
    least = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        gradients = torch.autograd.grad(stage.loss(part)[0], weights, materialize_grads=True)
        least = min(least, 1e3 * (time.process_time() - began))
    return torch.cat([gradient.double().flatten() for gradient in gradients]), least


def heads(arguments: argparse.Namespace) -> dict[str, Any]:
    """Held-out errors of every head, together and alone."""
    valid = {entry.name for entry in listed("valid")}
    files = sorted(str(path) for path in arguments.labels.glob("*.labels.h5"))
    held = [path for path in files if Path(path).name.removesuffix(".labels.h5") in valid]
    common = PretrainConfig(
        heads=HEADS, label_files=tuple(files), valid_label_files=tuple(held),
        frame_files=tuple(sorted(glob.glob(arguments.frames))),
        valid_frame_files=tuple(sorted(glob.glob(arguments.valid_frames))),
        atom_budget=arguments.atoms, steps=arguments.steps, warmup=arguments.steps // 10, ema_decay=0.995,
        parts=len(HEADS), validate_every=arguments.steps // 2, save_every=max(1, arguments.steps // 20),
        held_out_frames=2,
    )  # fmt: skip
    results: dict[str, Any] = {"together": trained(PretrainStage, common, arguments.runs / "together")}
    for head in HEADS:
        alone = common.model_copy(update={"heads": (head,), "parts": 1})
        results[head] = trained(PretrainStage, alone, arguments.runs / f"alone-{head}")
        last, own = results["together"]["log"][-1], results[head]["log"][-1]
        for key in (f"molecules/{head}", f"frames/{head}", "denoising/denoising"):
            if key in own:
                print(f"{key:24s} together {last[key]:.3f} alone {own[key]:.3f}", flush=True)
    return results


def transfer(arguments: argparse.Namespace) -> dict[str, Any]:
    """Validation loss of a vector field, from pretrained and from fresh weights."""
    record = json.loads((arguments.weights.parent / "record.json").read_text(encoding="utf-8"))
    common = VectorFieldConfig(
        model=record["config"]["model"], train_files=sorted(glob.glob(arguments.frames)),
        valid_files=sorted(glob.glob(arguments.valid_frames)), lag_time=arguments.lag, steps=arguments.steps,
        parts=2, atom_budget=arguments.atoms, warmup=arguments.steps // 10, ema_decay=0.995, seed=arguments.seed,
        validate_every=max(1, arguments.steps // 5), save_every=max(1, arguments.steps // 20),
    )  # fmt: skip
    results: dict[str, Any] = {"pretrained_weights": sha256_of_file(arguments.weights)}
    for name, start in (("pretrained", str(arguments.weights)), ("fresh", "")):
        config = common.model_copy(update={"start_from": start})
        results[name] = trained(
            VectorFieldStage, config, arguments.runs / f"field-{name}-seed{arguments.seed}"
        )
    for before, after in zip(results["fresh"]["log"], results["pretrained"]["log"]):
        print(f"step {before['step']:6d}  fresh {before['valid']:.4f}  pretrained {after['valid']:.4f}")
    return results


QUESTIONS = {"derivatives": derivatives, "heads": heads, "transfer": transfer}


def main() -> None:
    """Run one of the questions and write its result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=tuple(QUESTIONS))
    parser.add_argument("weights", type=Path, nargs="?", help="run.safetensors of a pretraining run")
    parser.add_argument("--labels", type=Path, help="derivatives, heads: folder of label files")
    parser.add_argument("--frames", help="heads, transfer: pattern of training trajectories")
    parser.add_argument("--valid-frames", help="heads, transfer: pattern of held-out trajectories")
    parser.add_argument("--runs", type=Path, help="heads, transfer: folder of the runs")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--atoms", type=int, default=192, help="of a part")
    parser.add_argument("--lag", type=float, default=20.0, help="transfer: ps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    needed = {
        "derivatives": ("labels",),
        "heads": ("labels", "frames", "valid_frames", "runs"),
        "transfer": ("weights", "frames", "valid_frames", "runs"),
    }[arguments.question]
    for name in needed:
        if getattr(arguments, name) is None:
            parser.error(f"{arguments.question} needs {', '.join(needed)}")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    results = QUESTIONS[arguments.question](arguments)
    settings = {key: str(value) for key, value in vars(arguments).items()}
    written = {"settings": settings, "provenance": provenance(seed=arguments.seed), "runs": results}
    arguments.json.write_text(json.dumps(written, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
