"""`openmm-unisim benchmark transfer`: a model's free-running jumps of many molecules beside MD of each.

Molecule by molecule; the JSON is written after each, and the same command goes on. A molecule that the model refuses
(an element it doesn't know, say) is in the record with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...errors import ConfigError, UniSimError
from ...evaluation.page.jsonable import jsonable
from ...export.metadata import read_metadata
from ...memory import keep_freed_memory
from ...pretrained.registry import resolve_model
from ...provenance import provenance, sha256_of_file
from ...simulation.reference import ReferenceJump
from ..result_file import ResultFile
from .free_run import run_freely
from .judge import JudgeFiles, find_judges
from .scores import score_run
from .summary import summarise_molecule, summarise_split

__all__ = ["TRANSFER_FORMAT", "TransferSettings", "benchmark_transfer"]

TRANSFER_FORMAT = 1
BENCHMARK = "transfer"

Report = Callable[[str], None]


@dataclass(frozen=True)
class TransferSettings:
    """What `benchmark_transfer` is asked to do.

    Attributes
    ----------
    model : str
        Registered name or model file.
    references : tuple of Path
        Archive or trajectory files of MD, or folders of them.
    molecules : tuple of str
        Names to take of them; empty: all.
    environment : str or None
        Of the references to take; None: the model's.
    copies, jumps : int
        Chains, and jumps of each.
    substeps : int
        0: the model's default.
    seed : int
    threads : int
        torch's.
    parameters : Path
        Folder of small molecules' Amber files.
    work : Path
        Folder of the frames: jumps are made once, scores can be made again.
    json : Path or None
    """

    model: str
    references: tuple[Path, ...]
    molecules: tuple[str, ...] = ()
    environment: str | None = None
    copies: int = 50
    jumps: int = 80
    substeps: int = 0
    seed: int = 1
    threads: int = 1
    parameters: Path = Path("data/parameters")
    work: Path = Path("runs/transfer")
    json: Path | None = field(default=None)

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        for name, least in (("copies", 1), ("jumps", 2), ("seed", 1), ("threads", 1), ("substeps", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least {least}.")
        if self.copies * self.jumps < 200:
            raise ConfigError(
                f"{self.copies} copies of {self.jumps} jumps are too few for a distribution; make at least 200 jumps."
            )


def benchmark_transfer(settings: TransferSettings, report: Report) -> dict[str, Any]:
    """Score the model on each molecule.

    Parameters
    ----------
    settings : TransferSettings
    report : callable
        Told what is being done, and what came out.

    Returns
    -------
    dict
        The record, as in the JSON.
    """
    settings.check()
    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    path = resolve_model(settings.model)
    metadata = read_metadata(path)
    environment = settings.environment or metadata.environment
    judges = _chosen(find_judges(settings.references), settings.molecules, environment)
    identity = {
        "model": sha256_of_file(path), "copies": settings.copies, "jumps": settings.jumps, "seed": settings.seed,
        "substeps": settings.substeps or metadata.default_substeps, "lag_ps": metadata.lag_time_ps,
    }  # fmt: skip
    file = ResultFile(settings.json, BENCHMARK, TRANSFER_FORMAT)
    record = file.continued(identity) or {
        "identity": identity,
        "model": settings.model,
        "starts": "evenly spaced equilibrium frames of all reference walkers",
        "molecules": {},
    }
    for files in judges:
        key, hashes = f"{files.molecule}.{files.environment}", files.sha256()
        known = record["molecules"].get(key)
        if known is not None and known["references"] == hashes:
            report(f"{key}: known")
            continue
        record["molecules"][key] = {
            "references": hashes,
            **_molecule(files, path, identity, settings, report),
        }
        record["splits"] = _splits(record["molecules"])
        record["provenance"] = provenance(seed=settings.seed)
        record = jsonable(record)
        file.save(record)
    return record


def _chosen(judges: list[JudgeFiles], names: tuple[str, ...], environment: str) -> list[JudgeFiles]:
    unknown = set(names) - {one.molecule for one in judges}
    if unknown:
        raise ConfigError(f"There is no reference of {', '.join(sorted(unknown))}; make one or leave it out.")
    chosen = [
        one for one in judges if one.environment == environment and (not names or one.molecule in names)
    ]
    if not chosen:
        found = sorted({one.environment for one in judges})
        raise ConfigError(
            f"No reference is of environment '{environment}', only {', '.join(found)}; name another."
        )
    return chosen


def _molecule(
    files: JudgeFiles, model: Path, identity: dict[str, Any], settings: TransferSettings, report: Report
) -> dict[str, Any]:
    """The record of one molecule."""
    judge = files.read(settings.parameters)
    name = f"{files.molecule}.{files.environment}"
    about = {
        "molecule": files.molecule, "environment": files.environment, "kind": judge.kind, "split": judge.split,
        "atoms": len(judge.molecule.positions),
        "reference": {
            "walkers": len(judge.walkers), "frames": len(judge.frames), "frame_spacing_ps": judge.frame_spacing_ps,
            "nanoseconds": len(judge.frames) * judge.frame_spacing_ps / 1000.0, **judge.protocol,
        },
    }  # fmt: skip
    try:
        jump = ReferenceJump(
            model, atomic_numbers=judge.molecule.atomic_numbers.tolist(), bonds=judge.molecule.bonds,
            n_substeps=settings.substeps, temperature=judge.temperature_K,
        )  # fmt: skip
    except UniSimError as error:
        report(f"{name}: refused by the model ({error})")
        return {**about, "status": "refused", "reason": str(error)}
    run = run_freely(
        jump, judge.starts(settings.copies), settings.jumps, settings.seed,
        settings.work / identity["model"][:12] / f"{name}.npz", {**identity, "references": files.sha256()},
        lambda done, total: report(f"{name}: jump {done} of {total}"),
    )  # fmt: skip
    report(f"{name}: scoring")
    scores = score_run(run, judge, jump.lag_time)
    summary = summarise_molecule(scores)
    report(f"{name}: {_line(summary)}")
    speed = {
        "cpu_seconds": run.seconds,
        "jumps_per_cpu_second": len(run.flat) / run.seconds if run.seconds else None,
    }
    return {**about, "status": "done", "frames": len(run.flat), **speed, "summary": summary, **scores}


def _line(summary: dict[str, Any]) -> str:
    parts = [f"valid {summary['valid']:.4f}", f"flips {summary['flips']}"]
    if summary["js_1d"] is not None:
        parts.insert(
            0,
            f"JS 1-D {summary['js_1d']:.3f} (floor {summary['floor_1d']:.3f}, goal {summary['goal_1d']:.3f})",
        )
    return ", ".join(parts)


def _splits(molecules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over molecules of each kind and split."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in molecules.values():
        if one["status"] == "done":
            groups.setdefault(f"{one['kind']}, {one['split']}", []).append(one)
    return {name: summarise_split(found) for name, found in groups.items()}
