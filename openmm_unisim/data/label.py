"""Labelling a molecule: frames drawn block by block, then each source up to its own number of frames; resumable."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import CheckpointError, ConfigError
from ..provenance import provenance
from ..system import Molecule
from . import label_file
from .labels.registry import create_source
from .off_equilibrium import FramesConfig, draw_block

__all__ = ["label_molecule"]

_BLOCK = 64  # frames between two writes of labels
Progress = Callable[[str, int, int], None]


def label_molecule(
    molecule: Molecule,
    path: Path,
    n_frames: Mapping[str, int],
    config: FramesConfig,
    progress: Progress | None = None,
) -> Path:
    """Label frames of a molecule, or continue, until each source has labelled its number of them.

    Parameters
    ----------
    molecule : Molecule
    path : Path
        The label file.
    n_frames : mapping
        Source name to number of frames; a slow source may have fewer.
    config : FramesConfig
    progress : callable (source or "frames", done, total), optional
        Called after each write; it may raise to stop, and what was written stays.

    Returns
    -------
    Path
        The file.
    """
    if not n_frames or min(n_frames.values()) < 1:
        raise ConfigError(f"n_frames = {dict(n_frames)} must name a source and be positive.")
    if not path.exists():
        label_file.create(path, _attributes(molecule, config))
    present, _, attributes = label_file.read_progress(path)
    if attributes["frames"] != config.as_attributes() or attributes["name"] != molecule.name:
        raise CheckpointError(
            f"'{path}' was begun with other settings of its frames or for another molecule; use another file."
        )
    wanted = max(n_frames.values())
    while present < wanted:
        label_file.append_frames(path, draw_block(molecule, present // config.block, config))
        present += config.block
        if progress is not None:
            progress("frames", present, wanted)
    for source in n_frames:
        _label(molecule, path, source, n_frames[source], progress)
    return path


def _label(molecule: Molecule, path: Path, source: str, count: int, progress: Progress | None) -> None:
    done = label_file.read_progress(path)[1].get(source, 0)
    if done >= count:
        return
    evaluate = create_source(source, molecule)
    while done < count:
        frames = label_file.read_frames(path, done, min(done + _BLOCK, count))
        label_file.append_labels(path, source, evaluate.reference, evaluate(frames))
        done += len(frames)
        if progress is not None:
            progress(source, done, count)


def _attributes(molecule: Molecule, config: FramesConfig) -> dict:
    return {
        "name": molecule.name,
        "atomic_numbers": molecule.atomic_numbers.tolist(),
        "bonds": molecule.bonds.tolist(),
        "force_field": molecule.force_field,
        "frames": config.as_attributes(),
        "provenance": provenance(seed=config.seed),
    }
