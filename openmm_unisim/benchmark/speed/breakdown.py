"""`openmm-unisim benchmark breakdown`: where the time of a jump goes, and MD of the same molecule beside it.

1. Jumps on each platform in turn; the integrator's own timers (`UniSimIntegrator.getTimings`) split them into model,
   forces, noise and hand-over.
2. The checks that `simulate` makes after each jump.
3. Inside the model: one substep under torch's profiler, and matrix products of the networks' sizes as the roofline.
4. MD run well (`MDProtocol.run_well`) on each platform, timed in between.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import openmm
import torch
from openmm import app

from ..._plugin import operators_are_built
from ...errors import ConfigError
from ...export.loader import load_model_file
from ...integrator import UniSimIntegrator
from ...provenance import provenance
from ...simulation.guard import JumpGuard
from ...simulation.quality import QualityCounts, QualityMonitor
from ...simulation.relaxation import MDProtocol, TimedMD
from ...system import get_platform
from .jump_setup import JumpSetup, platforms_here, prepare, require_whole_jumps
from .operator_profile import profile_operators
from .products import time_products
from .side_by_side import compare, spread_of
from .substep import substep_call

__all__ = ["BREAKDOWN_FORMAT", "BreakdownSettings", "measure_breakdown"]

BREAKDOWN_FORMAT = 1
PARTS = ("model", "forces", "noise", "hand_over")
COUNTS = ("model_calls", "force_evaluations")

Report = Callable[[str], None]


@dataclass(frozen=True)
class BreakdownSettings:
    """What `measure_breakdown` is asked to do.

    Attributes
    ----------
    model, input : str
        Registered name or path; as for `load_molecule`.
    platforms : tuple of str
        Empty: Reference and CPU.
    substeps : int
        0: the model's default.
    threads : int
        Of the network and of the CPU platform, for jumps and MD alike.
    jumps, repeats : int
        Jumps in a block, and blocks, on each platform.
    md_seconds : float
        Wall time of MD in each block, on each platform.
    thermalise_ps : float
    """

    model: str
    input: str
    platforms: tuple[str, ...] = ()
    substeps: int = 0
    threads: int = 1
    jumps: int = 5
    repeats: int = 7
    md_seconds: float = 0.3
    thermalise_ps: float = 5.0


def measure_breakdown(settings: BreakdownSettings, report: Report) -> dict[str, Any]:
    """All figures; `docs/benchmark.md` describes the record.

    Raises
    ------
    ConfigError
        If there is nothing to repeat.
    NonFiniteError
        If a jump ended early.
    """
    if min(settings.repeats, settings.jumps, settings.threads) < 1 or settings.md_seconds <= 0:
        raise ConfigError("Jumps, repeats, threads and the seconds of MD must be positive.")
    report("thermalising")
    platforms = platforms_here(settings.platforms)
    setup = prepare(settings.model, settings.input, settings.substeps, settings.thermalise_ps)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)  # as within a jump
    try:
        jumps, md = _jumps_and_md(setup, platforms, settings, report)
        report("profiling the model")
        model = _inside_model(setup, settings)
        report("matrix products")
        products = time_products(20) if operators_are_built() else {}
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    fastest_jumps = max(jumps, key=lambda name: jumps[name]["nominal_ns_per_day"])
    fastest_md = max(md, key=lambda name: md[name]["ns_per_day"])
    return {
        **setup.record(),
        "threads": settings.threads,
        "jumps": jumps,
        "md": md,
        "fastest": {"jumps": fastest_jumps, "md": fastest_md},
        "nominal_ratio_to_md": jumps[fastest_jumps]["nominal_ns_per_day"] / md[fastest_md]["ns_per_day"],
        "inside_model": model,
        "products": products,
        "provenance": provenance(seed=1, torch_threads=settings.threads),
    }


class _TimedJumps:
    """Blocks of jumps on one platform."""

    def __init__(self, setup: JumpSetup, platform: str, settings: BreakdownSettings):
        self._setup, self._jumps = setup, settings.jumps
        self.context = setup.context(platform, settings.threads)
        self.integrator = self.context.getIntegrator()
        self.integrator.step(2)  # compiles the model
        self.blocks: list[dict[str, float]] = []

    def measure(self) -> None:
        """One block from the start."""
        self.context.setPositions(self._setup.positions)
        self.integrator.resetTimings()
        processor, wall = time.process_time(), time.perf_counter()
        self.integrator.step(self._jumps)
        block = {
            "whole": 1000 * (time.perf_counter() - wall) / self._jumps,
            "processor": 1000 * (time.process_time() - processor) / self._jumps,
        }
        timings = self.integrator.getTimings()
        block |= {part: 1000 * timings[part] / self._jumps for part in PARTS}
        self.blocks.append(block | {name: timings[name] / self._jumps for name in COUNTS})

    def result(self, platform: str) -> dict[str, Any]:
        """Medians and ranges, ms a jump, wall time unless it says processor."""
        require_whole_jumps(self.integrator, f"{self._setup.name} on {platform}")
        figures: dict[str, Any] = {}
        for part in (*PARTS, "whole", "processor"):
            figures |= spread_of(f"{part}_milliseconds", [block[part] for block in self.blocks])
        figures |= {name: self.blocks[-1][name] for name in COUNTS}
        return figures | {"nominal_ns_per_day": self._setup.nominal_ns_per_day(figures["whole_milliseconds"])}


def _jumps_and_md(
    setup: JumpSetup, platforms: tuple[str, ...], settings: BreakdownSettings, report: Report
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Jumps and MD of every platform, and the checks, in turn."""
    metadata = setup.metadata
    protocol = MDProtocol.run_well(metadata.environment, metadata.training_temperature_K)
    timed = {name: _TimedJumps(setup, name, settings) for name in platforms}
    with _cpu_threads(settings.threads):
        rivals = {name: TimedMD(setup.molecule, protocol, setup.positions, name) for name in platforms}
    checks = _TimedChecks(setup, platforms[0])
    speeds: dict[str, list[float]] = {name: [] for name in rivals}
    for name in rivals:
        rivals[name].measure(0.2 * settings.md_seconds)
    for k in range(settings.repeats):
        report(f"block {k + 1} of {settings.repeats}")
        for name in platforms:
            timed[name].measure()
            speeds[name].append(rivals[name].measure(settings.md_seconds).ns_per_day)
        checks.measure()
    jumps = {name: block.result(name) for name, block in timed.items()}
    for entry in jumps.values():
        entry |= spread_of("checks_of_simulate_milliseconds", checks.milliseconds)
    md = {name: {**asdict(protocol), **spread_of("ns_per_day", values)} for name, values in speeds.items()}
    return jumps, md


