"""Rates of rare faults from the table of jumps, with 95 % limits: nothing seen in 2,000 jumps is not never.

====================  =================================================================  ==================
symbol                meaning                                                            name here
====================  =================================================================  ==================
k, n                  jumps with the fault, jumps                                        count, total
upper limit           97.5 % quantile of Beta(k + 1, n - k) (Clopper and Pearson,        upper
                      Biometrika 26 (1934) 404)
====================  =================================================================  ==================
"""

from typing import Any

import numpy as np
from scipy import stats

from .distributions import FloatArray
from .validity import BOND_OFF, EXPLOSION


def rate(count: int, total: int) -> dict[str, Any]:
    """Count, total, fraction and its 95 % Clopper-Pearson limits; None where there is nothing to count."""
    if total == 0:
        return {"count": 0, "total": 0, "fraction": None, "lower_95": None, "upper_95": None}
    lower = float(stats.beta.ppf(0.025, count, total - count + 1)) if count > 0 else 0.0
    upper = float(stats.beta.ppf(0.975, count + 1, total - count)) if count < total else 1.0
    return {"count": count, "total": total, "fraction": count / total, "lower_95": lower, "upper_95": upper}


def jump_counters(jumps: dict[str, FloatArray]) -> dict[str, Any]:
    """Faults of the proposals, before any rejection, and rejections.

    Parameters
    ----------
    jumps : dict of ndarray, shape (n_jumps,)
        Columns of jumps.csv.

    Returns
    -------
    dict
        ``nan``; ``explosions`` (NaN or any bond off by more than 0.05 nm); ``bond_off`` (more than 0.025
        nm, or NaN); ``chirality_flips``; ``clashes``; ``rejected``: each as `rate` gives it.
        ``max_bond_deviation_nm``: the largest finite one.
    """
    total = len(jumps["jump"])
    nan = jumps["nan"] > 0
    deviation = jumps["max_bond_deviation_nm"]
    finite = deviation[np.isfinite(deviation)]
    faults = {
        "nan": nan,
        "explosions": nan | (deviation > EXPLOSION),
        "bond_off": nan | (deviation > BOND_OFF),
        "chirality_flips": jumps["chirality_flips"] > 0,
        "clashes": jumps["clashes"] > 0,
        "rejected": jumps["accepted"] < 1,
    }
    counters: dict[str, Any] = {name: rate(int(flags.sum()), total) for name, flags in faults.items()}
    counters["max_bond_deviation_nm"] = float(finite.max()) if len(finite) else None
    return counters
