"""What a hybrid simulation counts, kept where OpenMM keeps it: in checkpoints and States of the Context.

The counts are the global variables of a `CustomIntegrator` that never steps, one of the integrators of the
`CompoundIntegrator`. So every way of OpenMM to save and to load a simulation holds them, `CheckpointReporter` included.
"""

from dataclasses import dataclass, fields

import openmm

__all__ = ["REASONS", "HybridCounts", "Ledger"]

REASONS = ("nan", "metropolis", "bond", "chirality", "clash", "energy")


@dataclass
class HybridCounts:
    """What was done since the simulation was made.

    Attributes
    ----------
    cycles, md_steps, jumps, accepted : int
        Whole cycles; steps of MD between jumps; jumps proposed, and those that were kept.
    relaxation_steps : int
        MD steps that followed a jump to relax it; they are part of the jump, and not among `md_steps`.
    nan, metropolis, bond, chirality, clash, energy : int
        Jumps that were rejected, each for one reason, the first of this order.
    md_time_ps, jump_time_ps : float
        Their sum is the time by which the clock advanced.
    seed : int
        Of the velocities drawn, 1 .. 2^31 - 1; 0 before the first cycle.
    """

    cycles: int = 0
    md_steps: int = 0
    jumps: int = 0
    accepted: int = 0
    relaxation_steps: int = 0
    nan: int = 0
    metropolis: int = 0
    bond: int = 0
    chirality: int = 0
    clash: int = 0
    energy: int = 0
    md_time_ps: float = 0.0
    jump_time_ps: float = 0.0
    seed: int = 0

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected jumps by reason."""
        return {reason: getattr(self, reason) for reason in REASONS}

    def add_rejection(self, reason: str) -> None:
        """Count a rejected jump."""
        setattr(self, reason, getattr(self, reason) + 1)


class Ledger(openmm.CustomIntegrator):
    """An integrator that never steps and holds a `HybridCounts`."""

    def __init__(self) -> None:
        super().__init__(0.0)
        for field in fields(HybridCounts):
            self.addGlobalVariable(field.name, 0.0)

    def read(self) -> HybridCounts:
        """The counts."""
        values = {
            field.name: self.getGlobalVariable(index) for index, field in enumerate(fields(HybridCounts))
        }
        return HybridCounts(
            **{name: value if name.endswith("_ps") else round(value) for name, value in values.items()}
        )

    def write(self, counts: HybridCounts) -> None:
        """Set the counts."""
        for index, field in enumerate(fields(HybridCounts)):
            self.setGlobalVariable(index, float(getattr(counts, field.name)))
