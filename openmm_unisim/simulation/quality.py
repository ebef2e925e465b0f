"""Is a proposed structure still the molecule? Bonds, chirality, clashes and NaN of every jump.

==================  ==================================================================  ==================
symbol              meaning                                                             name here
==================  ==================================================================  ==================
max |d_ij - r_ij|   largest deviation of a bond from the force field's own length, nm   max_bond_deviation
(a-c).((b-c)        its sign is the handedness of a stereocentre c with its three       _triple_product
 x (d-c))           first-ranked neighbours a, b, d; a flip: not the start's sign
d_ij < f (R_i+R_j)  clash of atoms more than three bonds apart, R: van der Waals radii  clash_fraction
==================  ==================================================================  ==================

Radii: Bondi, J. Phys. Chem. 68 (1964) 441, and Alvarez, Dalton Trans. 42 (2013) 8617 for hydrogen. The limits
are far outside what MD does at 300 K, so that they count broken molecules and not thermal motion
(tests/simulation/test_quality.py counts none in MD).
"""

from dataclasses import dataclass, field

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit
from scipy.spatial import cKDTree

from ..errors import StructureError
from ..stereo import find_stereocentres

__all__ = [
    "POLICIES",
    "Quality",
    "QualityCounts",
    "QualityLimits",
    "QualityMonitor",
    "excluded_pairs",
]

POLICIES = ("reject", "stop", "keep")
_RADII = {
    1: 0.110,
    6: 0.170,
    7: 0.155,
    8: 0.152,
    9: 0.147,
    15: 0.180,
    16: 0.180,
    17: 0.175,
    35: 0.185,
    53: 0.198,
}
_DEFAULT_RADIUS = 0.2  # nm: the other elements of the vocabulary are metals and noble gases, none smaller
_EXCLUDED_BONDS = 3  # pairs up to 1-4 are held by bonded terms


@dataclass(frozen=True)
class QualityLimits:
    """Beyond which a structure counts as broken.

    Attributes
    ----------
    bond : float
        nm; largest tolerated bond deviation (the thermal spread is about 0.003 nm).
    clash_fraction : float
        f of the table above (hydrogen bonds come down to about 0.6).
    runaway : float
        nm; a coordinate beyond it is treated as not finite.
    """

    bond: float = 0.05
    clash_fraction: float = 0.5
    runaway: float = 1.0e5


@dataclass(frozen=True)
class Quality:
    """What was measured on one structure; `max_bond_deviation` (nm) is NaN where the positions are."""

    max_bond_deviation: float
    chirality_flips: int
    clashes: int
    nan: bool
    bond_broken: bool

    @property
    def broken(self) -> bool:
        """Whether any limit is passed."""
        return self.nan or self.bond_broken or self.chirality_flips > 0 or self.clashes > 0

    def describe(self) -> str:
        """What is wrong, in words."""
        if self.nan:
            return "positions or energy are not finite"
        faults = [f"a bond is {self.max_bond_deviation:.3f} nm off its length"] if self.bond_broken else []
        faults += [f"{self.chirality_flips} stereocentre(s) flipped"] if self.chirality_flips else []
        faults += [f"{self.clashes} atom pair(s) clash"] if self.clashes else []
        return ", ".join(faults) or "nothing is wrong"


NOT_FINITE = Quality(float("nan"), 0, 0, nan=True, bond_broken=False)
NOT_MEASURED = Quality(float("nan"), 0, 0, nan=False, bond_broken=False)


@dataclass
class QualityCounts:
    """Jumps whose proposal was broken, by kind (one may count in several), before any rejection."""

    broken: int = 0
    nan: int = 0
    bond: int = 0
    chirality: int = 0
    clash: int = 0
    largest_bond_deviation: float = field(default=0.0)  # nm, among finite proposals

    def add(self, quality: Quality) -> None:
        """Count one proposal."""
        self.broken += quality.broken
        self.nan += quality.nan
        self.bond += quality.bond_broken
        self.chirality += quality.chirality_flips > 0
        self.clash += quality.clashes > 0
        if not quality.nan:
            self.largest_bond_deviation = max(self.largest_bond_deviation, quality.max_bond_deviation)


