"""From the runs of all seeds to the figures of `benchmark efficiency`."""

from typing import Any

from ..evaluation.reference import TorsionReference
from .intervals import geometric_mean
from .sample_quality import PooledSide, bias_figures, distance_figures
from .side_record import SLOWEST

__all__ = ["LEAST_SEEDS", "complete_pairs", "summarise"]

LEAST_SEEDS = 2
# Key of a run's rates -> what is counted in the denominator.
RATES = {
    "ess_per_s": "sampling, rejections included",
    "ess_per_s_with_setup": "start, loading, relaxation, first jumps and sampling",
    "ess_per_cpu_s": "processor time of sampling",
}

Pair = tuple[dict[str, Any], dict[str, Any]]


def complete_pairs(runs: list[dict[str, Any]]) -> list[Pair]:
    """(UniSim, MD) of every seed that has both, by seed."""
    sides = {(run["side"], run["seed"]): run for run in runs}
    seeds = sorted({seed for _, seed in sides})
    return [
        (sides["unisim", seed], sides["md", seed])
        for seed in seeds
        if ("unisim", seed) in sides and ("md", seed) in sides
    ]


def summarise(
    runs: list[dict[str, Any]],
    reference: TorsionReference | None,
    long_run: TorsionReference | None,
    seed: int,
) -> dict[str, Any] | None:
    """All figures over seeds; None before two seeds are complete.

    Parameters
    ----------
    runs : list of dict
        Of `side_record.make_record`.
    reference, long_run : TorsionReference or None
        As for `bias_figures`.
    seed : int
        Of the bootstrap of the floor.
    """
    pairs = complete_pairs(runs)
    if len(pairs) < LEAST_SEEDS:
        return None
    unisim, md = PooledSide([first for first, _ in pairs]), PooledSide([second for _, second in pairs])
    names = list(pairs[0][0]["observables"])
    return {
        "seeds": len(pairs),
        "rates": RATES,
        "observables": {
            name: _figures(pairs, name) for name in [SLOWEST, *(n for n in names if n != SLOWEST)]
        },
        "slowest_of_each_seed": {
            "unisim": [run["observables"][SLOWEST]["name"] for run in unisim.runs],
            "md": [run["observables"][SLOWEST]["name"] for run in md.runs],
        },
        "times_s": {"unisim": _mean_times(unisim), "md": _mean_times(md)},
        "rejections": _rejections(unisim),
        "warnings": sorted({text for run in unisim.runs for text in run["warnings"]}),
        "distances": distance_figures(unisim, md, reference, seed),
        "bias": bias_figures(unisim, md, reference, long_run),
        "judge": "the MD of this benchmark" if reference is None else reference.name,
    }


def _figures(pairs: list[Pair], name: str) -> dict[str, Any]:
    """Geometric means of both sides and of their ratio, for each rate; or the reason why there are none."""
    for side, runs in (("unisim", [pair[0] for pair in pairs]), ("md", [pair[1] for pair in pairs])):
        for run in runs:
            entry = run["observables"][name]
            if entry["ess_per_s"] is None:
                reason = f"{side}, seed {run['seed']}: {entry['name']} has {entry['reason']}"
                return {"reason": reason}
    figures: dict[str, Any] = {}
    for rate in RATES:
        values = [
            (first["observables"][name][rate], second["observables"][name][rate]) for first, second in pairs
        ]
        figures[rate] = {
            "unisim": geometric_mean([first for first, _ in values]).as_dict(),
            "md": geometric_mean([second for _, second in values]).as_dict(),
            "ratio": geometric_mean([first / second for first, second in values]).as_dict(),
        }
    return figures


def _mean_times(side: PooledSide) -> dict[str, float]:
    """Mean over seeds of the wall time of each stage, s."""
    stages = side.runs[0]["times_s"]
    return {stage: sum(run["times_s"][stage] for run in side.runs) / len(side.runs) for stage in stages}


def _rejections(side: PooledSide) -> dict[str, int]:
    """Jumps, accepted jumps and broken proposals of all seeds."""
    jumps = side.n_frames
    accepted = sum(run["counts"]["accepted"] for run in side.runs)
    broken = sum(run["counts"]["broken"] for run in side.runs)
    return {"jumps": jumps, "accepted": accepted, "rejected": jumps - accepted, "broken": broken}
