"""`openmm-unisim benchmark throughput`: jumps per second of one and of many copies, by engine, copies and threads.

1. Jumps in OpenMM, one copy, on each platform with each number of threads.
2. Substeps of batches of copies in Python, as `simulation.chain` makes them: the model file and, where its weights lie
   beside it, the plain networks (eager twin) and files exported from them with and without fused operators.
All settings are timed in turn in one process.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..._plugin import operators_are_built
from ...errors import ConfigError
from ...export.conditioned import export_conditioned, load_conditioned
from ...export.loader import load_model_file
from ...export.scripted import ConditionedJump
from ...provenance import provenance
from .jump_setup import JumpSetup, platforms_here, prepare, require_whole_jumps
from .side_by_side import compare
from .substep import substep_call

__all__ = ["THROUGHPUT_FORMAT", "ThroughputSettings", "measure_throughput"]

THROUGHPUT_FORMAT = 1
GRID_POWER = 2.5  # of `export`

Report = Callable[[str], None]


@dataclass(frozen=True)
class ThroughputSettings:
    """What `measure_throughput` is asked to do.

    Attributes
    ----------
    model, input : str
        Registered name or path; as for `load_molecule`.
    copies, threads : tuple of int
    platforms : tuple of str
        Empty: Reference and CPU.
    weights : Path or None
        Of a conditioned field; None: ``weights.safetensors`` beside the model file, if it is there.
    substeps : int
        0: the model's default.
    repeats : int
    thermalise_ps : float
    """

    model: str
    input: str
    copies: tuple[int, ...] = (1, 4, 16, 64)
    threads: tuple[int, ...] = (1,)
    platforms: tuple[str, ...] = ()
    weights: Path | None = None
    substeps: int = 0
    repeats: int = 5
    thermalise_ps: float = 5.0


def measure_throughput(settings: ThroughputSettings, report: Report) -> dict[str, Any]:
    """All figures; `docs/benchmark.md` describes the record.

    Raises
    ------
    ConfigError
        If there is nothing to repeat.
    NonFiniteError
        If a jump in OpenMM ended early.
    """
    if (
        not settings.copies
        or not settings.threads
        or min(*settings.copies, *settings.threads, settings.repeats) < 1
    ):
        raise ConfigError("Copies, threads and repeats must be at least 1.")
    report("thermalising")
    setup = prepare(settings.model, settings.input, settings.substeps, settings.thermalise_ps)
    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)  # as within a jump
    try:
        report("jumps in OpenMM")
        rows = _jumps(setup, settings)
        with tempfile.TemporaryDirectory() as folder:
            modules, twin_of = _modules(setup, settings.weights, Path(folder))
            for copies in settings.copies:
                report(f"{copies} copies")
                rows += _batches(setup, settings, modules, copies)
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    _add_ratios(rows)
    return {
        **setup.record(),
        "weights": twin_of,
        "rows": rows,
        "provenance": provenance(seed=1, torch_threads=list(settings.threads)),
    }


def _jumps(setup: JumpSetup, settings: ThroughputSettings) -> list[dict[str, Any]]:
    """Whole jumps of one copy in OpenMM."""
    contexts = {
        (platform, threads): setup.context(platform, threads)
        for platform in platforms_here(settings.platforms)
        for threads in settings.threads
    }

    def jump(context: Any) -> Callable[[], None]:
        def call() -> None:
            context.setPositions(setup.positions)
            context.getIntegrator().step(1)

        return call

    names = {f"OpenMM {platform}, {threads}": (platform, threads) for platform, threads in contexts}
    figures = compare({name: jump(contexts[key]) for name, key in names.items()}, settings.repeats, 2)
    for name, key in names.items():
        require_whole_jumps(contexts[key].getIntegrator(), name)
    return [
        _row(setup, f"OpenMM, {platform}", 1, threads, figures[name], 1)
        for name, (platform, threads) in names.items()
    ]


def _modules(setup: JumpSetup, weights: Path | None, folder: Path) -> tuple[dict[str, Any], str | None]:
    """What is timed in batches, by name, and the weights file that they come from."""
    modules: dict[str, Any] = {"model file": load_model_file(setup.path)[0]}
    beside = weights or setup.path.with_name("weights.safetensors")
    if weights is None and not beside.is_file():
        return modules, None
    field, spread, extra = load_conditioned(beside)
    elements = torch.tensor(sorted(set(extra["protocol"]["atomic_numbers"])))
    twin = ConditionedJump(field, spread, extra["lag_time"], GRID_POWER, True, elements).eval()
    modules = {"eager twin": twin, **modules}
    kinds = {"plain file": True} | ({"fused file": False} if operators_are_built() else {})
    for name, plain in kinds.items():
        path = folder / f"{name.split()[0]}.unisim.pt"
        export_conditioned(beside, path, plain=plain)
        modules[name] = load_model_file(path)[0]
    return modules, str(beside)


def _batches(
    setup: JumpSetup, settings: ThroughputSettings, modules: dict[str, Any], copies: int
) -> list[dict[str, Any]]:
    """Substeps of `copies` copies at once, all modules and threads in turn."""
    calls = {
        (name, threads): substep_call(module, setup, copies, threads)
        for name, module in modules.items()
        for threads in settings.threads
    }
    figures = compare(
        {f"{name}, {threads}": call for (name, threads), call in calls.items()}, settings.repeats, 2
    )
    return [
        _row(setup, name, copies, threads, figures[f"{name}, {threads}"], setup.substeps)
        for name, threads in calls
    ]


def _row(
    setup: JumpSetup, what: str, copies: int, threads: int, figures: dict[str, float], calls: int
) -> dict[str, Any]:
    """Figures of a jump from those of a call, `calls` of which make one jump of all copies."""
    jump = {name: calls * value for name, value in figures.items() if "milliseconds" in name}
    seconds = jump["wall_milliseconds"] / 1000
    return {
        "what": what, "copies": copies, "threads": threads, **jump,
        "milliseconds_per_copy": jump["milliseconds"] / copies,
        "wall_milliseconds_per_copy": jump["wall_milliseconds"] / copies,
        "samples_per_s": copies / seconds, "jumps_per_s_and_copy": 1 / seconds,
        "nominal_ns_per_day": setup.nominal_ns_per_day(1000 * seconds) * copies,
    }  # fmt: skip


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    """How many times cheaper a copy's jump is than in the first batch: the eager twin's if it was timed, on the first
    number of threads, of the first number of copies."""
    first = next(row for row in rows if not row["what"].startswith("OpenMM"))
    for row in rows:
        # by the clock: once a process has used two threads, the second spins for a while after each call
        row["times_cheaper"] = first["wall_milliseconds_per_copy"] / row["wall_milliseconds_per_copy"]
