"""What moves of the solute share, and the exact one: a jump by nonequilibrium switching (NCMC).

==================  =========================================================================  ======================
symbol              meaning                                                                    name here
==================  =========================================================================  ======================
x, x'               solute before and after the jump                                           positions, jump.positions
q, v                solvent: positions, velocities drawn afresh                                positions, velocities
K_rev/K_fwd         ratio of the jump's path densities                                         log_ratio
W                   U(x',q') + K(v') - U(x,q) - K(v), total energies of the user's Context     work
u                   energy of the solute alone, any function of x: the screen                  screen
log a_1             -beta [u(x') - u(x)] + log K_rev/K_fwd                                     screen_log_acceptance
log a               -beta W + log K_rev/K_fwd, or after a screen -beta (W - [u(x') - u(x)])    log_acceptance
==================  =========================================================================  ======================

Source: docs/theory.md, "Jumps in explicit solvent". A move leaves the Boltzmann law of the whole System at the
box that it finds unchanged, however bad the model and however violent the switch: both are rejected, not wrong.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import CheckpointError, ConfigError, NonFiniteError, tells_of_nan
from ..simulation.noise import acceptance_uniform
from ..units import BOLTZMANN, in_unit
from .propagator import SolventPropagator, Switched
from .proposal import ProposedJump, SoluteJump, thermal_velocities
from .protocol import SwitchingProtocol
from .record import MoveCounts, MoveRecord
from .solute import Solute

__all__ = ["ScreenEnergy", "SoluteMove", "SwitchingMove"]

ScreenEnergy = Callable[[NDArray[np.float64]], float]
_SCREEN_STREAM = 0x5C12EE17  # its acceptance numbers must not be those of the second test


@dataclass(frozen=True)
class Snapshot:
    """State of the user's Context: nm, nm/ps, kJ/mol."""

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    box: NDArray[np.float64]
    energy: float

    @classmethod
    def of(cls, context: openmm.Context) -> "Snapshot":
        """Read a Context; molecules as it holds them."""
        state = context.getState(positions=True, velocities=True, energy=True)
        return cls(
            np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)),
            np.array(state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)),
            np.array(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)),
            state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
        )


