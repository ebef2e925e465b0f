"""One figure of merit with everything that is needed to read it: error bar, MD floor, and why it is missing."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ..errors import ConfigError

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """A figure of a model trajectory beside a reference trajectory.

    Attributes
    ----------
    key : str
        Unique in a report, e.g. ``tic_2d`` or ``stay_alpha[ALA 2]``.
    label : str
        For a table.
    value : float or None
        None means "can't be computed for this molecule or these trajectories" ("n/a"), never zero.
    unit : str
        Empty for a pure number.
    better : {"lower", "higher"} or None
        None where the figure should agree with `reference`, or only informs.
    standard_error : float or None
        Of `value`, by block bootstrap unless `details` says otherwise.
    reference : float or None
        The same figure of the reference, for figures that aren't a distance to it.
    reference_error : float or None
        Standard error of `reference`.
    floor, floor_std : float or None
        What MD of as many frames scores against the reference: mean and standard deviation.
    outside : float or None
        Fraction of model samples outside the histogram range (0 to 1).
    reason : str
        Why `value` is None; empty otherwise.
    details : dict
        Further numbers for JSON.
    """

    key: str
    label: str
    value: float | None
    unit: str = ""
    better: Better | None = None
    standard_error: float | None = None
    reference: float | None = None
    reference_error: float | None = None
    floor: float | None = None
    floor_std: float | None = None
    outside: float | None = None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ConfigError(f"Metric '{self.key}' has neither a value nor a reason; give one of them.")
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "value", None)
            object.__setattr__(self, "reason", self.reason or "not a finite number")

    @classmethod
    def missing(cls, key: str, label: str, reason: str, **fields: Any) -> "Metric":
        """A figure that can't be computed."""
        return cls(key, label, None, reason=reason, **fields)

    def renamed(self, key: str, label: str) -> "Metric":
        """The same figure under another name."""
        return replace(self, key=key, label=label)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
