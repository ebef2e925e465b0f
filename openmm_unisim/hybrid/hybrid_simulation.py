"""`HybridSimulation`: an `openmm.app.Simulation` whose steps are cycles of MD and jumps."""

import copy
import warnings
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from ..errors import ConfigError, check_choice
from ..integrator import UniSimIntegrator
from ..simulation.quality import QualityMonitor
from ..system import HYDROGEN_MASS
from ..whole_numbers import whole_number
from .after_jump import AFTER_JUMP, Relaxation
from .cycle import Cycle, CycleIntegrator, CycleRecord
from .ghmc import GHMCIntegrator, refuse_inexact
from .ledger import HybridCounts, Ledger

__all__ = ["HybridSimulation"]

_LARGEST_SEED = 2**31 - 1
# Context properties that can be given, of those that OpenMM's platforms report
_PROPERTIES = (
    "Threads", "DeterministicForces", "Precision", "DeviceIndex", "OpenCLPlatformIndex", "UseCpuPme",
    "DisablePmeStream", "TempDirectory",
)  # fmt: skip


class HybridSimulation(app.Simulation):
    """MD and jumps in turn, on one Context with a `CompoundIntegrator`.

    **A step is a cycle**: `mdSteps` steps of MD, then `numJumps` jumps, each judged as `afterJump` says. `step(100)`
    makes 100 cycles, `currentStep` counts cycles, and intervals of reporters are cycles; all of OpenMM's reporters
    work. The clock (`context.getTime()`) is the time of MD and jumps together: a cycle advances it by `mdSteps` MD
    steps and `numJumps` lag times, whatever was rejected. `getMDTime` and `getJumpTime` tell them apart. The step count
    of the Context itself counts MD steps, those of relaxations included, and jumps.

    Checkpoints and States, by whatever of OpenMM's methods, hold the counts too. On the Reference and CPU platforms
    (the latter with one thread) a simulation that continues from a checkpoint is the uninterrupted one to the last bit.
    A State holds no random numbers of the MD, so its continuation is another, equally good.

    Parameters
    ----------
    topology : openmm.app.Topology
    system : openmm.System
        A copy is used.
    jumpIntegrator : UniSimIntegrator
        A copy is used: its model, temperature, substeps, particles, guidance and seed count, its acceptance mode
        doesn't (`afterJump` decides).
    mdIntegrator : openmm.Integrator, optional
        Any of OpenMM's that belongs to no Context; it is taken over. Default: `LangevinMiddleIntegrator` at the
        temperature of the jumps, friction 1/ps, 4 fs with constraints and heavy hydrogens, 2 fs with either, 1 fs with
        neither; for "metropolis" `GHMCIntegrator`, half as long.
    mdSteps, numJumps : int
        Of a cycle; either may be 0.
    afterJump : {"accept", "metropolis", "relax"}
        See `after_jump`.
    relaxation : Relaxation, optional
        For "relax".
    randomNumberSeed : int
        Of velocities, and of the integrators unless theirs are set; 0 chooses one.
    platform, platformProperties
        As of `openmm.app.Simulation`.
    qualityMonitor : QualityMonitor, optional
        Judges for "relax"; unless given, one that holds the handedness of the positions at the first cycle.

    Raises
    ------
    ConfigError
        If settings don't fit together, or the System holds what exact sampling can't account for ("metropolis").
    """

    def __init__(
        self,
        topology: app.Topology,
        system: openmm.System,
        jumpIntegrator: UniSimIntegrator,
        mdIntegrator: Any = None,
        *,
        mdSteps: int = 500,
        numJumps: int = 1,
        afterJump: str = "accept",
        relaxation: Relaxation | None = None,
        randomNumberSeed: int = 0,
        platform: openmm.Platform | None = None,
        platformProperties: dict[str, str] | None = None,
        qualityMonitor: QualityMonitor | None = None,
    ):
        self._check(mdSteps, numJumps, afterJump, relaxation, randomNumberSeed)
        seed = randomNumberSeed or int(np.random.SeedSequence().generate_state(1)[0]) % _LARGEST_SEED + 1
        system = copy.deepcopy(system)
        jump = _jump_copy(jumpIntegrator, afterJump, seed)
        if afterJump == "metropolis":
            _remove_drift_remover(system)
            refuse_inexact(system)
        md = _default_md(system, jump, afterJump) if mdIntegrator is None else mdIntegrator
        _check_md(md, jump, afterJump)
        self.afterJump, self.relaxation = afterJump, relaxation or Relaxation()
        self.mdIntegrator, self.jumpIntegrator = md, jump
        ledger = Ledger()
        _seed_both(md, ledger, seed)
        integrator = CycleIntegrator(md, jump, ledger, int(mdSteps), int(numJumps))
        super().__init__(topology, system, integrator, platform, platformProperties)
        self._cycle = Cycle(
            self.context,
            integrator,
            afterJump,
            self.relaxation,
            seed,
            lambda: qualityMonitor or self._new_monitor(),
        )
        self.lastCycle: CycleRecord | None = None
        integrator.run_cycle = self._run_cycle

    @classmethod
    def fromSimulation(
        cls,
        simulation: app.Simulation,
        jumpIntegrator: UniSimIntegrator | None = None,
        mdIntegrator: Any = None,
        **settings: Any,
    ) -> "HybridSimulation":
        """A hybrid simulation of an ordinary one, which is left as it is.

        Topology, System, platform, positions, box, parameters, time and velocities are taken over, and a copy of its
        integrator: as the jumps' if it is a `UniSimIntegrator`, else as MD's.

        Parameters
        ----------
        simulation : openmm.app.Simulation
            With positions.
        jumpIntegrator : UniSimIntegrator, optional
            Needed unless it is the simulation's.
        mdIntegrator : openmm.Integrator, optional
            Instead of the simulation's or the default.
        **settings
            The other parameters of the class.
        """
        own = simulation.integrator
        jumps = UniSimIntegrator.isinstance(own)
        if jumpIntegrator is None and not jumps:
            raise ConfigError(
                f"The simulation's {type(own).__name__} makes no jumps; give a UniSimIntegrator as jumpIntegrator."
            )
        same = mdIntegrator is None and not jumps
        platform = simulation.context.getPlatform()
        hybrid = cls(
            simulation.topology,
            simulation.system,
            UniSimIntegrator.cast(own) if jumpIntegrator is None else jumpIntegrator,
            copy.copy(own) if same else mdIntegrator,
            platform=platform,
            platformProperties=_properties(simulation.context, platform),
            **settings,
        )
        state = simulation.context.getState(positions=True, velocities=True, parameters=True)
        hybrid.context.setState(state)
        hybrid.context.setStepCount(0)
        if not same:  # other integrators may store velocities of another moment
            hybrid.drawVelocities()
        return hybrid

    @property
    def currentStep(self) -> int:
        """Number of cycles made."""
        return self.getCounts().cycles

    @currentStep.setter
    def currentStep(self, step: int) -> None:
        counts = self.getCounts()
        counts.cycles = int(step)
        self.integrator.ledger.write(counts)

    def getCounts(self) -> HybridCounts:
        """What was done so far: cycles, steps, jumps and their rejections by reason."""
        return self.integrator.ledger.read()

    def getMDTime(self) -> unit.Quantity:
        """Time that MD covered."""
        return self.getCounts().md_time_ps * unit.picosecond

    def getJumpTime(self) -> unit.Quantity:
        """Time that jumps covered: lag times of all that were tried."""
        return self.getCounts().jump_time_ps * unit.picosecond

    def isExact(self) -> bool:
        """Whether the force field's distribution is sampled exactly, as both integrators are set now.

        So it is with Metropolis jumps and an exact kernel of one temperature and the same force groups, or no MD.
        """
        jump, md = self.jumpIntegrator, self.mdIntegrator
        if self.afterJump != "metropolis" or jump.getAcceptanceMode() != UniSimIntegrator.MetropolisHastings:
            return False
        alike = _same_temperature(md, jump) and _force_groups(md) == _force_groups(jump)
        return self.integrator.md_steps == 0 or (isinstance(md, GHMCIntegrator) and alike)

    def drawVelocities(self) -> None:
        """Draw velocities for the MD integrator from the Maxwell-Boltzmann distribution at the jumps' temperature."""
        self._cycle.draw_velocities(self.getCounts(), self.integrator.num_jumps)

    def _run_cycle(self) -> None:
        self.lastCycle = self._cycle.run()

    def _new_monitor(self) -> QualityMonitor:
        positions = self.context.getState(positions=True).getPositions(asNumpy=True)
        start = positions.value_in_unit(unit.nanometer)
        return QualityMonitor(self.topology, self.system, start, self.relaxation.limits)

    @staticmethod
    def _check(md_steps: int, jumps: int, after_jump: str, relaxation: Any, seed: int) -> None:
        check_choice("afterJump", after_jump, AFTER_JUMP)
        if md_steps != int(md_steps) or jumps != int(jumps):
            raise ConfigError(f"mdSteps = {md_steps} and numJumps = {jumps} must be whole numbers.")
        if md_steps < 0 or jumps < 0 or md_steps + jumps == 0:
            raise ConfigError(
                f"mdSteps = {md_steps} and numJumps = {jumps} make no cycle; neither may be negative, nor both 0."
            )
        if relaxation is not None and after_jump != "relax":
            raise ConfigError(f"afterJump = '{after_jump}' relaxes nothing; leave `relaxation` out.")
        if not 0 <= whole_number(seed, "randomNumberSeed") <= _LARGEST_SEED:
            raise ConfigError(f"randomNumberSeed = {seed} must lie in 0 to {_LARGEST_SEED}.")


