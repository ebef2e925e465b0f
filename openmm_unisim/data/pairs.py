"""Time-lagged pairs (x_0, x_1) of one molecule, as the vector field is trained on them.

Lengths change here from nm (files) to angstrom (networks): this is the reader's side of architecture rule 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..errors import DataError
from ..geometry import superpose, superposition
from ..provenance import sha256_of_file
from ..units import ANGSTROM_PER_NM
from .equivalent_hydrogens import match_hydrogens, methyl_groups
from .stretches import read_stretches


class Pair(NamedTuple):
    """A batch of pairs: starts and superposed, relabelled ends; shape (n_copies, n_atoms, 3), angstrom."""

    start: Tensor
    end: Tensor


@dataclass
class PairSource:
    """All walkers of one molecule.

    Attributes
    ----------
    name : str
    walkers : list of Tensor, shape (n_frames, n_atoms, 3), angstrom
        Unbroken stretches: a file whose walker was restarted from other frames gives several.
    reversible : list of bool
        Whether each stretch is equilibrium dynamics, whose pairs may be reversed in time.
    atomic_numbers : Tensor, shape (n_atoms,), int64
    bonds : Tensor, shape (n_bonds, 2), int64
    frame_spacing : float, ps
    attributes : dict
        Of the first file: environment, temperature, force field, masses, friction.
    hashes : dict
        SHA-256 of each file, by its name (the whole path where another file has the same name).
    """

    name: str
    walkers: list[Tensor]
    atomic_numbers: Tensor
    bonds: Tensor
    frame_spacing: float
    attributes: dict
    hashes: dict[str, str]
    reversible: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reversible = self.reversible or [True] * len(self.walkers)

    @classmethod
    def load(cls, paths: Sequence[str | Path]) -> "PairSource":
        """Read the walkers of one molecule, from trajectory files or from the archive.

        Raises
        ------
        DataError
            If there is none, or they are of different molecules or protocols.
        """
        if not paths:
            raise DataError("No trajectory files were given; run `openmm-unisim generate` first.")
        walkers, reversible, hashes, first = [], [], {}, None
        shared = (
            "atomic_numbers",
            "bonds",
            "frame_spacing_ps",
            "temperature_K",
            "environment",
            "force_field",
            "friction_per_ps",
            "hydrogen_mass_Da",
            "constraints",
        )
        for path in sorted(str(p) for p in paths):
            for stretch in read_stretches(path):
                attributes = stretch.attributes
                first = first or attributes
                for key in shared:
                    if attributes.get(key) != first.get(key):
                        raise DataError(
                            f"'{path}' differs from the other walkers in {key}; give the walkers of one protocol."
                        )
                walkers.append(torch.from_numpy(stretch.positions * ANGSTROM_PER_NM))
                reversible.append(stretch.reversible)
            hashes[Path(path).name if Path(path).name not in hashes else str(path)] = sha256_of_file(path)
        if first is None:
            raise DataError(f"The files of which '{paths[0]}' is one hold no frames; generate them first.")
        return cls(
            first["name"], walkers, torch.tensor(first["atomic_numbers"]), torch.tensor(first["bonds"]),
            float(first["frame_spacing_ps"]), first, hashes, reversible,
        )  # fmt: skip

    def lag_frames(self, lag_time: float) -> int:
        """Frames in a lag time (ps); a lag that is no multiple of the spacing is a DataError."""
        frames = lag_time / self.frame_spacing
        if abs(frames - round(frames)) > 1e-6 or round(frames) < 1:
            raise DataError(
                f"lag_time = {lag_time} ps is no multiple of the stored frame spacing {self.frame_spacing} ps."
            )
        return round(frames)


class PairSampler:
    """Draws batches of pairs at random, forward or reversed in time with equal chance.

    Reversal is valid because the dynamics is reversible at equilibrium; it doubles the data. Pairs of walkers that
    didn't start from equilibrium are drawn forward only. Stretches shorter than the lag hold no pair and are left out.

    Parameters
    ----------
    source : PairSource
    lag_time : float, ps
    start_noise : float
        Angstrom; each start is displaced by Gaussian noise of a scale drawn from [0, start_noise], so that the field
        meets starts as imperfect as its own jumps.
    """

    def __init__(self, source: PairSource, lag_time: float, start_noise: float = 0.0) -> None:
        self.lag = source.lag_frames(lag_time)
        self.start_noise = start_noise
        self.groups = methyl_groups(source.atomic_numbers, source.bonds)
        self.heavy = torch.nonzero(source.atomic_numbers > 1).squeeze(1)
        usable = [k for k, walker in enumerate(source.walkers) if len(walker) > self.lag]
        if not usable:
            raise DataError(
                f"Every walker of '{source.name}' is shorter than the lag of {lag_time} ps; generate more."
            )
        self.walkers = usable  # whose frames `frames` are, one after another
        self.frames = torch.cat([source.walkers[k] for k in usable])
        offsets, reversible, start = [], [], 0
        for k in usable:
            length = len(source.walkers[k])
            offsets.append(torch.arange(start, start + length - self.lag))
            reversible.append(torch.full((length - self.lag,), source.reversible[k]))
            start += length
        self.starts, self.reversible = torch.cat(offsets), torch.cat(reversible)

    def draw(self, size: int, generator: Generator) -> Pair:
        """A batch of `size` pairs."""
        drawn = torch.randint(len(self.starts), (size,), generator=generator)
        chosen = self.starts[drawn]
        forward = (torch.rand(size, generator=generator) < 0.5) | ~self.reversible[drawn]
        first = torch.where(forward, chosen, chosen + self.lag)
        second = torch.where(forward, chosen + self.lag, chosen)
        return self.pair(first, second, generator)

    def directed(self) -> tuple[Tensor, Tensor]:
        """Frames at the start and at the end of every pair that `draw` may return, each way in time by itself."""
        forth, back = self.starts, self.starts[self.reversible]
        return torch.cat([forth, back + self.lag]), torch.cat([forth + self.lag, back])

    def pair(self, first: Tensor, second: Tensor, generator: Generator) -> Pair:
        """The pairs of the given frames, shape (size,) each, noise of the starts included."""
        size = len(first)
        start, end = self.frames[first], self.frames[second]
        if self.start_noise > 0:
            scale = self.start_noise * torch.rand(size, 1, 1, generator=generator)
            start = start + scale * torch.randn(start.shape, generator=generator)
        return self.align(start, end)

    def align(self, start: Tensor, end: Tensor) -> Pair:
        """Centre the start, superpose the end on it and relabel its equivalent hydrogens."""
        start = start - start.mean(1, keepdim=True)
        rough = _superpose_by(end, start, self.heavy)
        matched = match_hydrogens(rough, start, self.groups)
        return Pair(start, superpose(matched, start))

    def displacement(self, size: int, generator: Generator) -> float:
        """RMS displacement of a coordinate over the lag, angstrom."""
        pair = self.draw(size, generator)
        return float((pair.end - pair.start).square().mean().sqrt())


def _superpose_by(mobile: Tensor, target: Tensor, subset: Tensor) -> Tensor:
    """Superpose whole copies by the atoms in `subset`."""
    rotation, shift_from, shift_to = superposition(mobile[:, subset], target[:, subset])
    return ((mobile.double() - shift_from) @ rotation + shift_to).to(mobile.dtype)
