"""The molecules that a run is trained on, or judged on: their pairs and what the networks are told of them."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.molecule_list import listed, require_split
from ..data.pairs import PairSampler, PairSource
from ..data.stretches import read_attributes
from ..elements import check_elements, vocabulary_lookup
from ..errors import DataError
from ..model.bond_graph import adjacency_matrix, bond_distance

__all__ = ["PROTOCOL", "MoleculeSet", "TrainingMolecule", "protocol_difference"]

DRAWN_ATOMS = 200_000  # of the pairs that measure the displacement: some hundred megabytes
PROTOCOL = ("environment", "temperature_K", "friction_per_ps", "hydrogen_mass_Da", "constraints")


@dataclass
class TrainingMolecule:
    """One molecule in one environment.

    Attributes
    ----------
    source : PairSource
    samplers : dict
        Lag time (ps) to its PairSampler.
    z_index : Tensor, shape (n_atoms,), int64
    """

    source: PairSource
    samplers: dict[float, PairSampler]
    z_index: Tensor = field(init=False)

    def __post_init__(self) -> None:
        numbers = self.source.atomic_numbers
        check_elements(numbers.tolist())
        self.z_index = torch.tensor(vocabulary_lookup())[numbers]

    @cached_property
    def adjacency(self) -> Tensor:
        """Shape (n_atoms, n_atoms), as `distance`; made when whole copies are looked at."""
        return adjacency_matrix(self.source.bonds, self.n_atoms)

    @cached_property
    def distance(self) -> Tensor:
        """Bonds between each pair."""
        return bond_distance(self.adjacency)

    @property
    def name(self) -> str:
        """Of the molecule."""
        return self.source.name

    @property
    def n_atoms(self) -> int:
        """Of one copy."""
        return len(self.z_index)


class MoleculeSet(Sequence[TrainingMolecule]):
    """Molecules, in the order of their names.

    Parameters
    ----------
    molecules : sequence of TrainingMolecule
        At least one.
    """

    def __init__(self, molecules: Sequence[TrainingMolecule]) -> None:
        self._molecules = list(molecules)

    @classmethod
    def load(cls, patterns: Sequence[str], lags: Sequence[float], start_noise: float = 0.0) -> "MoleculeSet":
        """Read files of any number of molecules and sort them by molecule and environment.

        Parameters
        ----------
        patterns : sequence of str
            Trajectory or archive files; ``*`` and ``?`` stand for what they do in a shell.
        lags : sequence of float, ps
        start_noise : float, angstrom

        Raises
        ------
        DataError
            If a pattern matches nothing, or files can't be read or don't go together.
        """
        groups: dict[tuple[str, str], list[str]] = {}
        for path in expand(patterns):
            attributes = read_attributes(path)
            groups.setdefault((attributes["name"], attributes["environment"]), []).append(path)
        molecules = []
        for key in sorted(groups):
            source = PairSource.load(groups[key])
            molecules.append(
                TrainingMolecule(source, {lag: PairSampler(source, lag, start_noise) for lag in lags})
            )
        if not molecules:
            raise DataError("No trajectory files were given; run `openmm-unisim generate` first.")
        return cls(molecules)

    def __getitem__(self, index: Any) -> Any:
        return self._molecules[index]

    def __len__(self) -> int:
        return len(self._molecules)

    def require_training(self) -> None:
        """Refuse molecules that judge: outside the split `train`, or unlisted capped peptides."""
        require_split(molecule.name for molecule in self)

    def refuse_tests(self) -> None:
        """Refuse listed test molecules, where a set only steers the training."""
        tests = {entry.name for entry in listed("test")}
        for molecule in self:
            if molecule.name in tests:
                raise DataError(f"'{molecule.name}' is a test molecule, not to steer training: leave it out.")

    def require_protocol(self, expected: dict[str, Any]) -> None:
        """Refuse a set that judges another environment, temperature, friction, mass or constraints than were learned.

        Raises
        ------
        DataError
        """
        difference = protocol_difference(self.protocol, expected)
        if difference:
            raise DataError(
                f"The held-out files of '{self[0].name}' have {difference} as the training's; hold out files of the "
                "training's protocol."
            )

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, by its name."""
        return {name: digest for molecule in self for name, digest in molecule.source.hashes.items()}

    @property
    def protocol(self) -> dict[str, Any]:
        """What a model file must say of its data.

        That of the first molecule, with the atomic numbers of all (each element once where there are several
        molecules), `molecules`, their names, and `nanoseconds`, how much MD there is of all.

        Raises
        ------
        DataError
            If molecules differ in environment, temperature, friction, masses or constraints.
        """
        first = self[0].source.attributes
        for molecule in self:
            for key in PROTOCOL:
                if molecule.source.attributes[key] != first[key]:
                    raise DataError(
                        f"'{molecule.name}' has {key} = {molecule.source.attributes[key]!r} and '{self[0].name}' "
                        f"{first[key]!r}; a model is trained on one protocol, so give the files of one."
                    )
        keys = ("name", "force_field", *PROTOCOL, "frame_spacing_ps", "time_step", "atomic_numbers", "bonds")
        found = {key: first[key] for key in keys}
        if len(self) > 1:
            elements = sorted({int(z) for molecule in self for z in molecule.source.atomic_numbers})
            fields = sorted({molecule.source.attributes["force_field"] for molecule in self})
            found |= {"name": f"{len(self)} molecules", "atomic_numbers": elements, "bonds": []}
            found |= {"force_field": "; ".join(fields)}
        sources = [molecule.source for molecule in self]
        picoseconds = sum(
            len(walker) * source.frame_spacing for source in sources for walker in source.walkers
        )
        names = [molecule.name for molecule in self]
        return found | {"molecules": names, "nanoseconds": round(picoseconds / 1000, 6)}

    def displacement(self, lags: Sequence[float], seed: int = 0) -> float:
        """RMS displacement of a coordinate over the lags, angstrom; every molecule and lag counts alike."""
        squares = []
        for molecule in self:
            samples = min(max(64, 4096 // (len(self) * len(lags))), max(16, DRAWN_ATOMS // molecule.n_atoms))
            for lag in lags:
                sampler = PairSampler(molecule.source, lag)
                generator = torch.Generator().manual_seed(seed)
                squares.append(sampler.displacement(samples, generator) ** 2)
        return float((sum(squares) / len(squares)) ** 0.5)


def protocol_difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """The first key of two protocols that differs, as "key = 'found', not 'expected'"; empty if none does.

    Keys that one of them doesn't state, as files of an older version may not, aren't compared.
    """
    for key in PROTOCOL:
        if key in found and key in expected and found[key] != expected[key]:
            return f"{key} = {found[key]!r}, not {expected[key]!r}"
    return ""


def expand(patterns: Sequence[str]) -> list[str]:
    """Files that patterns stand for, sorted, each once; a pattern without a match is a DataError."""
    found: set[str] = set()
    for pattern in patterns:
        # a file's own name comes first: 'fg[1]/train.h5' is one
        plain = Path(pattern).is_file() or not glob.has_magic(pattern)
        matches = [pattern] if plain else glob.glob(pattern)
        if not matches:
            raise DataError(f"No file matches '{pattern}'; make the data first (docs/data.md).")
        found.update(matches)
    return sorted(found)
