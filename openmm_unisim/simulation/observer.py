"""What a run tells while it goes on; the command line draws it, a script may ignore it."""

import warnings
from dataclasses import dataclass

__all__ = ["JumpProgress", "RunObserver"]


@dataclass(frozen=True)
class JumpProgress:
    """Where a run stands.

    Attributes
    ----------
    done, total : int
        Jumps.
    jumps_per_s, ns_per_day : float
        Speed over the whole run so far; ns of model time. NaN before the first jump.
    acceptance : float
        Fraction of the jumps that were kept.
    """

    done: int
    total: int
    jumps_per_s: float
    ns_per_day: float
    acceptance: float


class RunObserver:
    """Silent but for warnings; subclass it to show progress."""

    def stage(self, text: str, fraction: float) -> None:
        """A step before the jumps, and how much of it is done (0 to 1)."""

    def warn(self, message: str) -> None:
        """Something the user should know; it is recorded too."""
        warnings.warn(message, stacklevel=3)

    def jump(self, progress: JumpProgress) -> None:
        """A jump was made and written."""

    def should_stop(self) -> bool:
        """Asked after each jump; True ends the run there, resumable."""
        return False
