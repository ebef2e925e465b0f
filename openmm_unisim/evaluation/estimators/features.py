"""Backbone torsions of a trajectory, residue by residue, and frames superposed for the eye.

phi is the torsion C(i-1)-N-CA-C, psi is N-CA-C-N(i+1) (IUPAC-IUB, Biochemistry 9 (1970) 3471), computed by
mdtraj.
"""

from dataclasses import dataclass

import mdtraj
import numpy as np
from numpy.typing import NDArray

from .distributions import FloatArray, wrap_degrees


@dataclass(frozen=True)
class ResidueTorsions:
    """phi and psi of one residue that has both; degrees in [-180, 180), NaN where positions are NaN.

    Attributes
    ----------
    label : str
        Residue name and number, e.g. ``ALA 2``.
    phi, psi : ndarray, shape (n_frames,)
    """

    label: str
    phi: FloatArray
    psi: FloatArray


def backbone_torsions(positions: NDArray[np.floating], topology: mdtraj.Topology) -> list[ResidueTorsions]:
    """phi and psi of every residue that has both, in chain order; empty for a molecule without a peptide
    backbone.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        Molecules whole.
    topology : mdtraj.Topology
    """
    trajectory = mdtraj.Trajectory(np.asarray(positions, dtype=np.float32), topology)
    phi_atoms, phi = mdtraj.compute_phi(trajectory, periodic=False)
    psi_atoms, psi = mdtraj.compute_psi(trajectory, periodic=False)
    phi_column = {topology.atom(atoms[1]).residue: column for column, atoms in enumerate(phi_atoms)}
    psi_column = {topology.atom(atoms[0]).residue: column for column, atoms in enumerate(psi_atoms)}
    return [
        ResidueTorsions(
            label=f"{residue.name} {residue.resSeq}",
            phi=wrap_degrees(np.degrees(phi[:, phi_column[residue]].astype(np.float64))),
            psi=wrap_degrees(np.degrees(psi[:, psi_column[residue]].astype(np.float64))),
        )
        for residue in topology.residues
        if residue in phi_column and residue in psi_column
    ]


def superposed(
    positions: NDArray[np.floating], atoms: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Frames laid on the first one by the best rotation and translation (Kabsch, Acta Cryst. A32 (1976) 922).

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        Finite.
    atoms : ndarray of int, optional
        Atoms to fit on; default all.

    Returns
    -------
    ndarray, shape (n_frames, n_atoms, 3), nm
        The centroid of the fitted atoms is at the origin.
    """
    frames = np.asarray(positions, dtype=np.float64)
    chosen = np.arange(frames.shape[1]) if atoms is None else atoms
    frames = frames - frames[:, chosen].mean(axis=1, keepdims=True)
    target = frames[0, chosen]
    covariance = np.einsum("fai,aj->fij", frames[:, chosen], target)
    left, _, right = np.linalg.svd(covariance)
    handedness = np.sign(np.linalg.det(left) * np.linalg.det(right))
    left[:, :, 2] *= handedness[:, None]
    return frames @ (left @ right)