class SoluteMove:
    """Base of moves: `move(context)` changes positions and velocities of a Context of the whole System.

    Time, step count and box are left alone. Random numbers are a function of the seed and of the number of the
    move, so that the counts (`getCounts`, `setCounts`) are all that a checkpoint needs.

    Parameters
    ----------
    model : str or Path
        Registered name, or a model file.
    topology : openmm.app.Topology
        Of the whole System.
    system : openmm.System
        Solute without constraints; rigid water is fine.
    particles : iterable of int
        The solute's atoms: whole molecules.
    temperature : float or Quantity, optional
        K; the model's training temperature unless given.
    numSubsteps : int
        Of a jump; 0 is the model's default.
    guidanceScale : float, optional
    randomNumberSeed : int
    trusted, sha256
        Of a model file from elsewhere, as for `UniSimIntegrator`.

    Attributes
    ----------
    exact : bool
        Whether moves leave the Boltzmann law unchanged.
    """

    exact = True

    def __init__(
        self,
        model: str | Path,
        topology: app.Topology,
        system: openmm.System,
        particles: Iterable[int],
        temperature: Any = None,
        *,
        numSubsteps: int = 0,
        guidanceScale: float | None = None,
        randomNumberSeed: int = 1,
        trusted: bool = False,
        sha256: str | None = None,
    ):
        self.solute = Solute(topology, system, particles)
        kelvin = None if temperature is None else in_unit(temperature, unit.kelvin, "temperature")
        self._jump = SoluteJump(
            model, self.solute, kelvin, randomNumberSeed, exact=self.exact, n_substeps=numSubsteps,
            guidance_scale=guidanceScale, trusted=trusted, sha256=sha256,
        )  # fmt: skip
        self._system = system
        self._seed = int(randomNumberSeed)
        self._counts = MoveCounts()
        n = system.getNumParticles()
        self._masses = np.array(
            [system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(n)], dtype=np.float64
        )

    def getTemperature(self) -> float:
        """Temperature of the acceptance and of the velocities, K."""
        return self._jump.jump.temperature

    def getCounts(self) -> dict[str, int]:
        """Moves so far by outcome; also the state of the random numbers."""
        return asdict(self._counts)

    def setCounts(self, counts: dict[str, int]) -> None:
        """Continue where `getCounts` was taken."""
        try:
            self._counts = MoveCounts(**{name: int(value) for name, value in counts.items()})
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{counts} are no counts of a move ({error}).") from error

    def describe(self) -> dict[str, Any]:
        """Settings that must be the same for a run to be resumed."""
        return {
            "kind": type(self).__name__,
            "exact": self.exact,
            "seed": self._seed,
            "temperature_K": self.getTemperature(),
            "substeps": self._jump.jump.n_substeps,
            "guidance_scale": self._jump.jump.guidance_scale,
            "weights": self._jump.jump.metadata.weights_sha256,
            "solute": self.solute.particles.tolist(),
        }

    def prepare(self, context: openmm.Context) -> None:
        """Make the Contexts that moves of `context` need, or make them anew: nothing of earlier moves is left in them.

        Moves do so when they need it; a run that shall repeat bits calls it at each checkpoint. On the Reference
        platform it reseeds the random numbers of every Context, so restore the state of `context` afterwards.
        """

    def move(self, context: openmm.Context) -> MoveRecord:
        """Make one move of the Context's state.

        Parameters
        ----------
        context : openmm.Context
            Of the whole System, with positions.

        Raises
        ------
        NonFiniteError
            If the state before the move has no finite energy.
        """
        started = time.perf_counter()
        self._check_context(context)
        before = Snapshot.of(context)
        if not np.isfinite(before.energy):
            raise NonFiniteError(
                f"The potential energy before the move is {before.energy} kJ/mol; go back to the last finite frame."
            )
        own = before.positions[self.solute.particles]
        jump = self._jump.propose(own, before.box, self._counts.proposed)
        record = MoveRecord(self._counts.proposed, 0, int(not jump.finite), 0, jump.log_ratio)
        if jump.finite and jump.reversible:
            moved = float(np.sqrt(((jump.positions - own) ** 2).sum(1).mean()))
            record = self._decide(context, before, jump, replace(record, displacement_nm=moved))
        record = replace(record, wall_s=time.perf_counter() - started)
        self._counts.add(record)
        return record

    def _decide(
        self, context: openmm.Context, before: Snapshot, jump: ProposedJump, record: MoveRecord
    ) -> MoveRecord:
        """Carry out a finite proposal or refuse it, and leave `context` in the state that results."""
        raise NotImplementedError

    def _check_context(self, context: openmm.Context) -> None:
        if context.getSystem().getNumParticles() != len(self._masses):
            raise ConfigError(
                f"The Context has {context.getSystem().getNumParticles()} particles and the move's System "
                f"{len(self._masses)}; give a Context of the same System."
            )
        integrator = context.getIntegrator()
        if hasattr(integrator, "getTemperature"):
            other = in_unit(integrator.getTemperature(), unit.kelvin, "temperature")
            if abs(other - self.getTemperature()) > 1e-6 * other:
                raise ConfigError(
                    f"MD runs at {other} K and the moves at {self.getTemperature()} K; give both one temperature."
                )

    def _velocities(self) -> NDArray[np.float64]:
        return thermal_velocities(self._masses, self.getTemperature(), self._seed, self._counts.proposed)


