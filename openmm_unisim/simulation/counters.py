"""What the integrator did in the last jump, read from its running counters."""

from dataclasses import dataclass
from typing import Any

__all__ = ["CounterReader", "JumpOutcome"]


@dataclass(frozen=True)
class JumpOutcome:
    """Jumps since the last look: how many were `accepted`, how many `nan`, the last ln a, and forces `clipped`."""

    accepted: int
    nan: int
    log_acceptance: float
    clipped: int = 0


class CounterReader:
    """Turns the running counters of a `UniSimIntegrator` into differences.

    Parameters
    ----------
    integrator : UniSimIntegrator
        Read once now, so that the first difference starts here; make a new reader after loading a checkpoint.
    """

    def __init__(self, integrator: Any):
        self._integrator = integrator
        self._accepted, self._nan, self._clipped = self._read()

    def _read(self) -> tuple[int, int, int]:
        integrator = self._integrator
        return (
            int(integrator.getNumAccepted()),
            int(integrator.getNumNaN()),
            int(integrator.getNumClipped()),
        )

    def since_last(self) -> JumpOutcome:
        """Differences since the last call."""
        accepted, nan, clipped = self._read()
        outcome = JumpOutcome(
            accepted - self._accepted,
            nan - self._nan,
            float(self._integrator.getLastLogAcceptance()),
            clipped - self._clipped,
        )
        self._accepted, self._nan, self._clipped = accepted, nan, clipped
        return outcome
