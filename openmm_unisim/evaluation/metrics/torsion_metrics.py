"""JS distances of phi, psi and (phi, psi) of every residue, and their means over residues.

===============  ==========================================================  =====================
symbol           meaning                                                     name here
===============  ==========================================================  =====================
d_JS(phi, psi)   distance of the joint histograms of one residue, 30 x 30    js_phi_psi
<d_JS>           mean over residues                                          js_phi_psi_mean
===============  ==========================================================  =====================

Histograms and distance are those of `distributions`: the whole torus, 60 bins in 1-D, no pseudo-count.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from ..comparison import Comparison
from ..estimators.distributions import (
    BINS_1D,
    BINS_2D,
    FloatArray,
    js_distance,
    torsion_histogram,
    torsion_histogram_2d,
)
from ..estimators.features import backbone_torsions
from ..metric import Metric
from ..uncertainty import Array, Resampling, compared

_LABELS = {"phi": "φ", "psi": "ψ", "phi_psi": "(φ, ψ)"}
NO_TORSIONS = "no residue has both phi and psi"


def torsion_metrics(comparison: Comparison) -> list[Metric]:
    """JS distances per residue and their means, with error bars and floors.

    Keys: ``js_phi_psi_mean``, ``js_phi_mean``, ``js_psi_mean``, then ``js_phi[ALA 2]`` and so on.
    """
    model = backbone_torsions(comparison.model, comparison.topology)
    reference = backbone_torsions(comparison.reference, comparison.topology)
    if not model:
        return [
            Metric.missing(
                f"js_{which}_mean", f"JS of {text}, mean over residues", NO_TORSIONS, better="lower"
            )
            for which, text in _LABELS.items()
        ]
    angles, judge = (
        np.stack([np.stack([residue.phi, residue.psi], axis=1) for residue in torsions], axis=1)
        for torsions in (model, reference)
    )
    rows = [
        _distances(
            angles[:, index : index + 1], judge[:, index : index + 1], comparison.resampling, residue.label
        )
        for index, residue in enumerate(model)
    ]
    means = _distances(angles, judge, comparison.resampling, None)
    if len(rows) == 1:  # the mean over one residue is that residue's
        means = [
            replace(mean, details={**mean.details, "repeats": one.key}) for mean, one in zip(means, rows[0])
        ]
    return [*reversed(means), *(metric for row in rows for metric in row)]


def _distances(model: Array, reference: Array, resampling: Resampling, residue: str | None) -> list[Metric]:
    """Of angles (n_frames, n_residues, 2) in degrees: of one residue, or the mean over all."""
    where = "_mean" if residue is None else f"[{residue}]"
    of = "mean over residues" if residue is None else residue
    return [
        compared(
            f"js_{which}{where}", f"JS distance of {text}, {of}", partial(_mean_distance, which), model, reference,
            resampling, details={"bins": BINS_2D if which == "phi_psi" else BINS_1D},
        )
        for which, text in _LABELS.items()
    ]  # fmt: skip


def _mean_distance(which: str, model: Array, reference: Array) -> float:
    distances = [
        js_distance(_histogram(which, model[:, residue]), _histogram(which, reference[:, residue]))
        for residue in range(model.shape[1])
    ]
    return float(np.mean(distances))


def _histogram(which: str, angles: Array) -> FloatArray:
    if which == "phi_psi":
        return torsion_histogram_2d(angles[:, 0], angles[:, 1])
    return torsion_histogram(angles[:, 0 if which == "phi" else 1])
