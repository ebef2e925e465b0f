"""Small evaluations for tests: files of rigid alanine dipeptide with the torsions of the shipped MD."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_unisim.evaluation.evaluate import write_evaluation
from openmm_unisim.evaluation.settings import EvaluationSettings
from tests.evaluation.pairs_of_runs import shipped_torsions
from tests.evaluation.runs import PDB, dipeptide

MODEL_SPACING_PS, REFERENCE_SPACING_PS = 20.0, 10.0


def positions(first: int, last: int, step: int = 1, psi_shift: float = 0.0) -> NDArray[np.float32]:
    """Frames of the shipped MD as positions of a rigid molecule, psi turned by some degrees."""
    torsions = shipped_torsions(first, last)[::step]
    return dipeptide(torsions[:, 0], torsions[:, 1] + psi_shift)


def write_npz(path: Path, frames: NDArray[Any], spacing_ps: float) -> Path:
    """An .npz trajectory."""
    np.savez(path, positions=frames, frame_spacing_ps=spacing_ps)
    return path


def write_files(folder: Path, psi_shift: float = 0.0) -> dict[str, Path]:
    """Reference of 3,000 frames, and 600 other frames of the same MD as the model."""
    return {
        "topology": PDB,
        "reference": write_npz(folder / "reference.npz", positions(0, 3000), REFERENCE_SPACING_PS),
        "model": write_npz(folder / "model.npz", positions(3000, 4200, 2, psi_shift), MODEL_SPACING_PS),
    }


def evaluated(folder: Path, psi_shift: float = 0.0, repeats: int = 8, **options: Any) -> dict[str, Any]:
    """The record of such files; `options` of `write_evaluation` or of its settings."""
    settings = {
        name: options.pop(name) for name in list(options) if name in EvaluationSettings.__annotations__
    }
    files: dict[str, Any] = write_files(folder, psi_shift) | {
        name: options.pop(name) for name in ("topology", "reference", "model") if name in options
    }
    return write_evaluation(**files, settings=EvaluationSettings(**settings), repeats=repeats, **options)


def metrics_of(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every metric by its key; keys are unique."""
    found = [metric for section in record["sections"] for metric in section["metrics"]]
    by_key = {metric["key"]: metric for metric in found}
    assert len(by_key) == len(found)
    return by_key