class SwitchingMove(SoluteMove):
    """Exact jumps of a solute in explicit solvent.

    Parameters
    ----------
    protocol : SwitchingProtocol
    screen : callable, optional
        (n_solute, 3) nm to kJ/mol: an energy of the solute alone (in vacuum, in implicit solvent). Jumps are tested
        on it first, and the solvent is moved only for those that pass; the second test makes up for it exactly.
    others
        As for `SoluteMove`.
    """

    def __init__(
        self,
        *args: Any,
        protocol: SwitchingProtocol | None = None,
        screen: ScreenEnergy | None = None,
        **options: Any,
    ):
        super().__init__(*args, **options)
        self.protocol = protocol or SwitchingProtocol()
        self._screen = screen
        self._propagator: SolventPropagator | None = None

    def describe(self) -> dict[str, Any]:
        """Settings that must be the same for a run to be resumed."""
        return {
            **super().describe(),
            "protocol": asdict(self.protocol),
            "screened": self._screen is not None,
        }

    def prepare(self, context: openmm.Context) -> None:
        """Make the Context of the switches, or make it anew (see `SoluteMove.prepare`)."""
        if self._propagator is not None:
            self._propagator.reset()
        else:
            platform, properties = platform_of(context)
            self._propagator = SolventPropagator(
                self._system, self.solute.particles, self.protocol, platform, properties
            )

    def _decide(
        self, context: openmm.Context, before: Snapshot, jump: ProposedJump, record: MoveRecord
    ) -> MoveRecord:
        beta = 1.0 / (BOLTZMANN * self.getTemperature())
        known = 0.0  # change of the energy that the first test has accounted for
        log_ratio = jump.log_ratio
        if self._screen is not None:
            own = before.positions[self.solute.particles]
            known = self._screened(jump.positions, before.box) - self._screened(own, before.box)
            log_a = -beta * known + log_ratio
            record = replace(record, screen_log_acceptance=log_a, log_acceptance=log_a)
            if not self._passes(log_a, self._seed ^ _SCREEN_STREAM):
                return replace(record, nan=int(not np.isfinite(log_a)))
            log_ratio = 0.0
        drawn = self._velocities()
        switched, energy = self._switch(context, before, drawn, jump)
        work = np.nan
        if switched is not None:
            work = energy - before.energy + switched.kinetic_after - switched.kinetic_before
        log_a = -beta * (work - known) + log_ratio
        accepted = self._passes(log_a, self._seed)
        if accepted and switched is not None:
            velocities = switched.velocities
            velocities[self.solute.particles] = drawn[self.solute.particles]
            context.setVelocities(velocities)
        else:
            context.setPositions(before.positions)
            context.setVelocities(-drawn)
            context.applyVelocityConstraints(context.getIntegrator().getConstraintTolerance())
        return replace(
            record, accepted=int(accepted), nan=int(not np.isfinite(log_a)), switched=1,
            work_kj_mol=float(work), log_acceptance=float(log_a),
        )  # fmt: skip

    def _passes(self, log_a: float, seed: int) -> bool:
        """False where `log_a` is nan."""
        return bool(np.log(acceptance_uniform(seed, self._counts.proposed)) < log_a)

    def _screened(self, positions: NDArray[np.float64], box: NDArray[np.float64]) -> float:
        assert self._screen is not None
        return float(self._screen(positions + self.solute.images(positions, box) @ box))

    def _switch(
        self, context: openmm.Context, before: Snapshot, velocities: NDArray[np.float64], jump: ProposedJump
    ) -> tuple[Switched | None, float]:
        """The switched state, which `context` holds then, and its potential energy; None if it failed."""
        if self._propagator is None:
            with undisturbed(context):
                self.prepare(context)
        assert self._propagator is not None  # prepare
        self._propagator.copy_parameters(context)
        track = jump.track if self.protocol.kind == "path" else jump.track[[0, -1]]
        try:
            switched = self._propagator.switch(before.positions, velocities, before.box, track)
            if not np.isfinite(switched.positions).all():
                return None, np.nan
            context.setPositions(switched.positions)
            state = context.getState(energy=True)
        except openmm.OpenMMException as error:
            if not tells_of_nan(error):
                raise
            with undisturbed(context):
                self.prepare(context)
            return None, np.nan
        return switched, state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


def platform_of(context: openmm.Context) -> tuple[openmm.Platform, dict[str, str]]:
    """Platform of a Context, and the values of its properties there."""
    platform = context.getPlatform()
    return platform, {name: platform.getPropertyValue(context, name) for name in platform.getPropertyNames()}


@contextmanager
def undisturbed(context: openmm.Context) -> Iterator[None]:
    """Restore `context` after other Contexts were made.

    Those of the Reference platform share one generator of random numbers, which each new one reseeds.
    """
    data = context.createCheckpoint()
    yield
    context.loadCheckpoint(data)
