"""Is every frame of a trajectory still the molecule? An independent recount on written frames.

=====================  ==============================================================  =====================
symbol                 meaning                                                         name here
=====================  ==============================================================  =====================
|d_ij - r_ij|          deviation of a bond from its force-field length, nm             deviations
(N-CA).((C-CA)         handedness of an alpha carbon; a flip is a sign other than      chirality_volumes
 x (CB-CA))            that of the reference structure
d_ij < 0.20 nm         clash of heavy atoms more than three bonds apart                CLASH_DISTANCE
=====================  ==============================================================  =====================

Limits, all far outside 300 K MD (in 300 ns of alanine dipeptide no heavy bond leaves its length by more
than 0.016 nm and no such pair comes closer than 0.26 nm): a bond is *off* beyond 0.025 nm; a frame is an
*explosion* if any bond is beyond 0.05 nm or any coordinate is NaN or infinite.
The runner's own counters (`simulation.quality`) look at every *proposed* jump and at all stereocentres;
these here need nothing but positions and bond lengths, so that any trajectory can be judged.
"""

from dataclasses import asdict, dataclass

import mdtraj
import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

BOND_OFF = 0.025
EXPLOSION = 0.05
CLASH_DISTANCE = 0.20
_EXCLUDED_BONDS = 3
_BLOCK = 2000  # frames looked at together, to bound memory


