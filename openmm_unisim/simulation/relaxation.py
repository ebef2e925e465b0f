"""Short MD: from an input structure to one that a model has seen, and an honest timing of MD.

A minimised or freshly built structure lies at 0 K, outside what a model was trained on; some picoseconds of
MD at the run's temperature bring it there. The second purpose is the baseline of every speed claim: MD run
*well* (`MDProtocol.run_well` defines it), on the fastest of the platforms at hand.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import ConfigError, NonFiniteError
from ..system import HYDROGEN_MASS, Molecule, create_system, get_platform

__all__ = [
    "Clock",
    "MDProtocol",
    "MDSpeed",
    "ThermalisedState",
    "TimedMD",
    "start_md",
    "step_md",
    "thermalise",
    "time_md_run_well",
]

SMALL_MOLECULE = 50  # atoms; below it the Reference platform beats CPU
_CHUNK = 500  # MD steps between two looks at the clock
_PS_PER_DAY_TO_NS = 86400.0 / 1000.0  # (ps / s) -> (ns / day)


@dataclass(frozen=True)
class MDSpeed:
    """Simulated time per day of wall time, and per day of processor time (of all threads), ns.

    On a machine that is busy with other work only the second is comparable between runs.
    """

    ns_per_day: float
    ns_per_cpu_day: float

    @classmethod
    def of(cls, picoseconds: float, wall_s: float, cpu_s: float) -> "MDSpeed":
        """Speed of so much simulated time; NaN where there is none."""
        if picoseconds <= 0:
            return cls(float("nan"), float("nan"))
        scale = picoseconds * _PS_PER_DAY_TO_NS
        return cls(scale / wall_s, scale / cpu_s if cpu_s > 0 else float("nan"))


class Clock:
    """Wall and processor time, s, since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Wall and processor seconds; the latter of all threads of this process."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


@dataclass(frozen=True)
class MDProtocol:
    """How a piece of MD is run.

    Attributes
    ----------
    environment : str
    temperature_K, friction_per_ps, time_step_fs, hydrogen_mass_amu : float
    constraints : {"none", "h-bonds", "all-bonds", "h-angles"}
    """

    environment: str
    temperature_K: float
    friction_per_ps: float = 1.0
    time_step_fs: float = 2.0
    hydrogen_mass_amu: float = HYDROGEN_MASS
    constraints: str = "none"

    @classmethod
    def run_well(
        cls,
        environment: str,
        temperature_K: float,
        *,
        time_step_fs: float = 4.0,
        friction_per_ps: float = 1.0,
    ) -> "MDProtocol":
        """MD run well: constrained X-H bonds, hydrogen mass 4 Da, 4 fs, and the native generalised-Born force.

        The one definition behind every comparison of speed. The force is `create_system`'s, the time step is the
        longest that is commonly trusted with these masses; `openmm-unisim benchmark md` tries others.
        """
        return cls(environment, temperature_K, friction_per_ps, time_step_fs, HYDROGEN_MASS, "h-bonds")

    def integrator(self, seed: int) -> openmm.LangevinMiddleIntegrator:
        """The integrator of this protocol, seeded."""
        integrator = openmm.LangevinMiddleIntegrator(
            self.temperature_K * unit.kelvin,
            self.friction_per_ps / unit.picosecond,
            self.time_step_fs * unit.femtosecond,
        )
        integrator.setRandomNumberSeed(seed)
        return integrator

    def system(self, molecule: Molecule) -> openmm.System:
        """The System of this protocol."""
        kinds = {"none": None, "h-bonds": app.HBonds, "all-bonds": app.AllBonds, "h-angles": app.HAngles}
        return create_system(
            molecule,
            self.environment,
            constraints=kinds[self.constraints],
            hydrogen_mass=self.hydrogen_mass_amu,
        )

    def record(self, platform: str, speed: MDSpeed) -> dict[str, Any]:
        """For run.json: the protocol and what it reached."""
        implicit = {"vacuum": "none", "obc2": "OBC2, native GBSAOBCForce"}
        return {
            **asdict(speed),
            "platform": platform,
            "integrator": "LangevinMiddle",
            "implicit_solvent": implicit.get(self.environment, self.environment),
            **asdict(self),
        }


