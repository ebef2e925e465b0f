"""Basins of backbone torsions, defined in a JSON file, and the state of every frame.

A basin is a union of regions; a region is a box on the torus, i.e. all of its intervals hold at once; an interval is
[low, high) in degrees and runs over +-180 where low > high. Basins must not overlap: populations would otherwise
depend on their order, so that an overlap is an error on load. Frames outside all of them are in the default basin.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import ConfigError
from ..comparison import Comparison
from ..estimators.distributions import wrap_degrees
from ..estimators.features import ResidueTorsions, backbone_torsions
from ..estimators.kinetics import BASINS, assign_basin
from ..reference import REFERENCE_FOLDER

_SHIPPED = {"ACE-ALA-NME": "ala2_basins.json"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Strict):
    """One torsion in [low, high) degrees, over +-180 where low > high.

    Attributes
    ----------
    residue : str or int
        Label such as ``ALA 2``, or the index (from 0) among the residues that have both phi and psi.
    torsion : {"phi", "psi"}
    low_degrees, high_degrees : float
        In [-180, 180].
    """

    residue: str | int
    torsion: Literal["phi", "psi"]
    low_degrees: float = Field(ge=-180.0, le=180.0)
    high_degrees: float = Field(ge=-180.0, le=180.0)

    @model_validator(mode="after")
    def _not_empty(self) -> "Interval":
        if self.low_degrees == self.high_degrees:
            raise ValueError(
                f"interval from {self.low_degrees} to itself is empty; leave the torsion out for any value"
            )
        return self

    @property
    def width(self) -> float:
        """Degrees."""
        return (self.high_degrees - self.low_degrees) % 360.0 or 360.0

    def holds(self, degrees: ArrayLike) -> NDArray[np.bool_]:
        """Whether each angle is inside; NaN is not."""
        return (np.asarray(degrees, dtype=np.float64) - self.low_degrees) % 360.0 < self.width

    def meets(self, other: "Interval") -> bool:
        """Whether two intervals of one torsion share an angle."""
        return bool(self.holds(other.low_degrees)) or bool(other.holds(self.low_degrees))


class Basin(_Strict):
    """A named union of boxes.

    Attributes
    ----------
    name : str
    uncertain : bool
        No reference knows its population: reported, marked, and kept out of summaries.
    regions : list of list of Interval
        A frame is in the basin if all intervals of any region hold.
    """

    name: str = Field(min_length=1)
    uncertain: bool = False
    regions: list[list[Interval]] = Field(min_length=1)


class BasinSet(_Strict):
    """Basins of one molecule.

    Attributes
    ----------
    name, comment : str
        What it is, and why the borders are where they are.
    basins : list of Basin
        Without overlap.
    default : str
        Name of the basin of all other frames.
    """

    name: str
    comment: str = ""
    basins: list[Basin] = Field(min_length=1)
    default: str = "other"

    @model_validator(mode="after")
    def _distinct(self) -> "BasinSet":
        names = [*(basin.name for basin in self.basins), self.default]
        if len(set(names)) < len(names):
            raise ValueError(f"basin names {names} repeat; give each basin and the default another name")
        for basin in self.basins:
            if not all(basin.regions):
                raise ValueError(f"basin '{basin.name}' has a region without intervals; give it at least one")
        residues = {i.residue for basin in self.basins for region in basin.regions for i in region}
        if len({type(residue) for residue in residues}) > 1:
            raise ValueError(
                "residues are named by label and by index; use one of both, so that overlaps are found"
            )
        _refuse_overlap(self.basins)
        return self

    @property
    def names(self) -> list[str]:
        """Of all states, the default last."""
        return [*(basin.name for basin in self.basins), self.default]

    @property
    def uncertain(self) -> list[bool]:
        """Whether each state of `names` is marked uncertain."""
        return [*(basin.uncertain for basin in self.basins), False]

    def states(self, torsions: list[ResidueTorsions]) -> NDArray[np.int64]:
        """Index into `names` of each frame, shape (n_frames,); -1 where any torsion is NaN.

        Raises
        ------
        ConfigError
            If a basin names a residue that the molecule doesn't have.
        """
        columns = _columns(self.basins, torsions)
        known = np.isfinite([[residue.phi, residue.psi] for residue in torsions]).all(axis=(0, 1))
        result = np.full(known.shape, len(self.basins), dtype=np.int64)
        for index, basin in enumerate(self.basins):
            for region in basin.regions:
                inside = np.ones(known.shape, dtype=bool)
                for interval in region:
                    residue = torsions[columns[interval.residue]]
                    inside &= interval.holds(wrap_degrees(getattr(residue, interval.torsion)))
                result[inside] = index
        return np.where(known, result, -1)


def _columns(basins: list[Basin], torsions: list[ResidueTorsions]) -> dict[str | int, int]:
    """Index of every residue that the basins name."""
    labels = [residue.label for residue in torsions]
    wanted = {interval.residue for basin in basins for region in basin.regions for interval in region}
    columns: dict[str | int, int] = {}
    for residue in wanted:
        if isinstance(residue, int) and 0 <= residue < len(labels):
            columns[residue] = residue
        elif isinstance(residue, str) and residue in labels:
            columns[residue] = labels.index(residue)
        else:
            raise ConfigError(
                f"the basins name residue {residue!r} and the molecule has {labels}; correct the file."
            )
    return columns


def _refuse_overlap(basins: list[Basin]) -> None:
    """Two boxes overlap if the intervals meet in every torsion that both restrict."""
    for first, second in combinations(basins, 2):
        for one in first.regions:
            for other in second.regions:
                if all(
                    a.meets(b) for a in one for b in other if (a.residue, a.torsion) == (b.residue, b.torsion)
                ):
                    raise ConfigError(f"basins '{first.name}' and '{second.name}' overlap; move a border.")


def load_basins(path: str | Path) -> BasinSet:
    """Read a basin file (JSON; the fields of `BasinSet`).

    Raises
    ------
    ConfigError
        If the file is absent, isn't valid, or basins overlap.
    """
    try:
        return BasinSet.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"basin file '{path}' can't be read ({error.strerror}); check the path.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise ConfigError(f"basin file '{path}', {where}: {message}; correct the file.") from error


def shipped_basins(sequence: str) -> BasinSet | None:
    """The basins that come with the package for a molecule such as ``ACE-ALA-NME``; None if there are none."""
    name = _SHIPPED.get(sequence)
    return None if name is None else load_basins(REFERENCE_FOLDER / name)


@dataclass(frozen=True)
class StateSeries:
    """Both trajectories as states.

    Attributes
    ----------
    suffix : str
        What to append to a basin's name in a key: empty, or the residue.
    names : list of str
    uncertain : list of bool
    model : ndarray of int, shape (n_frames,) or (n_frames + nan_frames,)
        Index into `names`; -1 for a frame with NaN.
    reference : ndarray of int, shape (n_reference,)
    """

    suffix: str
    names: list[str]
    uncertain: list[bool]
    model: NDArray[np.int64]
    reference: NDArray[np.int64]

    def state_name(self, index: int) -> str:
        """Name of a state for a key, e.g. ``alpha, ALA 2``."""
        return f"{self.names[index]}, {self.suffix}" if self.suffix else self.names[index]


def state_series(comparison: Comparison, basins: BasinSet | None, finite: bool = False) -> list[StateSeries]:
    """One series by the basins of a file, or without them alpha and beta of each residue (`kinetics`).

    `finite` takes the model's finite frames only, for populations. Empty for a molecule without a residue that has
    phi and psi. A default basin that neither trajectory visits is left out: it holds what the file's basins leave
    over, which is then nothing.
    """
    frames = comparison.model if finite else comparison.model_series
    model = backbone_torsions(frames, comparison.topology)
    reference = backbone_torsions(comparison.reference, comparison.topology)
    if basins is None:
        return [
            StateSeries(
                ours.label, list(BASINS), [False] * len(BASINS), assign_basin(ours.psi), assign_basin(md.psi)
            )
            for ours, md in zip(model, reference)
        ]
    states, judge = basins.states(model), basins.states(reference)
    names, uncertain, last = basins.names, basins.uncertain, len(basins.basins)
    if not ((states == last).any() or (judge == last).any()):
        names, uncertain = names[:-1], uncertain[:-1]
    return [StateSeries("", names, uncertain, states, judge)]
