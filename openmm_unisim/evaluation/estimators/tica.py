"""Time-lagged independent components (TICA) of a reference, and the projection of any trajectory on them.

=====================  ==============================================================  ===================
symbol                 meaning                                                         name here
=====================  ==============================================================  ===================
chi(x)                 pair distances (nm), sin and cos of phi, psi, omega             TicaFeatures
C_0, C_tau             covariances of chi - mean, symmetrised in time                  (deeptime)
C_tau r = C_0 l r      eigenvalues l, sorted by |l|, and eigenvectors r                eigenvalues
l_k r_k                columns of the projection ("kinetic map")                       components
w(x)                   Koopman weights: from the sampled to the stationary ensemble    koopman
=====================  ==============================================================  ===================

Source: Perez-Hernandez et al., J. Chem. Phys. 139 (2013) 015102; kinetic map, Noe and Clementi, J. Chem. Theory
Comput. 11 (2015) 5002; Koopman weights, Wu et al., J. Chem. Phys. 146 (2017) 154104; features as in UniSim (spec
section 13). Computed by deeptime, frames block by block to bound memory. The reference alone is used for fitting.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .distributions import FloatArray

DIMENSIONS = 4
PROTEIN_RESIDUES = 10  # peptides of more residues than this are proteins: torsions only
MAX_FEATURES = 3000
LEAST_LAGS = 10  # a reference shorter than this many lags holds too few independent windows
_BLOCK_ELEMENTS = 8_000_000  # of features in memory at a time

Blocks = Iterator[tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class TicaFeatures:
    """Internal coordinates that TICA sees.

    Attributes
    ----------
    topology : mdtraj.Topology
    pairs : ndarray, shape (n_pairs, 2)
        Atoms of the distances.
    torsions : ndarray, shape (n_torsions, 4)
        Atoms of the torsions; each gives a sine and a cosine.
    """

    topology: mdtraj.Topology
    pairs: NDArray[np.int64]
    torsions: NDArray[np.int64]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.pairs) + 2 * len(self.torsions)

    def __call__(self, positions: NDArray[np.floating]) -> FloatArray:
        """Features of frames, (n_frames, n_features); positions (n_frames, n_atoms, 3), nm, molecules whole."""
        trajectory = mdtraj.Trajectory(np.asarray(positions, dtype=np.float32), self.topology)
        with np.errstate(invalid="ignore", over="ignore"):  # exploded frames become NaN or infinite features
            distances = mdtraj.compute_distances(trajectory, self.pairs, periodic=False)
            angles = mdtraj.compute_dihedrals(trajectory, self.torsions, periodic=False)
            columns = [distances, np.sin(angles), np.cos(angles)]
        return np.concatenate([np.asarray(c, dtype=np.float64) for c in columns], axis=1)


def is_protein(topology: mdtraj.Topology) -> bool:
    """Whether the molecule is a peptide of more than ten residues, caps not counted."""
    return sum(_has_backbone(residue) for residue in topology.residues) > PROTEIN_RESIDUES


def tica_features(topology: mdtraj.Topology) -> TicaFeatures:
    """Features as in the paper, by kind of molecule.

    Peptides: distances of all pairs of C, N and S atoms, and phi, psi, omega. Proteins (more than ten residues): the
    torsions only, since distances would outnumber frames. Molecules without a peptide backbone: distances of all
    pairs of atoms other than hydrogen.
    """
    peptide = any(_has_backbone(residue) for residue in topology.residues)
    if not peptide:
        chosen = [atom.index for atom in topology.atoms if atom.element.symbol != "H"]
    elif is_protein(topology):
        chosen = []
    else:
        chosen = [atom.index for atom in topology.atoms if atom.element.symbol in ("C", "N", "S")]
    first, second = np.triu_indices(len(chosen), 1)
    atoms = np.array(chosen, dtype=np.int64)
    pairs = np.stack([atoms[first], atoms[second]], axis=1).reshape(-1, 2)
    return TicaFeatures(
        topology, pairs, _backbone_torsion_atoms(topology) if peptide else np.zeros((0, 4), int)
    )


def _has_backbone(residue: mdtraj.core.topology.Residue) -> bool:
    return {"N", "CA", "C"} <= {atom.name for atom in residue.atoms}


def _backbone_torsion_atoms(topology: mdtraj.Topology) -> NDArray[np.int64]:
    frame = mdtraj.Trajectory(np.zeros((1, topology.n_atoms, 3), dtype=np.float32), topology)
    finders = (mdtraj.compute_phi, mdtraj.compute_psi, mdtraj.compute_omega)
    atoms = [np.asarray(find(frame, periodic=False)[0], dtype=np.int64).reshape(-1, 4) for find in finders]
    return np.concatenate(atoms)


@dataclass(frozen=True)
class Tica:
    """A fitted projection; plain arrays, so that it can be written anywhere.

    Attributes
    ----------
    features : TicaFeatures
    mean : ndarray, shape (n_features,)
    components : ndarray, shape (n_features, n_components)
        Columns scaled by their eigenvalue.
    eigenvalues : ndarray, shape (n_components,)
        Autocorrelation of each component at the lag; by absolute value, descending.
    lag_frames : int
        Of the reference.
    koopman : bool
        Whether frames were reweighted.
    """

    features: TicaFeatures
    mean: FloatArray
    components: FloatArray
    eigenvalues: FloatArray
    lag_frames: int
    koopman: bool

    def project(self, positions: NDArray[np.floating]) -> FloatArray:
        """Components of frames, (n_frames, n_components); NaN where features overflow."""
        projected = np.empty((len(positions), self.components.shape[1]))
        with np.errstate(invalid="ignore", over="ignore"):
            for frames in _slices(len(positions), self.features.n_features):
                projected[frames] = (self.features(positions[frames]) - self.mean) @ self.components
        return projected


def fit_tica(
    positions: NDArray[np.floating],
    features: TicaFeatures,
    lag_frames: int,
    *,
    dimensions: int = DIMENSIONS,
    koopman: bool = False,
) -> Tica:
    """Fit on a reference.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), nm
        One continuous trajectory, finite.
    features : TicaFeatures
    lag_frames : int
    dimensions : int
        Components to keep; fewer if the features have a lower rank.
    koopman : bool
        Reweight frames to the stationary ensemble. Left out (see `Tica.koopman`) if that would give some frame a
        weight that isn't positive, as with too few frames for the features or frames far from stationary.

    Raises
    ------
    DataError
        If there are no features, too many, or too few frames.
    """
    from deeptime.decomposition import TICA
    from deeptime.numeric import ZeroRankError

    _check(len(positions), features.n_features, lag_frames)
    weigh = _koopman_weights(positions, features, lag_frames) if koopman else None
    covariance = _covariance(lag_frames)
    for earlier, later in _lagged_blocks(positions, features, lag_frames):
        covariance.partial_fit((earlier, later), weights=None if weigh is None else weigh(earlier))
    try:
        model = TICA(lagtime=lag_frames, dim=dimensions).fit(covariance.fetch_model()).fetch_model()
    except ZeroRankError as error:
        raise DataError("no internal coordinate of the reference varies; give MD that moves.") from error
    kept = min(dimensions, model.output_dimension)
    return Tica(
        features, np.array(model.mean_0), np.array(model.instantaneous_coefficients[:, :kept]),
        np.array(model.singular_values[:kept]), lag_frames, weigh is not None,
    )  # fmt: skip


def _covariance(lag_frames: int) -> Any:  # deeptime is imported late
    from deeptime.covariance import Covariance

    return Covariance(
        lag_frames, compute_c0t=True, remove_data_mean=True, reversible=True, bessels_correction=False
    )


def _koopman_weights(positions: NDArray[np.floating], features: TicaFeatures, lag_frames: int) -> Any:
    """Weights of frames as a function of their features; None if they aren't all positive."""
    from deeptime.covariance import KoopmanWeightingEstimator

    estimator = KoopmanWeightingEstimator(lagtime=lag_frames, ncov=5)
    for pair in _lagged_blocks(positions, features, lag_frames):
        estimator.partial_fit(pair)
    with np.errstate(divide="ignore", invalid="ignore"):  # no stationary ensemble: NaN weights, refused below
        weights = estimator.fetch_model().weights
    blocks = _lagged_blocks(positions, features, lag_frames)
    return weights if all((weights(earlier) > 0.0).all() for earlier, _ in blocks) else None