@dataclass(frozen=True)
class ValidityReport:
    """Counts over frames; None means that it can't be computed for this molecule.

    Attributes
    ----------
    n_frames, nan_frames : int
        All frames; those with a NaN or infinite coordinate. The latter are left out below but count as
        explosions.
    max_heavy_bond_deviation_nm, max_hydrogen_bond_deviation_nm : float or None
        Largest deviation from the force-field length, bonds without and with hydrogen.
    frames_bond_off, explosions : int or None
        Frames with any bond off by more than 0.025 and 0.05 nm.
    chirality_centres, frames_chirality_flipped : int or None
        Alpha carbons with a CB; frames in which any is not as in the reference structure.
    frames_clash : int
        Frames with heavy atoms more than three bonds apart closer than 0.20 nm.
    """

    n_frames: int
    nan_frames: int
    max_heavy_bond_deviation_nm: float | None
    max_hydrogen_bond_deviation_nm: float | None
    frames_bond_off: int | None
    explosions: int | None
    chirality_centres: int
    frames_chirality_flipped: int | None
    frames_clash: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain numbers for JSON, with the fractions of frames."""
        counts = asdict(self)
        for key in (
            "nan_frames",
            "frames_bond_off",
            "explosions",
            "frames_chirality_flipped",
            "frames_clash",
        ):
            name = key.removeprefix("frames_").removesuffix("_frames")
            counts[f"fraction_{name}"] = None if counts[key] is None else counts[key] / self.n_frames
        return counts


def bond_pairs(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """Bonded pairs, shape (n_bonds, 2)."""
    return np.array([(a.index, b.index) for a, b in topology.bonds], dtype=np.int64).reshape(-1, 2)


def force_field_bond_lengths(
    topology: mdtraj.Topology, force_field: str = "amber14/protein.ff14SB.xml"
) -> NDArray[np.float64] | None:
    """Equilibrium length (nm) of each bond of `bond_pairs`; None where the force field doesn't know the
    molecule.

    Parameters
    ----------
    topology : mdtraj.Topology
        All-atom.
    force_field : str
        An OpenMM force-field file.
    """
    from openmm import HarmonicBondForce

    try:
        system = app.ForceField(force_field).createSystem(topology.to_openmm(), constraints=None)
    except ValueError:  # "No template found for residue ..."
        return None
    lengths: dict[frozenset[int], float] = {}
    for force in system.getForces():
        if isinstance(force, HarmonicBondForce):
            for index in range(force.getNumBonds()):
                first, second, length, _ = force.getBondParameters(index)
                lengths[frozenset((first, second))] = length.value_in_unit(unit.nanometer)
    return np.array([lengths[frozenset(map(int, pair))] for pair in bond_pairs(topology)])


def bond_deviations(
    positions: NDArray[np.floating], pairs: NDArray[np.int64], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """|d - r| of each bond, shape (n_frames, n_bonds), nm, of positions (n_frames, n_atoms, 3) nm."""
    frames = np.asarray(positions, dtype=np.float64)
    distances = np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=-1)
    return np.abs(distances - lengths)


def alpha_carbons(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """Rows (CA, N, C, CB) of every residue that has all four, shape (n_centres, 4)."""
    rows = []
    for residue in topology.residues:
        atoms = {atom.name: atom.index for atom in residue.atoms}
        if all(name in atoms for name in ("CA", "N", "C", "CB")):
            rows.append([atoms["CA"], atoms["N"], atoms["C"], atoms["CB"]])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def chirality_volumes(positions: NDArray[np.floating], centres: NDArray[np.int64]) -> NDArray[np.float64]:
    """Triple product (N-CA).((C-CA) x (CB-CA)), nm^3, (n_frames, n_centres); positive for L amino acids."""
    frames = np.asarray(positions, dtype=np.float64)
    arms = frames[:, centres[:, 1:]] - frames[:, centres[:, :1]]
    return np.einsum("fci,fci->fc", arms[:, :, 0], np.cross(arms[:, :, 1], arms[:, :, 2]))


def distant_heavy_pairs(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """Pairs of heavy atoms more than three bonds apart (or not connected), shape (n_pairs, 2)."""
    neighbours: list[set[int]] = [set() for _ in range(topology.n_atoms)]
    for first, second in bond_pairs(topology):
        neighbours[first].add(int(second))
        neighbours[second].add(int(first))
    heavy = [atom.index for atom in topology.atoms if atom.element.symbol != "H"]
    pairs = []
    for start in heavy:
        reached, shell = {start}, {start}
        for _ in range(_EXCLUDED_BONDS):
            shell = {n for atom in shell for n in neighbours[atom]} - reached
            reached |= shell
        pairs += [(start, other) for other in heavy if other > start and other not in reached]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _any_closer(positions: NDArray[np.floating], pairs: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
    """Whether any pair is closer than `limit` (nm), shape (n_frames,)."""
    block = max(1, _BLOCK * 200 // max(len(pairs), 1))
    flags = [
        (np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=-1) < limit).any(axis=1)
        for frames in np.split(positions, range(block, len(positions), block))
    ]
    return np.concatenate(flags)


def check_trajectory(
    positions: NDArray[np.floating],
    topology: mdtraj.Topology,
    reference_positions: NDArray[np.floating],
    lengths: NDArray[np.float64] | None,
) -> ValidityReport:
    """Count broken frames.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        Molecules whole.
    topology : mdtraj.Topology
    reference_positions : ndarray, shape (n_atoms, 3), nm
        A structure of the right handedness.
    lengths : ndarray, shape (n_bonds,), nm, or None
        As from `force_field_bond_lengths`; None leaves bonds out.
    """
    finite = np.isfinite(positions).all(axis=(1, 2))
    n_nan = int((~finite).sum())
    frames = np.asarray(positions)[finite]
    centres, pairs = alpha_carbons(topology), distant_heavy_pairs(topology)
    signs = np.sign(chirality_volumes(np.asarray(reference_positions)[None], centres))
    flipped = (np.sign(chirality_volumes(frames, centres)) != signs).any(axis=1)
    heavy, hydrogen, off, broken = _count_bonds(frames, topology, lengths)
    return ValidityReport(
        n_frames=len(positions),
        nan_frames=n_nan,
        max_heavy_bond_deviation_nm=heavy,
        max_hydrogen_bond_deviation_nm=hydrogen,
        frames_bond_off=off,
        explosions=None if broken is None else broken + n_nan,
        chirality_centres=len(centres),
        frames_chirality_flipped=int(flipped.sum()) if len(centres) else None,
        frames_clash=int(_any_closer(frames, pairs, CLASH_DISTANCE).sum()) if len(pairs) else 0,
    )


def _count_bonds(
    frames: NDArray[np.floating], topology: mdtraj.Topology, lengths: NDArray[np.float64] | None
) -> tuple[float | None, float | None, int | None, int | None]:
    """Largest heavy and X-H deviation (nm), frames with a bond off, frames with a bond broken."""
    pairs = bond_pairs(topology)
    if lengths is None or len(pairs) == 0:
        return None, None, None, None
    if len(frames) == 0:
        return None, None, 0, 0
    elements = [atom.element.symbol for atom in topology.atoms]
    with_hydrogen = np.array(["H" in (elements[i], elements[j]) for i, j in pairs])
    worst = np.zeros((len(frames), 2))
    for column, chosen in enumerate((~with_hydrogen, with_hydrogen)):
        if chosen.any():
            worst[:, column] = bond_deviations(frames, pairs[chosen], lengths[chosen]).max(axis=1)
    largest = [
        float(worst[:, k].max()) if m.any() else None for k, m in enumerate((~with_hydrogen, with_hydrogen))
    ]
    per_frame = worst.max(axis=1)
    return largest[0], largest[1], int((per_frame > BOND_OFF).sum()), int((per_frame > EXPLOSION).sum())
