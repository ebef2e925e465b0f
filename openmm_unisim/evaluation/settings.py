"""The settings of an evaluation, checked once."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..system import ENVIRONMENTS
from .estimators.histograms import Mode, checked_mode

NO_ENVIRONMENT = "none"


@dataclass(frozen=True)
class EvaluationSettings:
    """What to compute of a comparison.

    Attributes
    ----------
    mode : {"strict", "paper"}
        Definitions of the paper's metrics.
    basins : path, optional
        Basin file; default the shipped one of the molecule, or alpha and beta of each residue.
    environment : {"obc2", "vacuum", "none"}
        Of the energies; "none" leaves them out.
    temperature_K : float
        Of both trajectories.
    lag_ps : float, optional
        Of the kinetics; default the longer of both frame spacings.
    tica_lag : float, optional
        Frames of the reference in mode paper, ps in mode strict.
    model_wall_seconds, reference_wall_seconds : float, optional
        What the trajectories took; without the first one ESS/s is "n/a".
    windows : int
        Of the drift.
    second_model : path, optional
        The same model at another temperature, for the two-temperature check.
    second_temperature_K : float, optional
        Of it.
    platform : str
        OpenMM platform of the energies.
    """

    mode: Mode = "strict"
    basins: str | Path | None = None
    environment: str = "obc2"
    temperature_K: float = 300.0
    lag_ps: float | None = None
    tica_lag: float | None = None
    model_wall_seconds: float | None = None
    reference_wall_seconds: float | None = None
    windows: int = 10
    second_model: str | Path | None = None
    second_temperature_K: float | None = None
    platform: str = "Reference"

    def __post_init__(self) -> None:
        checked_mode(self.mode)
        known = (*ENVIRONMENTS, NO_ENVIRONMENT)
        if self.environment not in known:
            raise ConfigError(
                f"environment '{self.environment}' is unknown; choose one of {', '.join(known)}."
            )
        for name in (
            "temperature_K", "lag_ps", "tica_lag", "model_wall_seconds", "reference_wall_seconds",
            "second_temperature_K",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise ConfigError(f"{name} = {value} makes no sense; give a positive number.")
        if self.windows < 3:
            raise ConfigError(f"{self.windows} windows give no error of a slope; ask for at least 3.")
        if (self.second_model is None) != (self.second_temperature_K is None):
            raise ConfigError(
                "the two-temperature check needs a second model trajectory and its temperature; give both."
            )
        if self.second_model is not None:
            if self.environment == NO_ENVIRONMENT:
                raise ConfigError("the two-temperature check compares energies; give an environment.")
            if self.second_temperature_K == self.temperature_K:
                raise ConfigError(
                    f"both models are at {self.temperature_K:g} K, which tells nothing; give two temperatures."
                )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
