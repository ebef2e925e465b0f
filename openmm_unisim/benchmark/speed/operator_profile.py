"""Which operators a substep of a model file spends its time in, by torch's profiler."""

import bisect
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["profile_operators"]

GROUPS = {  # operator names by their beginning; the first that fits
    "attention layers": ("openmm_unisim::attention", "openmm_unisim::attend", "openmm_unisim::pair_layer"),
    "edges": ("openmm_unisim::embed_edges", "openmm_unisim::radial_sum", "openmm_unisim::embed_pairs"),
    "heads": ("openmm_unisim::gated_head",),
    "linear layers": (
        "openmm_unisim::linear", "openmm_unisim::dense", "aten::addmm", "aten::mm", "aten::linear", "aten::matmul",
        "aten::bmm",
    ),
    "covariance and Cholesky factors": (
        "openmm_unisim::posterior_precision", "openmm_unisim::step_factor", "openmm_unisim::restraint_variances",
        "openmm_unisim::gaussian_log_density", "aten::linalg_", "aten::cholesky", "aten::tril",
        "aten::triangular_solve",
    ),
    "molecule (bond graph, table, rigid motion)": (
        "openmm_unisim::bond_graph", "openmm_unisim::full_table", "openmm_unisim::remove_rigid_motion",
        "openmm_unisim::published_table", "openmm_unisim::near_pairs", "openmm_unisim::describe_places",
    ),
    "other operators of the plugin": ("openmm_unisim::",),
    "small operators of torch": ("aten::",),
}  # fmt: skip
OUTSIDE = "interpreter, and what is in no operator"
_MARK = "substep of the benchmark"
_Sums = tuple[float, int]


def profile_operators(call: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """Time of a call by operator and by group of operators.

    Parameters
    ----------
    call : callable
        A substep. It runs a few times before it is profiled.
    repeats : int
        Calls that are profiled. The shortest counts: other work on the machine lands on single operators.

    Returns
    -------
    dict
        `milliseconds` of the call under the profiler, which adds a microsecond or so to each operator; the same by
        `groups` and by `operators` (the ten longest), each with its `share` and the number of `calls`.
    """
    for _ in range(3):
        call()
    with torch.autograd.profiler.profile(use_kineto=False) as profiler:  # kineto writes to the terminal
        for _ in range(repeats):
            with torch.autograd.profiler.record_function(_MARK):
                call()
    rows = min(_calls(profiler.function_events), key=_total)
    total = _total(rows)
    groups: dict[str, _Sums] = {}
    for name, (milliseconds, count) in rows.items():
        before = groups.get(_group(name), (0.0, 0))
        groups[_group(name)] = (before[0] + milliseconds, before[1] + count)
    return {"milliseconds": total, "groups": _entries(groups, total), "operators": _entries(rows, total, 10)}


def _calls(events: Any) -> list[dict[str, _Sums]]:
    """For each profiled call its operators' own milliseconds and numbers."""
    marks = sorted(
        (event for event in events if event.key == _MARK), key=lambda event: event.time_range.start
    )
    calls: list[dict[str, _Sums]] = [{} for _ in marks]
    starts = [mark.time_range.start for mark in marks]
    for event in events:
        k = bisect.bisect_right(starts, event.time_range.start) - 1
        if k < 0 or event.time_range.end > marks[k].time_range.end:
            continue
        milliseconds, count = calls[k].get(event.key, (0.0, 0))
        calls[k][event.key] = (milliseconds + event.self_cpu_time_total / 1000, count + 1)
    return calls


def _total(rows: dict[str, _Sums]) -> float:
    return sum(milliseconds for milliseconds, _ in rows.values())


def _group(operator: str) -> str:
    for name, beginnings in GROUPS.items():
        if operator.startswith(beginnings):
            return name
    return OUTSIDE


def _entries(rows: dict[str, _Sums], total: float, most: int | None = None) -> dict[str, dict[str, float]]:
    """The longest first."""
    longest = sorted(rows.items(), key=lambda item: -item[1][0])[:most]
    return {
        name: {"milliseconds": milliseconds, "share": milliseconds / total, "calls": count}
        for name, (milliseconds, count) in longest
    }
