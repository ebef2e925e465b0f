"""Model files: the shipped ones, and those that the user names."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelFileError, UniSimError
from ..export.metadata import ModelMetadata, read_metadata
from ..pretrained.registry import registered_models, resolve_model
from ..pretrained.trust import list_file, refusal
from ..provenance import sha256_of_file
from .finding import Finding, first_line

__all__ = ["model_findings"]


def model_findings(files: Sequence[Path] = ()) -> list[Finding]:
    """Whether they are there, unchanged, readable and trusted; nothing of them runs."""
    section = "models"
    try:
        names = sorted(registered_models())
    except ModelFileError as error:
        return [Finding(section, "registry", "unusable", "fault", first_line(error))]
    found = [_model(name) for name in names]
    found += [_model(path) for path in files]
    found.append(Finding(section, "list of trusted files", str(list_file() or "none: no home folder")))
    return found


def _model(model: str | Path) -> Finding:
    try:
        path = resolve_model(model)
        metadata = read_metadata(path)
        reason = refusal(str(path), sha256_of_file(path))
    except UniSimError as error:
        return Finding("models", str(model), "unusable", "fault", first_line(error))
    except OSError as error:
        return Finding("models", str(model), "unreadable", "fault", first_line(error))
    if reason:
        return Finding("models", str(model), f"{_in_short(metadata)}; not trusted", "note", reason)
    return Finding("models", str(model), f"{_in_short(metadata)}; SHA-256 right")


def _in_short(metadata: ModelMetadata) -> str:
    where = metadata.guidance_environment or metadata.environment
    return (
        f"{metadata.lag_time_ps:g} ps, {metadata.training_temperature_K:g} K, {where}, {metadata.container}, "
        f"format {metadata.format_version}"
    )
