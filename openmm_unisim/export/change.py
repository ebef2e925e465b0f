"""Copies a model file with other metadata."""

from pathlib import Path

from .exporter import quiet_torchscript, write_with_checksum
from .loader import load_torchscript_archive
from .metadata import ModelMetadata

__all__ = ["change_metadata"]


def change_metadata(path: Path, output: Path, changes: dict[str, object]) -> ModelMetadata:
    """Copy a TorchScript model file with other metadata; code and weights stay as they are.

    Parameters
    ----------
    path, output : Path
        May be the same. A sidecar of checksums is written, too.
    changes : dict
        Fields of `ModelMetadata`.

    Returns
    -------
    ModelMetadata
        As written.

    Raises
    ------
    UntrustedModelError, ModelFileError
        If the file may not be run, is a package, or can't be read.
    """
    module, metadata = load_torchscript_archive(path)
    changed = ModelMetadata.model_validate(metadata.model_dump() | changes)
    with quiet_torchscript():
        content = module.save_to_buffer(_extra_files=changed.to_strings())
    write_with_checksum(output, content)
    return changed
