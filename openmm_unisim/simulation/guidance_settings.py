"""What a user asks of guidance in a run, checked and handed to the integrator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openmm

from ..errors import ConfigError
from ..export.metadata import GuidanceName, ModelMetadata
from ..provenance import sha256_of_file
from ..system import SOLVENT_FORCE_GROUP, read_force
from .guidance import choose_source

__all__ = ["GUIDANCE_FORCE_GROUP", "GuidanceSettings"]

GUIDANCE_FORCE_GROUP = 2  # of forces that are added for guidance; 0 is the force field's, 1 the solvent's


@dataclass(frozen=True)
class GuidanceSettings:
    """Source of guidance and what belongs to it.

    Attributes
    ----------
    source : str or None
        One of `GUIDANCE_SOURCES`; None is the model's.
    groups : tuple of int
        Force groups of the System that guide. Empty: that of `forces`, or the solvent's if there are none.
    resampled : int
        Jumps of which one is kept, for the source "resample"; 0 is the integrator's default.
    force_limit : float
        Largest length of a guiding force, kJ/mol/nm; 0: none.
    forces : tuple of str
        XML files of OpenMM Forces, added to the System in force group `GUIDANCE_FORCE_GROUP`.
    """

    source: str | None = None
    groups: tuple[int, ...] = ()
    resampled: int = 0
    force_limit: float = 0.0
    forces: tuple[str, ...] = ()

    def check(self, metadata: ModelMetadata) -> GuidanceName:
        """The source that will guide.

        Raises
        ------
        UniSimError
            If the model doesn't serve the source, or something is asked for that the source doesn't have.
        """
        source = choose_source(metadata, self.source)
        live, resample = source.startswith("openmm"), source == "resample"
        for name, asked, meant in (
            ("resample", self.resampled, resample),
            ("guidance-force-limit", self.force_limit, live),
            ("guidance-groups", self.groups, live or resample),
            ("guidance-force", self.forces, live or resample),
        ):
            if asked and not meant:
                raise ConfigError(
                    f"--{name} means nothing to the guidance source {source}; leave it out or choose another source."
                )
        if self.resampled < 0 or not 0 <= self.force_limit < float("inf"):
            raise ConfigError(
                f"resampled = {self.resampled} and force_limit = {self.force_limit} can't be negative or infinite."
            )
        if any(not 0 <= group < 32 for group in self.groups):
            raise ConfigError(f"Force groups are numbers from 0 to 31, not {self.groups}.")
        return source

    def apply(self, integrator: Any, system: openmm.System, source: str) -> None:
        """Add the forces to the System and set the integrator; `source` is what `check` gave."""
        for path in self.forces:
            force = read_force(path)
            force.setForceGroup(GUIDANCE_FORCE_GROUP)
            system.addForce(force)
        if source.startswith("openmm") or source == "resample":
            default = (GUIDANCE_FORCE_GROUP if self.forces else SOLVENT_FORCE_GROUP,)
            integrator.setGuidanceForceGroups(self.groups or default)
        if self.resampled:
            integrator.setNumResampled(self.resampled)
        integrator.setGuidanceForceLimit(self.force_limit)

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed; empty if nothing was asked for."""
        asked = {
            "guidance_source": self.source,
            "guidance_groups": list(self.groups),
            "resampled": self.resampled,
            "guidance_force_limit": self.force_limit,
            "guidance_forces": [sha256_of_file(Path(path)) for path in self.forces],
        }
        return {key: value for key, value in asked.items() if value}