@dataclass(frozen=True)
class ThermalisedState:
    """A structure at temperature.

    Attributes
    ----------
    positions, velocities : ndarray, shape (n_atoms, 3), nm and nm/ps
    record : dict
        Protocol and speed of the MD.
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    record: dict[str, Any]


def thermalise(
    molecule: Molecule,
    system: openmm.System,
    protocol: MDProtocol,
    duration_ps: float,
    seeds: tuple[int, int],
    platform: str,
    report: Callable[[float], None] | None = None,
) -> ThermalisedState:
    """Minimise, then run MD at the protocol's temperature.

    Parameters
    ----------
    molecule : Molecule
        Its positions are where the minimisation starts.
    system : openmm.System
        The one that the jumps will use, so that only the temperature has to settle.
    protocol : MDProtocol
    duration_ps : float
        Length of the MD.
    seeds : (int, int)
        Of the first velocities and of the Langevin noise, each at least 1.
    platform : str
    report : callable, optional
        Called with the fraction done.

    Raises
    ------
    NonFiniteError
        If the energy is not finite at the end, which a bad input structure causes.
    """
    if not (np.isfinite(duration_ps) and duration_ps >= 0):
        raise ConfigError(f"The thermalisation time {duration_ps} ps must be a number of at least 0.")
    context = openmm.Context(system, protocol.integrator(seeds[1]), get_platform(platform))
    context.setPositions(molecule.positions)
    _require_finite(context, "input structure", "repair the input, e.g. with pdbfixer")
    openmm.LocalEnergyMinimizer.minimize(context)
    context.setVelocitiesToTemperature(protocol.temperature_K * unit.kelvin, seeds[0])
    n_steps = round(duration_ps * 1000.0 / protocol.time_step_fs)
    clock, done = Clock(), 0
    while done < n_steps:
        chunk = min(_CHUNK, n_steps - done)
        step_md(context, chunk)
        done += chunk
        if report is not None:
            report(done / n_steps)
    speed = MDSpeed.of(duration_ps if n_steps else 0.0, *clock.read())
    _require_finite(
        context, f"{duration_ps} ps of MD", "check the input for clashes or choose --thermalise 0"
    )
    state = context.getState(positions=True, velocities=True)
    return ThermalisedState(
        state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
        state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond),
        {**protocol.record(platform, speed), "duration_ps": duration_ps, "minimised": True},
    )


def start_md(
    molecule: Molecule, protocol: MDProtocol, positions: NDArray[np.float64], platform: str, seed: int
) -> openmm.Context:
    """A Context of the protocol, ready to step.

    Parameters
    ----------
    molecule : Molecule
    protocol : MDProtocol
    positions : ndarray, shape (n_atoms, 3), nm
        A thermalised structure.
    platform : str
    seed : int
        Of velocities and Langevin noise, at least 1.
    """
    context = openmm.Context(protocol.system(molecule), protocol.integrator(seed), get_platform(platform))
    context.setPositions(positions)
    context.applyConstraints(1e-6)
    context.setVelocitiesToTemperature(protocol.temperature_K * unit.kelvin, seed)
    return context


def step_md(context: openmm.Context, n_steps: int) -> None:
    """Step; what OpenMM raises on the way becomes a `NonFiniteError`."""
    try:
        context.getIntegrator().step(n_steps)
    except openmm.OpenMMException as error:  # "Particle coordinate is NaN" and the like
        raise NonFiniteError(
            f"MD failed ({error}); check the input structure for clashes and missing atoms."
        ) from error


def _require_finite(context: openmm.Context, what: str, cure: str) -> None:
    energy = context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    if not np.isfinite(energy):
        raise NonFiniteError(f"The potential energy of the {what} is {energy} kJ/mol; {cure}.")


class TimedMD:
    """MD whose speed can be measured again and again.

    Parameters
    ----------
    molecule, protocol, positions, platform
        As for `start_md`.
    """

    def __init__(
        self, molecule: Molecule, protocol: MDProtocol, positions: NDArray[np.float64], platform: str
    ):
        self._protocol = protocol
        self._context = start_md(molecule, protocol, positions, platform, 1)

    def measure(self, seconds: float) -> MDSpeed:
        """Speed over at least `seconds` of wall time; the first measurement includes what is made on first use."""
        steps, wall_s, cpu_s = _run_for(self._context, seconds)
        _require_finite(
            self._context, "MD that was timed", "check the structure for clashes or shorten the time step"
        )
        return MDSpeed.of(steps * self._protocol.time_step_fs / 1000.0, wall_s, cpu_s)


def _time_md(
    molecule: Molecule, protocol: MDProtocol, positions: NDArray[np.float64], platform: str, seconds: float
) -> MDSpeed:
    """Speed over `seconds` of wall time, after a warm-up of a fifth of them."""
    timed = TimedMD(molecule, protocol, positions, platform)
    timed.measure(0.2 * seconds)
    return timed.measure(seconds)


def _run_for(context: openmm.Context, seconds: float) -> tuple[int, float, float]:
    """Steps, wall and processor seconds; reading the energy waits for an asynchronous platform to finish."""
    chunk, steps, clock = 10, 0, Clock()
    while True:
        step_md(context, chunk)
        context.getState(energy=True)
        steps += chunk
        wall_s, cpu_s = clock.read()
        if wall_s >= seconds:
            return steps, wall_s, cpu_s
        chunk = max(1, min(_CHUNK, int(0.2 * seconds * steps / wall_s)))


def time_md_run_well(
    molecule: Molecule,
    environment: str,
    temperature: float,
    positions: NDArray[np.float64],
    platform: str,
    seconds: float,
) -> dict[str, Any]:
    """Speed of MD run well (`MDProtocol.run_well`) on the run's platform and its rivals: the fastest counts.

    Parameters
    ----------
    molecule, positions
        As for `start_md`.
    environment, temperature
        Of the run, K.
    platform : str
        The run's own platform; CPU is tried as well, and Reference for a small molecule.
    seconds : float
        Wall time for all platforms together; 0 measures nothing and records NaN.
    """
    protocol = MDProtocol.run_well(environment, temperature)
    candidates = dict.fromkeys([platform, "CPU", *(["Reference"] if len(positions) < SMALL_MOLECULE else [])])
    if seconds <= 0:
        return {**protocol.record(platform, MDSpeed.of(0.0, 0.0, 0.0)), "ns_per_day_by_platform": {}}
    share = seconds / 1.2 / len(candidates)
    speeds = {name: _time_md(molecule, protocol, positions, name, share) for name in candidates}
    rates = {name: speed.ns_per_day for name, speed in speeds.items()}
    fastest = max(rates, key=lambda name: rates[name])
    return {**protocol.record(fastest, speeds[fastest]), "ns_per_day_by_platform": rates, "seconds": seconds}
