"""What the integrator did in the last jump, read from its running counters."""

from dataclasses import dataclass
from typing import Any

__all__ = ["CounterReader", "JumpOutcome"]


@dataclass(frozen=True)
class JumpOutcome:
    """Jumps since the last look: how many were `accepted`, `nan`, or `turned`, and what else is known of them.

    `log_acceptance` is the last ln a, `clipped` the number of shortened forces; `turned` jumps were rejected since they
    would have turned a stereocentre over.
    """

    accepted: int
    nan: int
    log_acceptance: float
    clipped: int = 0
    turned: int = 0


class CounterReader:
    """Turns the running counters of a `UniSimIntegrator` into differences.

    Parameters
    ----------
    integrator : UniSimIntegrator
        Read once now, so that the first difference starts here; make a new reader after loading a checkpoint.
    """

    def __init__(self, integrator: Any):
        self._integrator = integrator
        self._last = self._read()

    def _read(self) -> tuple[int, int, int, int]:
        integrator = self._integrator
        return (
            int(integrator.getNumAccepted()),
            int(integrator.getNumNaN()),
            int(integrator.getNumClipped()),
            int(integrator.getNumTurned()),
        )

    def since_last(self) -> JumpOutcome:
        """Differences since the last call."""
        now = self._read()
        accepted, nan, clipped, turned = (count - before for count, before in zip(now, self._last))
        self._last = now
        return JumpOutcome(accepted, nan, float(self._integrator.getLastLogAcceptance()), clipped, turned)