class QualityMonitor:
    """Measures structures of one molecule.

    Parameters
    ----------
    topology : openmm.app.Topology
        Bonds and elements.
    system : openmm.System
        Its `HarmonicBondForce` and distance constraints give the equilibrium bond lengths.
    start_positions : ndarray, shape (n_atoms, 3), nm
        Define the handedness of every stereocentre.
    limits : QualityLimits, optional
    """

    def __init__(
        self,
        topology: app.Topology,
        system: openmm.System,
        start_positions: NDArray[np.float64],
        limits: QualityLimits | None = None,
    ):
        if topology.getNumAtoms() != system.getNumParticles():
            raise StructureError(
                f"The topology has {topology.getNumAtoms()} atoms and the System {system.getNumParticles()} "
                "particles; build the System from this topology."
            )
        self.limits = limits or QualityLimits()
        self._pairs, self._lengths = bond_lengths(system)
        self._centres = find_stereocentres(topology)
        start = np.asarray(start_positions, dtype=np.float64)
        self._handedness = np.sign(_triple_product(start, self._centres))
        numbers = [atom.element.atomic_number for atom in topology.atoms()]
        radii = np.array([_RADII.get(number, _DEFAULT_RADIUS) for number in numbers])
        self._clash_radii = self.limits.clash_fraction * radii
        self._excluded = excluded_pairs(topology)

    @property
    def n_stereocentres(self) -> int:
        """How many centres are watched."""
        return len(self._centres)

    def assess(self, positions: NDArray[np.float64], potential_energy: float = 0.0) -> Quality:
        """Measure one structure.

        Parameters
        ----------
        positions : ndarray, shape (n_atoms, 3), nm
            Molecules whole.
        potential_energy : float
            kJ/mol; only its finiteness matters.
        """
        if not (np.abs(positions) < self.limits.runaway).all() or not np.isfinite(potential_energy):
            return NOT_FINITE
        deviation = self._bond_deviation(positions)
        handedness = np.sign(_triple_product(positions, self._centres))
        return Quality(
            max_bond_deviation=deviation,
            chirality_flips=int(np.count_nonzero(handedness != self._handedness)),
            clashes=self._count_clashes(positions),
            nan=False,
            bond_broken=deviation > self.limits.bond,
        )

    def _bond_deviation(self, positions: NDArray[np.float64]) -> float:
        if len(self._pairs) == 0:
            return 0.0
        vectors = positions[self._pairs[:, 0]] - positions[self._pairs[:, 1]]
        return float(np.abs(np.linalg.norm(vectors, axis=1) - self._lengths).max())

    def _count_clashes(self, positions: NDArray[np.float64]) -> int:
        pairs = cKDTree(positions).query_pairs(2.0 * float(self._clash_radii.max()), output_type="ndarray")
        distances = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
        close = pairs[distances < self._clash_radii[pairs].sum(axis=1)]
        return sum((int(i), int(j)) not in self._excluded for i, j in close)


def bond_lengths(system: openmm.System) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs, shape (n, 2), and lengths (nm), shape (n,), of a System's harmonic bonds and constraints."""
    pairs: list[tuple[int, int]] = []
    lengths: list[float] = []
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            for index in range(force.getNumBonds()):
                first, second, length, _ = force.getBondParameters(index)
                pairs.append((first, second))
                lengths.append(length.value_in_unit(unit.nanometer))
    for index in range(system.getNumConstraints()):
        first, second, length = system.getConstraintParameters(index)
        pairs.append((first, second))
        lengths.append(length.value_in_unit(unit.nanometer))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), np.array(lengths)


def _triple_product(positions: NDArray[np.float64], centres: NDArray[np.int64]) -> NDArray[np.float64]:
    """(a-c).((b-c) x (d-c)) of each row (c, a, b, d) of `centres`, shape (n_centres,), nm^3."""
    arms = positions[centres[:, 1:]] - positions[centres[:, :1]]
    return np.einsum("ni,ni->n", arms[:, 0], np.cross(arms[:, 1], arms[:, 2]))


def excluded_pairs(topology: app.Topology) -> set[tuple[int, int]]:
    """Pairs (i < j) at most three bonds apart."""
    neighbours: list[set[int]] = [set() for _ in range(topology.getNumAtoms())]
    for bond in topology.bonds():
        neighbours[bond.atom1.index].add(bond.atom2.index)
        neighbours[bond.atom2.index].add(bond.atom1.index)
    excluded = set()
    for start in range(len(neighbours)):
        reached, shell = {start}, {start}
        for _ in range(_EXCLUDED_BONDS):
            shell = {n for atom in shell for n in neighbours[atom]} - reached
            reached |= shell
        excluded |= {(start, other) for other in reached if other > start}
    return excluded
