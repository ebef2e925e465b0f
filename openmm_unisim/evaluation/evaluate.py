"""Judge a model trajectory beside MD: every metric with error bar and floor, as a record, and as files.

The record (format 1) holds `mode`, `molecule`, `model`, `reference`, `resampling`, `settings`, `warnings`, `sections`
(each a list of `Metric.as_dict`), `inputs` (files with their SHA-256) and `provenance`; docs/evaluate.md has the keys.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ConfigError, OutputError
from ..provenance import package_versions, provenance, sha256_of_file
from ..system import get_platform
from ..writable import check_writable
from .comparison import Comparison, load_comparison
from .estimators.features import backbone_torsions
from .metrics.basins import BasinSet, load_basins, shipped_basins
from .page.jsonable import jsonable
from .page.markdown import evaluation_markdown
from .sections import SectionArrays, make_sections
from .settings import NO_ENVIRONMENT, EvaluationSettings

FORMAT_VERSION = 1
_PACKAGES = ("openmm", "numpy", "scipy", "mdtraj", "deeptime", "emcee")


def evaluate(comparison: Comparison, settings: EvaluationSettings | None = None) -> dict[str, Any]:
    """Every metric of a comparison.

    Parameters
    ----------
    comparison : Comparison
        As from `load_comparison`.
    settings : EvaluationSettings, optional

    Returns
    -------
    dict
        The record; `inputs` is empty, since a comparison knows no files.

    Raises
    ------
    ConfigError
        If a setting or the basin file isn't acceptable.
    """
    record, _, _ = _evaluated(comparison, settings or EvaluationSettings())
    return record


def write_evaluation(
    topology: str | Path,
    reference: str | Path,
    model: str | Path,
    settings: EvaluationSettings | None = None,
    *,
    json_path: str | Path | None = None,
    html_path: str | Path | None = None,
    markdown_path: str | Path | None = None,
    model_spacing_ps: float | None = None,
    reference_spacing_ps: float | None = None,
    block_ps: float = 1000.0,
    repeats: int = 20,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Evaluate files and write the record as JSON, HTML and Markdown, each where a path is given.

    Parameters
    ----------
    topology, reference, model, model_spacing_ps, reference_spacing_ps, block_ps, repeats, seed
        As in `load_comparison`.
    settings : EvaluationSettings, optional
    json_path, html_path, markdown_path : path, optional
    progress : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    DataError, StructureError
        If an input can't be read.
    ConfigError
        If a setting or the basin file isn't acceptable.
    OutputError
        If an output can't be written; looked at before anything is computed.
    """
    settings = settings or EvaluationSettings()
    _check_outputs((json_path, "{"), (html_path, "<!DOCTYPE html>"), (markdown_path, "# Evaluation"))
    _check_numbers(
        seed, model_spacing_ps=model_spacing_ps, reference_spacing_ps=reference_spacing_ps, block_ps=block_ps
    )
    if settings.environment != NO_ENVIRONMENT:
        get_platform(settings.platform)  # an unknown one is told at once, too
    if settings.basins is not None:
        load_basins(settings.basins)  # a bad file is told before trajectories are read
    comparison = load_comparison(
        topology, reference, model, model_spacing_ps=model_spacing_ps, reference_spacing_ps=reference_spacing_ps,
        block_ps=block_ps, repeats=repeats, seed=seed,
    )  # fmt: skip
    record, arrays, basin_set = _evaluated(comparison, settings, progress)
    inputs = {"topology": topology, "reference": reference, "model": model}
    inputs |= {"basins": settings.basins} if settings.basins is not None else {}
    inputs |= {"second_model": settings.second_model} if settings.second_model is not None else {}
    record["inputs"] = {
        name: {"file": str(path), "sha256": sha256_of_file(path)} for name, path in inputs.items()
    }
    if json_path is not None:
        _write(json_path, json.dumps(record, indent=1, allow_nan=False) + "\n")
    if markdown_path is not None:
        _write(markdown_path, evaluation_markdown(record))
    if html_path is not None:
        from .page.evaluation_page import evaluation_page

        _write(html_path, evaluation_page(record, comparison, arrays, basin_set))
    return record


def _evaluated(
    comparison: Comparison, settings: EvaluationSettings, progress: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], SectionArrays, BasinSet | None]:
    """The record, arrays for figures, and the basins."""
    sequence = "-".join(residue.name for residue in comparison.topology.residues)
    basins = shipped_basins(sequence) if settings.basins is None else load_basins(settings.basins)
    if basins is not None and settings.basins is not None:
        basins.states(
            backbone_torsions(comparison.structure[None], comparison.topology)
        )  # refuses foreign residues
    sections, arrays, warnings = make_sections(comparison, settings, basins, progress)
    resampling = comparison.resampling
    record = {
        "format_version": FORMAT_VERSION,
        "mode": settings.mode,
        "molecule": {"sequence": sequence, "n_atoms": comparison.topology.n_atoms},
        "model": {
            "frames": len(comparison.model_series),
            "nan_frames": comparison.nan_frames,
            "spacing_ps": comparison.model_spacing_ps,
        },
        "reference": {"frames": len(comparison.reference), "spacing_ps": comparison.reference_spacing_ps},
        "resampling": {
            "block_frames": resampling.block_frames,
            "stride": resampling.stride,
            "repeats": resampling.repeats,
            "seed": resampling.seed,
        },
        "settings": {**settings.as_dict(), "basins": None if basins is None else basins.name},
        "warnings": warnings,
        "sections": [section.as_dict() for section in sections],
        "inputs": {},
        "provenance": provenance(seed=resampling.seed, versions=package_versions(_PACKAGES)),
    }
    return jsonable(record), arrays, basins


def _check_numbers(seed: int, **durations: float | None) -> None:
    if seed < 0:
        raise ConfigError(f"seed = {seed} is negative; give 0 or more.")
    for name, value in durations.items():
        if value is not None and not 0.0 < value < float("inf"):
            raise ConfigError(f"{name} = {value} is no duration; give a positive number of ps.")


def _check_outputs(*outputs: tuple[str | Path | None, str]) -> None:
    """Refuse an output path at once instead of after a minute of work; each with how such a file begins."""
    targets = []
    for path, begins in outputs:
        if path is not None:
            check_writable(path, begins)
            targets.append(Path(path))
    if len({target.resolve() for target in targets}) < len(targets):
        raise ConfigError("two outputs have one path; give JSON, HTML and Markdown a file each.")


def _write(path: str | Path, text: str) -> None:
    target = Path(path)
    temporary = target.with_name(target.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"'{path}' can't be written ({error.strerror}); choose a writable file.") from error
