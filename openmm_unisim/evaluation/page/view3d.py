"""Frames and bonds for the rotatable view of a report (drawn by 3Dmol.js)."""

from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from ..estimators.features import superposed
from ..estimators.validity import bond_pairs

MAXIMUM_FRAMES = 100
MAXIMUM_COORDINATES = 600_000  # numbers embedded in the page: about 2.5 MB


def viewer_data(
    positions: NDArray[np.floating], topology: mdtraj.Topology, times_ps: NDArray[np.floating]
) -> dict[str, Any] | None:
    """At most 100 evenly spaced finite frames, laid on the first; None if no frame is finite.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        Molecules whole.
    topology : mdtraj.Topology
    times_ps : ndarray, shape (n_frames,)

    Returns
    -------
    dict
        ``atoms``: element, atom name, residue name and number, chain, bonded atoms; ``frames``: integers of
        0.001 nm, flat; ``times_ps``; ``frame_numbers`` (from 1).
    """
    finite = np.flatnonzero(np.isfinite(positions).all(axis=(1, 2)))
    if len(finite) == 0:
        return None
    count = min(MAXIMUM_FRAMES, len(finite), max(1, MAXIMUM_COORDINATES // (3 * topology.n_atoms)))
    chosen = finite[np.unique(np.linspace(0, len(finite) - 1, count).round().astype(int))]
    frames = superposed(positions[chosen], _fit_atoms(topology))
    neighbours: list[list[int]] = [[] for _ in range(topology.n_atoms)]
    for first, second in bond_pairs(topology).tolist():
        neighbours[first].append(second)
        neighbours[second].append(first)
    atoms = [
        [
            atom.element.symbol,
            atom.name,
            atom.residue.name,
            atom.residue.resSeq,
            atom.residue.chain.index,
            neighbours[atom.index],
        ]
        for atom in topology.atoms
    ]
    return {
        "atoms": atoms,
        "frames": np.rint(frames.reshape(len(chosen), -1) * 1000.0).astype(int),
        "times_ps": np.round(times_ps[chosen], 3),
        "frame_numbers": chosen + 1,
    }


def _fit_atoms(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """Backbone (N, CA, C) where there are three such atoms or more, else heavy atoms, else all."""
    backbone = [atom.index for atom in topology.atoms if atom.name in ("N", "CA", "C")]
    heavy = [atom.index for atom in topology.atoms if atom.element.symbol != "H"]
    for atoms in (backbone, heavy):
        if len(atoms) >= 3:
            return np.array(atoms, dtype=np.int64)
    return np.arange(topology.n_atoms)