@contextmanager
def _cpu_threads(number: int) -> Iterator[None]:
    """Contexts of the CPU platform that are made meanwhile have so many threads."""
    there = [openmm.Platform.getPlatform(i) for i in range(openmm.Platform.getNumPlatforms())]
    platforms = [platform for platform in there if platform.getName() == "CPU"]
    before = [platform.getPropertyDefaultValue("Threads") for platform in platforms]
    for platform in platforms:
        platform.setPropertyDefaultValue("Threads", str(number))
    try:
        yield
    finally:
        for platform, value in zip(platforms, before, strict=True):
            platform.setPropertyDefaultValue("Threads", value)


class _TimedChecks:
    """What `simulate` adds to a jump: state, energy, bonds, clashes and handedness."""

    def __init__(self, setup: JumpSetup, platform: str):
        kelvin = setup.metadata.training_temperature_K
        topology = setup.molecule.topology
        self._integrator = UniSimIntegrator(setup.path, topology, kelvin, 2, randomNumberSeed=1)
        simulation = app.Simulation(topology, setup.system, self._integrator, get_platform(platform))
        simulation.context.setPositions(setup.positions)
        simulation.context.setVelocitiesToTemperature(kelvin, 1)
        monitor = QualityMonitor(topology, setup.system, setup.positions)
        self._guard = JumpGuard(simulation, monitor, "keep", QualityCounts())
        self._guard.jump()
        self.milliseconds: list[float] = []

    def measure(self) -> None:
        """Time of a guarded jump that isn't the integrator's."""
        before = sum(self._integrator.getTimings()[part] for part in PARTS)
        started = time.perf_counter()
        self._guard.jump()
        spent = time.perf_counter() - started
        inside = sum(self._integrator.getTimings()[part] for part in PARTS) - before
        self.milliseconds.append(1000 * (spent - inside))


def _inside_model(setup: JumpSetup, settings: BreakdownSettings) -> dict[str, Any]:
    """One substep: its time, and its operators."""
    module, _ = load_model_file(setup.path)
    call = substep_call(module, setup, 1, settings.threads)
    figures = compare({"substep": call}, max(5, 3 * settings.repeats), 3)["substep"]
    return {"substep": figures, "profile": profile_operators(call, max(5, settings.repeats))}
