"""What pretraining reads: labelled frames of each source, equilibrium frames, and the scale of each source's forces.

Lengths change here from nm (files) to angstrom (networks), forces from kJ/mol/nm to units of their source's root mean
square over the training labels: this is the reader's side of architecture rule 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.label_file import labels_of, read_progress
from ..data.molecule_list import listed, require_split
from ..data.stretches import read_stretches
from ..elements import check_elements, vocabulary_lookup
from ..errors import DataError
from ..model.bond_graph import adjacency_matrix, bond_distance
from ..provenance import sha256_of_file
from ..units import ANGSTROM_PER_NM
from .molecule_set import expand

__all__ = ["FrameSet", "Frames", "Shape"]


@dataclass
class Shape:
    """What the network is told of a molecule.

    Attributes
    ----------
    name : str
    z_index : Tensor, shape (n_atoms,), int64
    adjacency, distance : Tensor, shape (n_atoms, n_atoms)
    """

    name: str
    z_index: Tensor
    adjacency: Tensor
    distance: Tensor

    @classmethod
    def of(cls, attributes: dict[str, Any]) -> "Shape":
        """From a file's attributes."""
        check_elements(attributes["atomic_numbers"])
        z_index = torch.tensor(vocabulary_lookup())[torch.tensor(attributes["atomic_numbers"])]
        adjacency = adjacency_matrix(torch.tensor(attributes["bonds"]), len(z_index))
        return cls(attributes["name"], z_index, adjacency, bond_distance(adjacency))

    @property
    def n_atoms(self) -> int:
        """Of one copy."""
        return len(self.z_index)


@dataclass
class Frames:
    """Frames of one molecule for one head.

    Attributes
    ----------
    shape : Shape
    positions : Tensor, shape (n_frames, n_atoms, 3), angstrom
    forces : Tensor, shape (n_frames, n_atoms, 3), or None
        kJ/mol/nm until `FrameSet.scaled`, then in units of the source's scale; None: for denoising.
    """

    shape: Shape
    positions: Tensor
    forces: Tensor | None = None

    def part(self, frames: slice) -> "Frames":
        """Some of the frames."""
        forces = None if self.forces is None else self.forces[frames]
        return Frames(self.shape, self.positions[frames], forces)


class FrameSet:
    """Frames by head.

    Parameters
    ----------
    by_head : dict
        Head to a list of Frames, one a molecule.
    hashes : dict
        SHA-256 of each file, by its name.
    failed : int
        Labelled frames that were left out since their source didn't converge.
    """

    def __init__(self, by_head: dict[str, list[Frames]], hashes: dict[str, str], failed: int = 0) -> None:
        self.by_head, self.hashes, self.failed = by_head, hashes, failed

    @classmethod
    def load(cls, patterns: Sequence[str], sources: Sequence[str], without: Sequence[str] = ()) -> "FrameSet":
        """Read label files; sources that a file doesn't have are left out for it.

        Parameters
        ----------
        patterns, without : sequence of str
            Files, and those to leave out; they are known by their SHA-256, however their paths are spelt.
        sources : sequence of str
        """
        leave = _hashes(without)
        by_head: dict[str, list[Frames]] = {source: [] for source in sources}
        hashes, failed = {}, 0
        for path in expand(patterns):
            digest = _sha256(path)
            if digest in leave:
                continue
            present = read_progress(Path(path))[1]
            for source in sources:
                if present.get(source, 0) == 0:
                    continue
                labels = labels_of(path, source)
                failed += labels.n_failed
                shape = Shape.of(labels.attributes)
                positions = torch.from_numpy(labels.positions * np.float32(ANGSTROM_PER_NM))
                by_head[source].append(Frames(shape, positions, torch.from_numpy(labels.forces)))
            hashes[Path(path).name] = digest
        return cls(by_head, hashes, failed)

    @classmethod
    def load_equilibrium(
        cls, patterns: Sequence[str], head: str, frames: int, without: Sequence[str] = ()
    ) -> "FrameSet":
        """Read trajectory or archive files, `frames` evenly spaced frames of equilibrium dynamics of each."""
        leave = _hashes(without)
        found: list[Frames] = []
        hashes = {}
        for path in expand(patterns):
            digest = _sha256(path)
            if digest in leave:
                continue
            # the file's own `reversible` isn't asked: an archive's is that of its first stretch
            stretches = [stretch for stretch in read_stretches(path) if stretch.reversible]
            if not stretches or not sum(len(stretch.positions) for stretch in stretches):
                continue
            positions = np.concatenate([stretch.positions for stretch in stretches])
            chosen = np.unique(
                np.linspace(0, len(positions) - 1, min(frames, len(positions))).round().astype(int)
            )
            kept = torch.from_numpy(positions[chosen] * np.float32(ANGSTROM_PER_NM))
            found.append(Frames(Shape.of(stretches[0].attributes), kept))
            hashes[Path(path).name] = digest
        return cls({head: found}, hashes)

    @property
    def names(self) -> list[str]:
        """Molecules, sorted."""
        return sorted({frames.shape.name for group in self.by_head.values() for frames in group})

    def require_training(self) -> None:
        """Refuse molecules that judge."""
        require_split(self.names)

    def refuse_tests(self) -> None:
        """Refuse listed test molecules, where a set only steers the training."""
        tests = {entry.name for entry in listed("test")}
        for name in self.names:
            if name in tests:
                raise DataError(f"'{name}' is a test molecule, not to steer training: leave it out.")

    def held_out(self, count: int) -> tuple["FrameSet", "FrameSet"]:
        """Without, and only, the last `count` frames of each molecule; at least one frame stays to train on."""
        rest: dict[str, list[Frames]] = {head: [] for head in self.by_head}
        last: dict[str, list[Frames]] = {head: [] for head in self.by_head}
        for head, group in self.by_head.items():
            for frames in group:
                cut = max(1, len(frames.positions) - count)
                rest[head].append(frames.part(slice(0, cut)))
                if cut < len(frames.positions):
                    last[head].append(frames.part(slice(cut, None)))
        return FrameSet(rest, self.hashes, self.failed), FrameSet(last, self.hashes)

    def scales(self) -> dict[str, float]:
        """Root mean square of a coordinate of the forces of each source, kJ/mol/nm; every frame's atom counts alike."""
        found = {}
        for head, group in self.by_head.items():
            forces = [frames.forces for frames in group if frames.forces is not None]
            if forces:
                squares = sum(float(f.double().square().sum()) for f in forces)
                found[head] = (squares / sum(f.numel() for f in forces)) ** 0.5
        return found

    def scaled(self, scales: dict[str, float]) -> "FrameSet":
        """With forces in units of `scales`."""
        by_head = {
            head: [
                Frames(f.shape, f.positions, f.forces / scales[head]) for f in group if f.forces is not None
            ]
            for head, group in self.by_head.items()
        }
        return FrameSet(by_head, self.hashes, self.failed)


def _hashes(patterns: Sequence[str]) -> set[str]:
    return {_sha256(path) for path in expand(patterns)}


def _sha256(path: str) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"'{path}' can't be read ({error.strerror}); check the path.") from error