def _derived(seed: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, purpose, 0, 0]).generate_state(1)[0]) % _LARGEST_SEED + 1


def _seed_both(md: Any, ledger: Ledger, seed: int) -> None:
    """Reference and CPU have one generator for all integrators, and the last to be initialised seeds it."""
    if hasattr(md, "setRandomNumberSeed"):
        if md.getRandomNumberSeed() == 0:
            md.setRandomNumberSeed(_derived(seed, 1))
        seed = md.getRandomNumberSeed()
    ledger.setRandomNumberSeed(seed)


def _jump_copy(integrator: Any, after_jump: str, seed: int) -> UniSimIntegrator:
    """The jumps' own integrator: velocities and acceptance are the cycle's affair."""
    if not UniSimIntegrator.isinstance(integrator):
        raise ConfigError(f"jumpIntegrator is a {type(integrator).__name__}; give a UniSimIntegrator.")
    # OpenMM's XML gives a plain Integrator, whose copy is one, too
    jump: UniSimIntegrator = copy.copy(UniSimIntegrator.cast(integrator))
    mode = UniSimIntegrator.MetropolisHastings if after_jump == "metropolis" else UniSimIntegrator.AcceptAll
    jump.setAcceptanceMode(mode)
    jump.setRandomizesVelocities(False)
    if jump.getRandomNumberSeed() == 0:
        jump.setRandomNumberSeed(_derived(seed, 2))
    return jump


