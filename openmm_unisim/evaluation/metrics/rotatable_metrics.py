"""JS distances of torsions about rotatable bonds: side chains of peptides, and small molecules (`rotatable`)."""

import numpy as np

from ..comparison import Comparison
from ..estimators.distributions import BINS_1D, js_distance, torsion_histogram
from ..estimators.rotatable import rotatable_torsions, torsion_angles
from ..metric import Metric
from ..uncertainty import Array, compared

__all__ = ["rotatable_metrics"]


def rotatable_metrics(comparison: Comparison) -> list[Metric]:
    """JS distance of every such torsion, 60 bins, with error bars and floors.

    Keys: ``js_torsion_mean``, then ``js_torsion[LABEL]``.
    """
    torsions = rotatable_torsions(comparison.topology)
    label = "JS distance of torsions about rotatable bonds, mean"
    if not torsions:
        return [Metric.missing("js_torsion_mean", label, "no rotatable bond", better="lower")]
    model, reference = (
        torsion_angles(frames, comparison.topology, torsions)
        for frames in (comparison.model, comparison.reference)
    )
    details = {"bins": BINS_1D, "torsions": len(torsions)}
    mean = compared(
        "js_torsion_mean", label, _mean_distance, model, reference, comparison.resampling, details=details
    )
    return [mean] + [
        compared(
            f"js_torsion[{one.label}]", f"JS distance of {one.label}", _mean_distance, model[:, k : k + 1],
            reference[:, k : k + 1], comparison.resampling, details={"bins": BINS_1D, "atoms": list(one.atoms)},
        )
        for k, one in enumerate(torsions)
    ]  # fmt: skip


def _mean_distance(model: Array, reference: Array) -> float:
    """Mean over the columns of (n_frames, n_torsions), degrees."""
    columns = zip(model.T, reference.T)
    return float(np.mean([js_distance(torsion_histogram(a), torsion_histogram(b)) for a, b in columns]))
