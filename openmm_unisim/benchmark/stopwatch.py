"""Wall time of the stages of a worker, from the moment that its process was started."""

import time
from typing import Any

__all__ = ["Stages"]


class Stages:
    """Splits a worker's life into named stages, s; each ends where the next one begins.

    Parameters
    ----------
    task : dict
        `spawned`: epoch time at which the process was started; `start_s`: how long interpreter and OpenMM took.
    """

    def __init__(self, task: dict[str, Any]):
        self._seconds = {"start": float(task["start_s"])}
        self._last = time.perf_counter() - max(0.0, time.time() - task["spawned"] - task["start_s"])

    def end(self, name: str) -> None:
        """The stage `name` ends now."""
        now = time.perf_counter()
        self._seconds[name] = now - self._last
        self._last = now

    def as_dict(self) -> dict[str, float]:
        """Seconds by stage."""
        return dict(self._seconds)
