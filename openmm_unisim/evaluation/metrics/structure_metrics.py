"""The metrics of the UniSim paper, as published (`paper`) and as they should be (`strict`).

=========  ===================================================================================================
key        metric (spec section 13; formulas stand in ca_geometry, tica, histograms, paper_ess)
=========  ===================================================================================================
pwd        mean over alpha-carbon pairs (i, j >= i + 4) of the JS distance of their distance
rg         JS distance of the radius of gyration of the alpha carbons
tic        mean of the JS distances of TIC0 and TIC1
tic_2d     JS distance of the joint histogram of TIC0 and TIC1
val_ca     fraction of frames without alpha-carbon clash or break
contact    root mean square error of alpha-carbon contact rates
ram        JS distance of (phi, psi), all residues pooled
ess        effective samples of TIC0
=========  ===================================================================================================

What each mode does, and which defects of the released scripts are corrected, is in docs/metrics.md.
"""

from dataclasses import dataclass

import numpy as np

from ...errors import ConfigError
from ..comparison import Comparison
from ..estimators.features import backbone_torsions
from ..estimators.histograms import Mode, checked_mode, reference_grid, torus_grid
from ..metric import Metric
from .chain_metrics import chain_metrics
from .js_metrics import LABELS, Pair, joint_js_metric, unavailable
from .slow_metrics import slow_metrics, tica_lag_frames


@dataclass(frozen=True)
class StructureArrays:
    """What plots of these metrics need; (model, reference) pairs, None where they can't be computed.

    All model frames in the order of time: those with NaN coordinates are NaN, no contact, and invalid.

    Attributes
    ----------
    tics : pair of ndarray, each (n_frames, n_components)
        At most two components. The reference's are of the frames that judge: in `strict` its second half, the first
        half having served to fit.
    contact_rates : pair of ndarray, each (n_ca, n_ca)
        Symmetric.
    radius_of_gyration : pair of ndarray, each (n_frames,), nm
        Of the alpha carbons.
    valid_chain : pair of boolean ndarray, each (n_frames,)
        Frames that pass VAL-CA.
    """

    tics: Pair | None = None
    contact_rates: Pair | None = None
    radius_of_gyration: Pair | None = None
    valid_chain: Pair | None = None


def structure_metrics(
    comparison: Comparison,
    mode: Mode,
    *,
    tica_lag: float | int | None = None,
    wall_seconds: tuple[float | None, float | None] = (None, None),
) -> tuple[list[Metric], StructureArrays]:
    """Compute them all.

    Parameters
    ----------
    comparison : Comparison
    mode : {"paper", "strict"}
    tica_lag : float or int, optional
        Lag of TICA: frames of the reference in `paper`, ps in `strict`. Default in `paper`: 100 ps, the paper's
        100 frames of PepMD (100 frames if the spacing is unknown), for proteins 10 frames; in `strict` 20 ps.
    wall_seconds : pair of float or None
        Wall time that the model and the reference took, s; None leaves ESS/s out.

    Returns
    -------
    metrics : list of Metric
        Keys pwd, rg, tic, tic_2d, val_ca, contact, ram, ess, ess_per_second.
    arrays : StructureArrays

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    """
    checked_mode(mode)
    for seconds in wall_seconds:
        if seconds is not None and not (np.isfinite(seconds) and seconds > 0.0):
            raise ConfigError(f"wall_seconds = {seconds} isn't a duration; give positive seconds, or None.")
    lag = tica_lag_frames(comparison, mode, tica_lag)
    chain, chain_arrays = chain_metrics(comparison, mode)
    slow, tics = slow_metrics(comparison, mode, lag, wall_seconds)
    found = {metric.key: metric for metric in [*chain, *slow, _ramachandran(comparison, mode)]}
    return [found[key] for key in LABELS], StructureArrays(tics, *chain_arrays)


def _ramachandran(comparison: Comparison, mode: Mode) -> Metric:
    model, reference = (
        backbone_torsions(positions, comparison.topology)
        for positions in (comparison.model_series, comparison.reference)
    )
    if not reference:
        return unavailable("ram", "no residue has both phi and psi")
    # the paper's pseudo-count is added to a density per square radian
    unit = np.radians(1.0) if mode == "paper" else 1.0
    angles = [
        np.stack([[residue.phi, residue.psi] for residue in residues]).transpose(2, 0, 1) * unit
        for residues in (model, reference)
    ]
    grid = torus_grid() if mode == "strict" else reference_grid(angles[1].reshape(-1, 2), mode)
    return joint_js_metric("ram", angles[0], angles[1], comparison, grid)
