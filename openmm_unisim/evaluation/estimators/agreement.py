"""How far two figures with error bars are apart."""

import math


def agreement_z(
    value: float | None, error: float | None, reference: float | None, reference_error: float | None
) -> float | None:
    """(value - reference) / sqrt(error^2 + reference_error^2); None where a number is missing or both errors are 0."""
    if value is None or reference is None or error is None or reference_error is None:
        return None
    combined = math.hypot(error, reference_error)
    score = (value - reference) / combined if combined > 0.0 else math.nan
    return score if math.isfinite(score) else None
