"""One cycle of a hybrid simulation: MD, then jumps, each judged, with velocities that fit at every switch.

**Velocities.** The network moves positions only. After a jump that is kept, velocities are drawn from the
Maxwell-Boltzmann distribution by OpenMM's own `setVelocitiesToTemperature`, which removes their components along
constraints and, for leap-frog integrators, shifts them by the half step by which these store them apart from positions.
After a rejection positions and velocities are those from before, so MD goes on as if nothing had been tried; both
choices leave the distribution of positions and velocities unchanged if the jump leaves that of positions unchanged.

**Time.** MD advances the clock by its steps, each jump by its lag time, kept or not. Relaxation doesn't: it is part of
the jump. Every cycle is therefore equally long.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np
import openmm
from openmm import unit

from ..errors import tells_of_nan
from ..simulation.counters import CounterReader, JumpOutcome
from ..simulation.quality import QualityMonitor
from .after_jump import Relaxation, assess, potential_energy, reason_of
from .ghmc import GHMCIntegrator
from .ledger import HybridCounts, Ledger

__all__ = ["Cycle", "CycleIntegrator", "CycleRecord"]

MD, JUMP = (
    0,
    1,
)  # places in the CompoundIntegrator; MD is first, since OpenMM takes the velocities' offset from there


@dataclass(frozen=True)
class CycleRecord:
    """One row of cycles.csv; the table of `reporters` says what each means."""

    cycle: int
    time_ps: float
    potential_energy_kj_mol: float
    energy_before_jump_kj_mol: float
    jump_energy_kj_mol: float
    jumps: int
    accepted: int
    log_acceptance: float
    reason: str
    ghmc_acceptance: float
    wall_s: float


class CycleIntegrator(openmm.CompoundIntegrator):
    """The integrators of a hybrid simulation, as one whose step is a cycle.

    Parameters
    ----------
    md, jump, ledger : openmm.Integrator
        Taken over, as by `addIntegrator`.
    md_steps, num_jumps : int
        Of a cycle.
    """

    def __init__(self, md: Any, jump: Any, ledger: Ledger, md_steps: int, num_jumps: int):
        super().__init__()
        for integrator in (md, jump, ledger):
            self.addIntegrator(integrator)
        self.setCurrentIntegrator(MD)
        self.md, self.jump, self.ledger = md, jump, ledger
        self.md_steps, self.num_jumps = md_steps, num_jumps
        self.run_cycle: Callable[[], Any] | None = None

    def getStepSize(self) -> unit.Quantity:
        """Time by which a cycle advances the clock (with MD of a fixed step)."""
        md = _in_ps(self.md.getStepSize())
        return (self.md_steps * md + self.num_jumps * _in_ps(self.jump.getLagTime())) * unit.picosecond

    def step(self, steps: int) -> None:
        """Make so many cycles."""
        if self.run_cycle is None:
            raise openmm.OpenMMException("This Integrator is not bound to a context!")
        for _ in range(steps):
            self.run_cycle()

    def make_md_steps(self, steps: int) -> None:
        """MD only. The exact kernel need not evaluate again the energy that its last step ended with."""
        self.setCurrentIntegrator(MD)
        if not isinstance(self.md, GHMCIntegrator) or steps < 2:
            super().step(steps)
            return
        super().step(1)
        self.md.setCarriesEnergy(True)
        try:
            super().step(steps - 1)
        finally:
            self.md.setCarriesEnergy(False)

    def make_jump(self) -> None:
        """One jump; MD is the current integrator again afterwards, whatever happens."""
        self.setCurrentIntegrator(JUMP)
        try:
            super().step(1)
        finally:
            self.setCurrentIntegrator(MD)


class Cycle:
    """Runs cycles on a Context.

    Parameters
    ----------
    context : openmm.Context
    integrator : CycleIntegrator
        That of the Context.
    after_jump : str
        One of `after_jump.AFTER_JUMP`.
    relaxation : Relaxation
        For "relax".
    seed : int
        Of the velocities, 1 .. 2^31 - 1; a seed that a checkpoint brings takes its place.
    make_monitor : callable
        Makes the quality monitor of "relax" when it is first needed: there are no positions before.
    """

    def __init__(
        self,
        context: openmm.Context,
        integrator: CycleIntegrator,
        after_jump: str,
        relaxation: Relaxation,
        seed: int,
        make_monitor: Callable[[], QualityMonitor],
    ):
        self._context, self._integrator = context, integrator
        self._after_jump, self._relaxation = after_jump, relaxation
        self._seed, self._make_monitor = seed, make_monitor
        self._monitor: QualityMonitor | None = None

    def run(self) -> CycleRecord:
        """One cycle. If it is interrupted by an error its counts are lost, and the next one starts where it stopped."""
        started = time.perf_counter()
        integrator, counts = self._integrator, self._integrator.ledger.read()
        counts.seed = counts.seed or self._seed
        if self._after_jump == "relax" and self._monitor is None:
            self._monitor = self._make_monitor()
        ghmc = self._make_md(counts)
        energy = jump_energy = self._energy()
        accepted, reasons, log_acceptance = counts.accepted, [], nan
        for number in range(integrator.num_jumps):
            reason, jump_energy, log_acceptance = self._make_jump(counts, number)
            reasons += [reason] if reason else []
        counts.cycles += 1
        integrator.ledger.write(counts)
        return CycleRecord(
            counts.cycles, _in_ps(self._context.getTime()), self._energy(), energy,
            jump_energy if integrator.num_jumps else nan, integrator.num_jumps, counts.accepted - accepted,
            log_acceptance, ";".join(reasons), ghmc, time.perf_counter() - started,
        )  # fmt: skip

    def draw_velocities(self, counts: HybridCounts, number: int) -> None:
        """Velocities of the Maxwell-Boltzmann distribution, a function of seed, cycle and jump."""
        words = np.random.SeedSequence([counts.seed or self._seed, counts.cycles, number]).generate_state(1)
        seed = int(words[0]) % (2**31 - 1) + 1
        self._context.setVelocitiesToTemperature(self._integrator.jump.getTemperature(), seed)

    def _make_md(self, counts: HybridCounts) -> float:
        """The cycle's MD; returns the acceptance of the exact kernel, NaN for other integrators."""
        integrator = self._integrator
        md = integrator.md if isinstance(integrator.md, GHMCIntegrator) else None
        before = (md.getNumAccepted(), md.getNumTried()) if md is not None else (0, 0)
        start = _in_ps(self._context.getTime())
        if integrator.md_steps > 0:
            integrator.make_md_steps(integrator.md_steps)
        counts.md_steps += integrator.md_steps
        counts.md_time_ps += _in_ps(self._context.getTime()) - start
        if md is None or md.getNumTried() == before[1]:
            return nan
        return (md.getNumAccepted() - before[0]) / (md.getNumTried() - before[1])

    def _make_jump(self, counts: HybridCounts, number: int) -> tuple[str, float, float]:
        """A jump and its judgement: reason of a rejection or "", energy of the proposal (kJ/mol), ln a."""
        context, integrator = self._context, self._integrator
        before = context.getState(positions=True, velocities=True, energy=True)
        reader = CounterReader(integrator.jump)
        integrator.make_jump()
        outcome, after = reader.since_last(), context.getTime()
        reason = _reason(outcome)
        energy = self._energy() if not reason else nan
        if self._after_jump == "relax":
            reason = reason or self._relax(counts, number, before)
            context.setTime(after)
            if reason:
                _put_back(context, before)
        elif not reason:
            self.draw_velocities(counts, number)
        counts.jumps += 1
        counts.jump_time_ps += _in_ps(integrator.jump.getLagTime())
        if reason:
            counts.add_rejection(reason)
        else:
            counts.accepted += 1
        return reason, energy, outcome.log_acceptance if outcome.accepted or not outcome.nan else -inf

    def _relax(self, counts: HybridCounts, number: int, before: openmm.State) -> str:
        """Relax a jump and judge it; returns why it is rejected, or ""."""
        relaxation = self._relaxation
        assert self._monitor is not None  # made by `run`
        try:
            if relaxation.minimizationSteps > 0:
                openmm.LocalEnergyMinimizer.minimize(
                    self._context, maxIterations=relaxation.minimizationSteps
                )
            self.draw_velocities(counts, number)
            if relaxation.mdSteps > 0:
                self._integrator.make_md_steps(relaxation.mdSteps)
        except openmm.OpenMMException as error:
            if not tells_of_nan(error):
                raise
            return "nan"
        finally:
            counts.relaxation_steps += relaxation.mdSteps
        state = self._context.getState(positions=True, energy=True)
        rise = potential_energy(state) - potential_energy(before)
        return reason_of(assess(self._monitor, state), rise, relaxation)

    def _energy(self) -> float:
        return potential_energy(self._context.getState(energy=True))


def _reason(outcome: JumpOutcome) -> str:
    """Why the integrator rejected a jump, or ""."""
    if outcome.accepted:
        return ""
    return "nan" if outcome.nan else "chirality" if outcome.turned else "metropolis"


def _put_back(context: openmm.Context, state: openmm.State) -> None:
    """Box, positions and velocities of an earlier state; clock, parameters and counters stay."""
    context.setPeriodicBoxVectors(*state.getPeriodicBoxVectors())
    context.setPositions(state.getPositions(asNumpy=True))
    context.setVelocities(state.getVelocities(asNumpy=True))


def _in_ps(value: unit.Quantity) -> float:
    return float(value.value_in_unit(unit.picosecond))
