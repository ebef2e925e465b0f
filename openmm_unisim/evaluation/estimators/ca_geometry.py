"""Alpha-carbon geometry: pair distances, radius of gyration, contacts and the validity of the chain.

===================  ==================================================================  =====================
symbol               meaning                                                             name here
===================  ==================================================================  =====================
d_ij                 distance of alpha carbons i < j, nm                                 ca_distances
|i - j| >= 4         pairs of PWD                                                        distant
R_g                  sqrt(mean_i |r_i - mean r|^2), equal weights                        radius_of_gyration
c_ij                 fraction of frames with d_ij < 1.0 nm                               contacts
CONTACT              sqrt(2/(n(n-1)) sum_{i<j} (c_ij - c_ij^ref)^2)                      contact_error
VAL-CA               no d_ij < 0.30 nm, and no d_(i,i+1) > 0.419 nm                      chain_is_valid
===================  ==================================================================  =====================

Source: UniSim's evaluation (spec section 13). Corrected: i, i+1 are sequential only within a chain and between
consecutive residues, and a calcium ion named CA is no alpha carbon.
"""

from dataclasses import dataclass

import mdtraj
import numpy as np
from numpy.typing import NDArray

from .distributions import FloatArray

DISTANT_SEPARATION = 4
CONTACT_DISTANCE = 1.0
CLASH_DISTANCE = 0.30
BREAK_DISTANCE = 0.419


@dataclass(frozen=True)
class AlphaCarbons:
    """The alpha carbons of a topology, in its order.

    Attributes
    ----------
    atoms : ndarray, shape (n_ca,)
        Atom indices.
    pairs : ndarray, shape (n_ca (n_ca - 1) / 2, 2)
        All i < j, as positions in `atoms`.
    distant : ndarray of bool, shape (n_pairs,)
        Pairs with j >= i + 4.
    sequential : ndarray of bool, shape (n_pairs,)
        Pairs of consecutive residues of one chain.
    """

    atoms: NDArray[np.int64]
    pairs: NDArray[np.int64]
    distant: NDArray[np.bool_]
    sequential: NDArray[np.bool_]

    @property
    def n_ca(self) -> int:
        """Number of alpha carbons."""
        return len(self.atoms)


def alpha_carbon_pairs(topology: mdtraj.Topology) -> AlphaCarbons:
    """Find the alpha carbons and their pairs."""
    found = [
        a for a in topology.atoms if a.name == "CA" and a.element is not None and a.element.symbol == "C"
    ]
    first, second = np.triu_indices(len(found), 1)
    sequential = [follows(found[i].residue, found[j].residue) for i, j in zip(first, second)]
    return AlphaCarbons(
        np.array([atom.index for atom in found], dtype=np.int64),
        np.stack([first, second], axis=1).astype(np.int64),
        second >= first + DISTANT_SEPARATION,
        np.array(sequential, dtype=bool),
    )


def follows(first: mdtraj.core.topology.Residue, second: mdtraj.core.topology.Residue) -> bool:
    """Whether `second` comes right after `first` in one chain, with no gap in the numbering.

    Insertion codes (52, 52A) leave the number as it is, so a step of 0 is no gap.
    """
    return (
        first.chain is second.chain
        and second.index == first.index + 1
        and second.resSeq - first.resSeq in (0, 1)
    )


def ca_distances(positions: NDArray[np.floating], carbons: AlphaCarbons) -> FloatArray:
    """Distances of all pairs, (n_frames, n_pairs), nm; `positions` is (n_frames, n_atoms, 3), nm, molecules whole."""
    chain = np.asarray(positions)[:, carbons.atoms].astype(np.float64)
    distances = np.empty((len(chain), len(carbons.pairs)))
    for column, (i, j) in enumerate(carbons.pairs):
        distances[:, column] = np.linalg.norm(chain[:, i] - chain[:, j], axis=-1)
    return distances


def radius_of_gyration(positions: NDArray[np.floating], carbons: AlphaCarbons) -> FloatArray:
    """Radius of gyration of the alpha carbons with equal weights, (n_frames,), nm."""
    chain = np.asarray(positions)[:, carbons.atoms].astype(np.float64)
    centred = chain - chain.mean(axis=1, keepdims=True)
    return np.sqrt(np.mean(np.sum(centred**2, axis=-1), axis=1))


def chain_is_valid(distances: FloatArray, carbons: AlphaCarbons) -> NDArray[np.bool_]:
    """Whether no pair clashes and no sequential pair is apart, (n_frames,); a NaN distance is a fault.

    Parameters
    ----------
    distances : ndarray, shape (n_frames, n_pairs), nm
        As from `ca_distances`.
    carbons : AlphaCarbons
    """
    apart = (distances >= CLASH_DISTANCE).all(axis=1)
    joined = (distances[:, carbons.sequential] <= BREAK_DISTANCE).all(axis=1)
    return np.asarray(apart & joined)


def contacts(distances: FloatArray) -> NDArray[np.bool_]:
    """Whether each pair is closer than 1.0 nm, same shape."""
    return np.asarray(distances < CONTACT_DISTANCE)


def contact_error(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Root mean square over all pairs i < j of the difference of contact rates; (n_frames, n_pairs) each."""
    return float(np.sqrt(np.mean((first.mean(axis=0) - second.mean(axis=0)) ** 2)))


def contact_matrix(in_contact: NDArray[np.bool_], carbons: AlphaCarbons) -> FloatArray:
    """Contact rates as a symmetric matrix, (n_ca, n_ca), with a diagonal of ones."""
    matrix = np.eye(carbons.n_ca)
    first, second = carbons.pairs.T
    matrix[first, second] = matrix[second, first] = in_contact.mean(axis=0)
    return matrix
