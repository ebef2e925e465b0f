"""The MD that judges a molecule: all its walkers in one environment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from ...data.molecule_list import find_entry
from ...data.molecule_source import load_entry
from ...data.stretches import Stretch, read_attributes, read_stretches
from ...errors import DataError
from ...provenance import sha256_of_file
from ...system import Molecule, load_molecule

__all__ = ["Judge", "JudgeFiles", "find_judges"]

_PROTOCOL = ("constraints", "hydrogen_mass_Da", "friction_per_ps", "force_field", "time_step")


@dataclass(frozen=True)
class Judge:
    """Reference MD of one molecule in one environment.

    Attributes
    ----------
    molecule : Molecule
    kind, split : str
        Of the molecule lists; "unlisted" where it is in none.
    environment : str
    temperature_K, frame_spacing_ps : float
    walkers : list of ndarray, shape (n_frames, n_atoms, 3), float32, nm
    protocol : dict
    """

    molecule: Molecule
    kind: str
    split: str
    environment: str
    temperature_K: float
    frame_spacing_ps: float
    walkers: list[NDArray[np.float32]]
    protocol: dict[str, Any]

    @property
    def topology(self) -> mdtraj.Topology:
        """Of the molecule."""
        return mdtraj.Topology.from_openmm(self.molecule.topology)

    @property
    def frames(self) -> NDArray[np.float32]:
        """All walkers, one after another, shape (n_frames, n_atoms, 3), nm."""
        return np.concatenate(self.walkers)

    def starts(self, copies: int) -> NDArray[np.float64]:
        """Evenly spaced frames of all walkers, shape (copies, n_atoms, 3), nm: starts of as many chains."""
        frames = self.frames
        if len(frames) < copies:
            raise DataError(
                f"The reference of {self.molecule.name} has {len(frames)} frames, fewer than {copies} copies; "
                "ask for fewer."
            )
        index = (np.arange(copies) + 0.5) * len(frames) / copies
        return frames[index.astype(np.int64)].astype(np.float64)


@dataclass(frozen=True)
class JudgeFiles:
    """The files of one judge; what they hold is read when its turn comes.

    Attributes
    ----------
    molecule, environment : str
    paths : tuple of Path
        Trajectory or archive files.
    structure : str
        What the molecule is loaded from if it isn't listed: a name or the file that the MD was made of.
    """

    molecule: str
    environment: str
    paths: tuple[Path, ...]
    structure: str

    def sha256(self) -> dict[str, str]:
        """Hashes by file name."""
        return {path.name: sha256_of_file(path) for path in self.paths}

    def read(self, parameters: Path) -> Judge:
        """The judge.

        Parameters
        ----------
        parameters : Path
            Folder of small molecules' Amber files.

        Raises
        ------
        DataError
            If the files are not of one molecule, or hold pairs instead of equilibrium dynamics.
        """
        stretches = [stretch for path in self.paths for stretch in read_stretches(path)]
        if not stretches or not all(stretch.reversible for stretch in stretches):
            raise DataError(
                f"'{self.paths[0]}' and its like hold no equilibrium MD; a judge is made of walkers without restarts."
            )
        attributes = stretches[0].attributes
        molecule, kind, split = _molecule(self.molecule, self.structure, parameters)
        for stretch in stretches:
            _check_like(stretch, attributes, molecule)
        return Judge(
            molecule, kind, split, self.environment, attributes["temperature_K"], attributes["frame_spacing_ps"],
            [stretch.positions for stretch in stretches],
            {key: attributes.get(key) for key in _PROTOCOL},
        )  # fmt: skip


def _molecule(name: str, structure: str, parameters: Path) -> tuple[Molecule, str, str]:
    """The molecule with its kind and split; one that is not listed is loaded as `load_molecule` does."""
    try:
        entry = find_entry(name)
    except DataError:
        return load_molecule(structure), "unlisted", "unlisted"
    if Path(structure).is_file():  # MD of a user's own file: its atoms may be in another order
        return load_molecule(structure), entry.kind, entry.split
    return load_entry(entry, parameters), entry.kind, entry.split


def _check_like(stretch: Stretch, first: dict[str, Any], molecule: Molecule) -> None:
    if stretch.attributes["atomic_numbers"] != molecule.atomic_numbers.tolist():
        raise DataError(f"A reference of '{molecule.name}' has other atoms than the molecule; make it again.")
    for key in ("frame_spacing_ps", "temperature_K", "constraints"):
        if stretch.attributes.get(key) != first.get(key):
            raise DataError(f"Walkers of '{molecule.name}' differ in {key}; give walkers of one protocol.")


def find_judges(paths: Sequence[Path]) -> list[JudgeFiles]:
    """Group files, or all ``*.h5`` of folders, by molecule and environment; in the order that they are found.

    Raises
    ------
    DataError
        If there are none, or one is unreadable.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.h5")) if path.is_dir() else [path]
    groups: dict[tuple[str, str], list[Path]] = {}
    structures: dict[tuple[str, str], str] = {}
    for path in files:
        attributes = read_attributes(path)
        key = (attributes["name"], attributes["environment"])  # `molecule` is the name as it was typed
        groups.setdefault(key, []).append(path)
        structures.setdefault(key, str(attributes.get("molecule") or attributes["name"]))
    if not groups:
        raise DataError(f"There are no reference files (*.h5) in {[str(path) for path in paths]}.")
    return [JudgeFiles(*key, tuple(found), structures[key]) for key, found in groups.items()]
