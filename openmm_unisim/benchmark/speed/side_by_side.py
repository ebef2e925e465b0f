"""Times several calls in turn in one process, so that what else the machine does hits all of them."""

import statistics
import time
from collections.abc import Callable
from typing import Any

__all__ = ["compare", "spread_of"]


def compare(
    calls: dict[str, Callable[[], Any]], repeats: int, warmup: int = 5, block: int = 1
) -> dict[str, dict[str, float]]:
    """Median milliseconds of each call, and how many times faster than the first one it is.

    Parameters
    ----------
    calls : dict of str to callable
        Called in turn; the first is the one that ratios refer to.
    repeats, warmup : int
        Rounds that are timed, and rounds before them that aren't.
    block : int
        Calls in a row that make one timing, of which the mean counts. A jump calls the same network some twenty times
        in a row, with its weights in the cache; single calls in turn would each find the caches full of the others'.

    Returns
    -------
    dict
        For each name `milliseconds` and `times_faster` of this process's processor time, all threads together, which
        a machine shared with other work stretches least; `wall_milliseconds`, `wall_times_faster` by the clock; of
        both times the smallest and largest (`milliseconds_lowest`, ..., `wall_milliseconds_highest`).
    """
    for _ in range(warmup):
        for call in calls.values():
            call()
    spent: dict[str, list[float]] = {name: [] for name in calls}
    wall: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began, started = time.process_time(), time.perf_counter()
            for _ in range(block):
                call()
            spent[name].append(1000 * (time.process_time() - began) / block)
            wall[name].append(1000 * (time.perf_counter() - started) / block)
    first = next(iter(calls))
    return {
        name: {
            **spread_of("milliseconds", spent[name]),
            "times_faster": statistics.median(spent[first]) / statistics.median(spent[name]),
            **spread_of("wall_milliseconds", wall[name]),
            "wall_times_faster": statistics.median(wall[first]) / statistics.median(wall[name]),
        }
        for name in calls
    }


def spread_of(name: str, values: list[float]) -> dict[str, float]:
    """Median of the values under `name`, and their extremes."""
    return {
        name: statistics.median(values),
        f"{name}_lowest": min(values),
        f"{name}_highest": max(values),
    }
