"""Shipped models by name, and the check that a model file is the one it should be.

A model file is a program: loading it may run code. So a file is looked up, and its SHA-256 compared, before
anything reads its content. A name stands for a file in this folder, listed in ``registry.json`` as
``{name: {"file": ..., "sha256": ..., "card": ..., "weights": ..., "weights_sha256": ...}}``; the weights are what
training goes on from, and ``"earlier_sha256"`` lists files of the same weights that were shipped before.
Any other file must be named by its path; if
``PATH.sha256`` lies beside it (the exporter writes one), it must match. A file without one is taken as it is:
give such a path only if you trust where the file comes from.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checksum import DIGEST, check_sha256, check_sidecar
from ..errors import ConfigError, ModelFileError

__all__ = ["RegisteredModel", "available_models", "registered_models", "resolve_model", "resolve_weights"]

FOLDER = Path(__file__).resolve().parent
_RELATIVE_PATH = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*)*", re.ASCII)  # stays inside the folder


@dataclass(frozen=True)
class RegisteredModel:
    """A shipped model.

    Attributes
    ----------
    name : str
    path, card : Path
        Model file and model card.
    sha256 : str
        Of the model file, lower case.
    weights : Path or None
        Weights file (safetensors) that the model file was made of.
    weights_sha256 : str
    earlier_sha256 : tuple of str
        Of model files of the same weights that were shipped before: results that name them still hold.
    """

    name: str
    path: Path
    card: Path
    sha256: str
    weights: Path | None = None
    weights_sha256: str = ""
    earlier_sha256: tuple[str, ...] = ()


def registered_models(folder: Path = FOLDER) -> dict[str, RegisteredModel]:
    """All models of ``folder/registry.json``, by name.

    Raises
    ------
    ModelFileError
        If the registry is missing or broken.
    """
    registry = folder / "registry.json"
    try:
        entries = json.loads(registry.read_text(encoding="utf-8"))
        models = {name: _registered(name, entry, folder) for name, entry in entries.items()}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"The registry {registry} can't be used ({type(error).__name__}: {error}); "
            "install openmm_unisim again."
        ) from error
    return models


def available_models(folder: Path = FOLDER) -> list[str]:
    """Names that `resolve_model` knows, sorted."""
    return sorted(registered_models(folder))


def resolve_model(name_or_path: str | Path, folder: Path = FOLDER) -> Path:
    """The model file that a name or a path stands for, after a check of its SHA-256.

    Parameters
    ----------
    name_or_path : str or Path
        A registered name (strings only) or a path. A name wins over a file called the same; write ``./name``
        for that file.
    folder : Path
        Where registry.json and the shipped files are.

    Returns
    -------
    Path

    Raises
    ------
    ModelFileError
        If there is no such model, or its content isn't what the registry or ``PATH.sha256`` says.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise ConfigError(f"model = {name_or_path!r} must be a registered name or a path.")
    models = registered_models(folder)
    if isinstance(name_or_path, str) and name_or_path in models:
        model = models[name_or_path]
        if not model.path.is_file():
            raise ModelFileError(
                f"{model.path}, the file of model {model.name}, is missing; install openmm_unisim again."
            )
        check_sha256(model.path, model.sha256, "the registry", "install openmm_unisim again")
        return model.path
    path = Path(name_or_path)
    if not path.exists():
        names = ", ".join(sorted(models)) or "none are shipped yet"
        raise ModelFileError(
            f"{name_or_path} is neither a registered model nor a file; check the path or use a name: {names}."
        )
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file; give the model file itself.")
    check_sidecar(path)
    return path


def resolve_weights(name_or_path: str | Path, folder: Path = FOLDER) -> Path:
    """The weights file that a name stands for, after a check of its SHA-256, or a path as it is.

    Raises
    ------
    ModelFileError
        If there is no such thing, the model is shipped without weights, or their content isn't what the registry says.
    """
    models = registered_models(folder)
    if isinstance(name_or_path, str) and name_or_path in models:
        model = models[name_or_path]
        if model.weights is None or not model.weights.is_file():
            raise ModelFileError(
                f"Model {model.name} is shipped without weights to go on from; give a weights file."
            )
        check_sha256(model.weights, model.weights_sha256, "the registry", "install openmm_unisim again")
        return model.weights
    path = Path(name_or_path)
    if not path.exists():
        names = (
            ", ".join(name for name, model in sorted(models.items()) if model.weights)
            or "none are shipped yet"
        )
        raise ModelFileError(
            f"{name_or_path} is neither a registered model nor a file or run folder; check the path or use a name: "
            f"{names}."
        )
    return path


def _registered(name: str, entry: dict[str, Any], folder: Path) -> RegisteredModel:
    files = ("file", "card", "weights") if "weights" in entry else ("file", "card")
    for key in files:
        if not _RELATIVE_PATH.fullmatch(entry[key]):
            raise ModelFileError(
                f"The registry's {key} {entry[key]!r} of model {name} is no path inside its folder."
            )
    for key in ("sha256", "weights_sha256") if "weights" in entry else ("sha256",):
        if not DIGEST.fullmatch(entry[key]):
            raise ModelFileError(f"The registry's {key} of model {name} isn't 64 hexadecimal digits.")
    return RegisteredModel(
        name, folder / entry["file"], folder / entry["card"], entry["sha256"].lower(),
        folder / entry["weights"] if "weights" in entry else None, entry.get("weights_sha256", "").lower(),
        tuple(entry.get("earlier_sha256", ())),
    )  # fmt: skip