def _check(n_frames: int, n_features: int, lag_frames: int) -> None:
    if n_features == 0:
        raise DataError(
            "the molecule has no torsion and no pair of heavy atoms; TICA has nothing to work on."
        )
    if n_features > MAX_FEATURES:
        raise DataError(
            f"{n_features} internal coordinates are more than the {MAX_FEATURES} that TICA is meant for; "
            "evaluate a part of the molecule."
        )
    needed = max(LEAST_LAGS * lag_frames, lag_frames + n_features + 1)
    if lag_frames < 1 or n_frames < needed:
        raise DataError(
            f"TICA at a lag of {lag_frames} frames on {n_features} coordinates needs {needed} reference frames "
            f"to fit on, not {n_frames}; run MD longer or lower the lag."
        )


def _slices(n_frames: int, n_features: int) -> Iterator[slice]:
    block = max(1, _BLOCK_ELEMENTS // n_features)
    return (slice(start, min(start + block, n_frames)) for start in range(0, n_frames, block))


def _lagged_blocks(positions: NDArray[np.floating], features: TicaFeatures, lag_frames: int) -> Blocks:
    """Features of the starts and of the ends of all windows, in blocks of windows."""
    for starts in _slices(len(positions) - lag_frames, features.n_features):
        ends = slice(starts.start + lag_frames, starts.stop + lag_frames)
        yield features(positions[starts]), features(positions[ends])
