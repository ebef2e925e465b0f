"""The paper's metrics of the alpha carbons: pwd, rg, val_ca, contact (formulas in ca_geometry)."""

from ..comparison import Comparison
from ..estimators import ca_geometry as ca
from ..estimators.histograms import Mode
from ..metric import Metric
from ..uncertainty import compared, estimated
from .js_metrics import LABELS, Pair, js_metric, unavailable

_DISTANT = "5 alpha carbons (i, i + 4)"


def chain_metrics(
    comparison: Comparison, mode: Mode
) -> tuple[list[Metric], tuple[Pair | None, Pair | None, Pair | None]]:
    """pwd, rg, val_ca and contact, and contact rates, radii of gyration and validity for plots."""
    carbons = ca.alpha_carbon_pairs(comparison.topology)
    if carbons.n_ca < 2:
        needs = {"pwd": _DISTANT, "contact": _DISTANT, "rg": "2 alpha carbons", "val_ca": "2 alpha carbons"}
        metrics = [unavailable(key, f"needs {need}, has {carbons.n_ca}") for key, need in needs.items()]
        return metrics, (None, None, None)
    frames = (comparison.model_series, comparison.reference)
    distances = ca.ca_distances(frames[0], carbons), ca.ca_distances(frames[1], carbons)
    radii = ca.radius_of_gyration(frames[0], carbons), ca.radius_of_gyration(frames[1], carbons)
    flags = ca.chain_is_valid(distances[0], carbons), ca.chain_is_valid(distances[1], carbons)
    valid = estimated(
        "val_ca", LABELS["val_ca"], lambda good: float(good.mean()), *flags, comparison.resampling, better="higher",
        details={"sequential_pairs": int(carbons.sequential.sum()), "nan_frames": comparison.nan_frames},
    )  # fmt: skip
    touching = (ca.contacts(distances[0]), ca.contacts(distances[1]))
    rates = (ca.contact_matrix(touching[0], carbons), ca.contact_matrix(touching[1], carbons))
    radius = js_metric("rg", radii[0][:, None], radii[1][:, None], comparison, mode)
    metrics = [*_distant_metrics(comparison, mode, carbons, distances, touching), radius, valid]
    return metrics, (rates, radii, flags)


def _distant_metrics(
    comparison: Comparison, mode: Mode, carbons: ca.AlphaCarbons, distances: Pair, touching: Pair
) -> list[Metric]:
    """pwd and contact: both n/a without a pair i, i + 4, since nearer ones are (nearly) always in contact."""
    if not carbons.distant.any():
        reason = f"needs {_DISTANT}, has {carbons.n_ca}"
        return [unavailable("pwd", reason), unavailable("contact", reason)]
    distant = [values[:, carbons.distant] for values in distances]
    contact = compared(
        "contact", LABELS["contact"], ca.contact_error, *touching, comparison.resampling,
        details={"pairs": len(carbons.pairs)},
    )  # fmt: skip
    return [js_metric("pwd", distant[0], distant[1], comparison, mode), contact]