def _remove_drift_remover(system: openmm.System) -> None:
    """Every System of `ForceField.createSystem` has one; it changes momenta between the tests of an exact chain."""
    for index in reversed(range(system.getNumForces())):
        if isinstance(system.getForce(index), openmm.CMMotionRemover):
            system.removeForce(index)


def _default_md(system: openmm.System, jump: UniSimIntegrator, after_jump: str) -> Any:
    """LangevinMiddle, or the exact kernel, with the time step that bonds and hydrogen masses allow."""
    masses = [system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(system.getNumParticles())]
    heavy = min((mass for mass in masses if mass > 0), default=HYDROGEN_MASS) >= 0.75 * HYDROGEN_MASS
    step = 0.001 * (2.0 if heavy else 1.0) * (2.0 if system.getNumConstraints() > 0 else 1.0)
    if after_jump == "metropolis":
        return GHMCIntegrator(jump.getTemperature(), 1.0, 0.5 * step)
    return openmm.LangevinMiddleIntegrator(jump.getTemperature(), 1.0 / unit.picosecond, step)


def _check_md(md: Any, jump: UniSimIntegrator, after_jump: str) -> None:
    if not isinstance(md, openmm.Integrator) or UniSimIntegrator.isinstance(md):
        raise ConfigError(f"mdIntegrator is a {type(md).__name__}; give one of OpenMM's MD integrators.")
    if not _same_temperature(md, jump):
        raise ConfigError(
            f"MD has {_kelvin(md):g} K and the jumps have {_kelvin(jump):g} K; give both integrators one temperature."
        )
    if after_jump == "metropolis" and _force_groups(md) != _force_groups(jump):
        raise ConfigError(
            "MD and the jumps are integrated with different force groups, so each would sample another distribution; "
            "give both the same setIntegrationForceGroups."
        )
    if after_jump == "metropolis" and not isinstance(md, GHMCIntegrator):
        warnings.warn(
            f"{type(md).__name__} between Metropolis jumps has the error of its time step, so the chain is not exact; "
            "use GHMCIntegrator.",
            UserWarning,
            stacklevel=3,
        )


def _kelvin(integrator: Any) -> float:
    found = integrator.getTemperature()
    return found.value_in_unit(unit.kelvin) if unit.is_quantity(found) else float(found)


def _same_temperature(md: Any, jump: UniSimIntegrator) -> bool:
    if not hasattr(md, "getTemperature"):
        return True
    return abs(_kelvin(md) - _kelvin(jump)) <= 1e-6 * _kelvin(jump)


def _force_groups(integrator: openmm.Integrator) -> int:
    """Groups as bits; OpenMM stores all of them as -1 or as 2**32 - 1."""
    return int(integrator.getIntegrationForceGroups()) & 0xFFFFFFFF


def _properties(context: openmm.Context, platform: openmm.Platform) -> dict[str, str]:
    names = [name for name in platform.getPropertyNames() if name in _PROPERTIES]
    return {name: platform.getPropertyValue(context, name) for name in names}
