"""The protocol file: what a hybrid run does, as YAML, checked before anything starts.

Three ready-made protocols come with the package (`protocols/*.yaml`): *explore*, *sample* and *seed*. A file of one's
own is a copy of one of them with other numbers; docs/hybrid.md explains every key.
"""

import difflib
import reprlib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ConfigError

__all__ = ["Protocol", "load_protocol", "protocol_text", "shipped_protocols"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MDPart(_Part):
    """The MD of a cycle.

    Attributes
    ----------
    integrator : {"langevin-middle", "ghmc"}
    steps : int
        Of each cycle.
    time_step_fs, friction_per_ps : float
    constraints : {"none", "h-bonds", "all-bonds", "h-angles"}
        A model of flexible bonds is projected onto them after each jump.
    """

    integrator: Literal["langevin-middle", "ghmc"] = "langevin-middle"
    steps: int = Field(default=250, ge=0)
    time_step_fs: float = Field(default=4.0, gt=0)
    friction_per_ps: float = Field(default=1.0, ge=0)
    constraints: Literal["none", "h-bonds", "all-bonds", "h-angles"] = "h-bonds"


class JumpPart(_Part):
    """The jumps of a cycle.

    Attributes
    ----------
    number : int
    substeps : int
        Network evaluations in a jump; 0 is the model's default.
    after : {"accept", "metropolis", "relax"}
        What decides whether a jump is kept.
    guidance_scale : float or None
        None is the model's default.
    """

    number: int = Field(default=1, ge=0, strict=True)
    substeps: int = Field(default=0, ge=0, strict=True)
    after: Literal["accept", "metropolis", "relax"] = "relax"
    guidance_scale: float | None = Field(default=None, ge=0)


class RelaxPart(_Part):
    """How a jump is relaxed and judged, for ``after: relax``.

    Attributes
    ----------
    minimisation_steps, md_steps : int
    bond_nm, clash_fraction : float
        Limits of `openmm_unisim.simulation.quality.QualityLimits`.
    energy_rise_kT : float or None
        How far the potential energy may lie above the one before the jump; None: as far as it likes.
    """

    minimisation_steps: int = Field(default=0, ge=0)
    md_steps: int = Field(default=100, ge=0)
    bond_nm: float = Field(default=0.05, gt=0)
    clash_fraction: float = Field(default=0.5, ge=0)
    energy_rise_kT: float | None = Field(default=None, gt=0)


class SeedPart(_Part):
    """Start points to write, for ``kind: seed``.

    Attributes
    ----------
    every : int
        Cycles between two of them; a run of c cycles writes c / every.
    """

    every: int = Field(default=5, gt=0)


class OutputPart(_Part):
    """What a run writes.

    Attributes
    ----------
    frame_every, checkpoint_every : int
        Cycles.
    """

    frame_every: int = Field(default=1, gt=0)
    checkpoint_every: int = Field(default=50, gt=0)


class Protocol(_Part):
    """A hybrid run: what a cycle is, how many of them, what is written.

    Attributes
    ----------
    kind : {"explore", "sample", "seed"}
        What is promised: new conformations of good quality; exact populations; start points for other runs.
    cycles : int
    thermalise_ps : float
        MD before the first cycle.
    md, jump, relax, seeds, output
        The parts.
    """

    kind: Literal["explore", "sample", "seed"]
    cycles: int = Field(default=1000, gt=0)
    thermalise_ps: float = Field(default=50.0, ge=0)
    md: MDPart = MDPart()
    jump: JumpPart = JumpPart()
    relax: RelaxPart | None = None
    seeds: SeedPart | None = None
    output: OutputPart = OutputPart()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind == "sample":
            self._require_exact()
        elif self.jump.after == "metropolis":
            raise ValueError(
                f"jump.after is 'metropolis' in a protocol of kind '{self.kind}'; its kind is 'sample'"
            )
        if self.relax is not None and self.jump.after != "relax":
            raise ValueError(f"relax is given, but jump.after is '{self.jump.after}'; leave it out or relax")
        if self.seeds is not None and self.kind != "seed":
            raise ValueError(
                f"seeds is given in a protocol of kind '{self.kind}'; leave it out or choose 'seed'"
            )
        if self.seeds is None and self.kind == "seed":
            raise ValueError("kind 'seed' writes start points, but seeds is missing; add seeds.every")
        if self.md.steps + self.jump.number == 0:
            raise ValueError("md.steps and jump.number are both 0, so a cycle does nothing")
        return self

    def _require_exact(self) -> None:
        """What would make a sample inexact is refused by name."""
        for found, wanted, name, reason in (
            (
                self.jump.after,
                "metropolis",
                "jump.after",
                "other choices keep what the force field doesn't weigh",
            ),
            (
                self.md.integrator,
                "ghmc",
                "md.integrator",
                "other integrators have the error of their time step",
            ),
            (
                self.md.constraints,
                "none",
                "md.constraints",
                "the path of a jump has no density on constraints",
            ),
        ):
            if found != wanted:
                raise ValueError(
                    f"{name} is '{found}', and kind 'sample' is exact with '{wanted}' only: {reason}"
                )

    def shaping(self) -> dict[str, Any]:
        """All that shapes the trajectory: everything but how long it is and how often files are written."""
        return self.model_dump(exclude={"cycles": True, "output": {"checkpoint_every"}})


def shipped_protocols() -> list[str]:
    """Names of the protocols in the package."""
    folder = resources.files(__package__) / "protocols"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def protocol_text(source: str | Path) -> str:
    """The YAML of a shipped protocol, by its name, or of a file.

    Raises
    ------
    ConfigError
        If there is neither.
    """
    names = shipped_protocols()
    if str(source) in names:
        return (resources.files(__package__) / "protocols" / f"{source}.yaml").read_text(encoding="utf-8")
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"There is no protocol '{source}': give one of {', '.join(names)}, or a YAML file that can be read."
        ) from error


def load_protocol(source: str | Path, **changes: Any) -> Protocol:
    """A protocol by name or file.

    Parameters
    ----------
    source : str or Path
        "explore", "sample", "seed", or the path of a YAML file.
    **changes
        Top-level keys to replace, such as ``cycles=20``.

    Raises
    ------
    ConfigError
        Naming the first key that is wrong, and one that may have been meant.
    """
    try:
        values = yaml.safe_load(protocol_text(source))
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # dates and numbers that don't exist, endless nesting
        raise ConfigError(f"Protocol '{source}' is no YAML: {' '.join(str(error).split()):.300}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"Protocol '{source}' holds no keys; see docs/hybrid.md.")
    try:
        return Protocol.model_validate({**values, **changes})
    except ValidationError as error:
        raise ConfigError(f"Protocol '{source}': {_explain(error)}; see docs/hybrid.md.") from error


def _explain(error: ValidationError) -> str:
    """The first fault: where it is, what is wrong and which key was perhaps meant."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, 1, 0.5)
        return f"{where} is unknown; " + (
            f"did you mean {near[0]}" if near else f"keys are {', '.join(known)}"
        )
    message = first["msg"].removeprefix("Value error, ")
    if not where:
        return message
    shown = "" if first["type"] == "missing" else f" (got {reprlib.repr(first['input']):.60})"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """Keys that are known there."""
    parts: dict[str, type[_Part]] = {
        "md": MDPart,
        "jump": JumpPart,
        "relax": RelaxPart,
        "seeds": SeedPart,
        "output": OutputPart,
    }
    model = parts.get(str(location[0]), Protocol) if location else Protocol
    return list(model.model_fields)
