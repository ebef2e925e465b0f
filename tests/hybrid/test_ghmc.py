"""The exact local kernel: known distributions at time steps where plain Langevin is wrong, NaN, counts, copies."""

import copy
import math
from collections.abc import Callable

import numpy as np
import openmm
import pytest
from openmm import unit
from scipy.integrate import quad

from openmm_unisim import ConfigError, GHMCIntegrator
from openmm_unisim.hybrid.ghmc import refuse_inexact
from tests.plugin.systems import ALL_PLATFORMS, BOLTZMANN, make_context

KT = BOLTZMANN * 300.0
MASS = 2.0


def wells(expression: str, n: int = 200) -> openmm.System:
    """n independent particles in the potential `expression` of x, y, z (kJ/mol, nm)."""
    system, force = openmm.System(), openmm.CustomExternalForce(expression)
    for _ in range(n):
        force.addParticle(system.addParticle(MASS), [])
    system.addForce(force)
    return system


def frames(
    integrator: openmm.Integrator, system: openmm.System, n: int, every: int, platform: str = "Reference"
) -> np.ndarray:
    """Positions, nm, after some steps of settling."""
    integrator.setRandomNumberSeed(11)
    context = make_context(system, integrator, platform)
    context.setPositions(np.zeros((system.getNumParticles(), 3)))
    context.setVelocitiesToTemperature(300.0, 3)
    integrator.kept = context  # the counts are the Context's
    integrator.step(40 * every)
    found = []
    for _ in range(n):
        integrator.step(every)
        found.append(
            context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        )
    return np.array(found)


def moment(potential: Callable[[float], float], power: int) -> float:
    """<x^power> of the Boltzmann distribution in one dimension, by quadrature."""
    above = quad(lambda x: x**power * math.exp(-potential(x) / KT), -1, 1, limit=200)[0]
    return above / quad(lambda x: math.exp(-potential(x) / KT), -1, 1, limit=200)[0]


def deviation(values: np.ndarray, truth: float) -> float:
    """Mean minus truth in standard errors, from 10 blocks of consecutive frames; particles are averaged first."""
    blocks = values.mean(axis=(1, 2)).reshape(10, -1).mean(axis=1)
    return float((blocks.mean() - truth) / (blocks.std(ddof=1) / np.sqrt(len(blocks))))


STIFFNESS = 5000.0  # of a harmonic well: 0.126 ps a period with this mass
LONG_STEP = 0.9 * 2.0 / math.sqrt(STIFFNESS / MASS)  # 0.9 of the stability limit, ps


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_a_harmonic_well_has_its_variance_close_to_the_limit_of_stability(platform: str) -> None:
    """One particle, so that a step is accepted often."""
    system = wells(f"0.5*{STIFFNESS}*(x^2+y^2+z^2)", 1)
    integrator = GHMCIntegrator(300.0, 5.0, LONG_STEP)
    squares = frames(integrator, system, 1000, 5, platform) ** 2
    assert abs(deviation(squares, KT / STIFFNESS)) < 4.0
    assert squares.mean() == pytest.approx(KT / STIFFNESS, rel=0.12)
    assert 0.2 < integrator.getAcceptanceRate() < 0.9


def test_plain_langevin_is_wrong_there() -> None:
    """Overdamped, with a step as long as the well's relaxation: Euler-Maruyama doubles the variance."""
    step = 0.01
    system = wells(f"0.5*{STIFFNESS}*(x^2+y^2+z^2)", 20)
    squares = frames(openmm.BrownianIntegrator(300.0, STIFFNESS * step / MASS, step), system, 500, 5) ** 2
    assert squares.mean() == pytest.approx(2.0 * KT / STIFFNESS, rel=0.05)


def double_well(x: float) -> float:
    return 500 * x**2 + 10 * math.exp(-((x / 0.05) ** 2))


DOUBLE_WELL = "500*x^2 + 10*exp(-(x/0.05)^2) + 1000*(y^2+z^2)"


def test_a_double_well_has_its_variance_where_langevin_middle_is_wrong() -> None:
    step, truth = 0.04, moment(double_well, 2)
    integrator = GHMCIntegrator(300.0, 5.0, step)
    squares = frames(integrator, wells(DOUBLE_WELL, 2), 2000, 5)[:, :, :1] ** 2
    assert abs(deviation(squares, truth)) < 4.0 and squares.mean() == pytest.approx(truth, rel=0.08)
    assert 0.3 < integrator.getAcceptanceRate() < 0.6
    plain = openmm.LangevinMiddleIntegrator(300.0, 5.0, step)
    assert (frames(plain, wells(DOUBLE_WELL, 20), 500, 5)[:, :, 0] ** 2).mean() > 1.2 * truth


def test_mala_is_the_limit_of_infinite_friction() -> None:
    truth = moment(double_well, 2)
    integrator = GHMCIntegrator(300.0, math.inf / unit.picosecond, 0.03)
    assert integrator.getFriction() == GHMCIntegrator(300.0, math.inf, 0.03).getFriction()
    squares = frames(integrator, wells(DOUBLE_WELL, 2), 2000, 5)[:, :, :1] ** 2
    assert abs(deviation(squares, truth)) < 4.0


def test_velocities_keep_the_maxwell_boltzmann_distribution() -> None:
    system = wells(f"0.5*{STIFFNESS}*(x^2+y^2+z^2)", 4)
    integrator = GHMCIntegrator(300.0, 5.0, 0.6 * LONG_STEP)
    integrator.setRandomNumberSeed(5)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.zeros((4, 3)))
    energies = []
    for _ in range(2000):
        integrator.step(5)
        energies.append(context.getState(energy=True).getKineticEnergy()._value)
    assert np.mean(energies) == pytest.approx(1.5 * 4 * KT, rel=0.05)


def test_a_step_into_nowhere_is_a_rejection_that_turns_the_velocity_round() -> None:
    """NaN beyond x = 1."""
    system = wells("sqrt(1-x)", 1)
    integrator = GHMCIntegrator(300.0, 0.0, 0.01)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions([[0.99, 0.0, 0.0]])
    context.setVelocities([[10.0, 1.0, 0.0]])
    integrator.step(1)
    state = context.getState(positions=True, velocities=True)
    assert np.array_equal(state.getPositions(asNumpy=True)._value, [[0.99, 0.0, 0.0]])
    assert np.array_equal(state.getVelocities(asNumpy=True)._value, [[-10.0, -1.0, 0.0]])
    assert (integrator.getNumTried(), integrator.getNumAccepted()) == (1, 0)
    assert context.getTime()._value == 0.01


def test_the_step_is_reversible_to_rounding() -> None:
    system = wells(DOUBLE_WELL, 2)
    integrator = GHMCIntegrator(300.0, 0.0, 0.002)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    start = np.array([[0.11, 0.0, 0.02], [-0.03, 0.1, 0.0]])
    context.setPositions(start)
    context.setVelocitiesToTemperature(300.0, 1)
    integrator.step(20)
    assert integrator.getNumAccepted() == 20
    context.setVelocities(-1.0 * context.getState(velocities=True).getVelocities(asNumpy=True))
    integrator.step(20)
    back = context.getState(positions=True).getPositions(asNumpy=True)._value
    assert integrator.getNumAccepted() == 40 and np.abs(back - start).max() < 1e-13


def test_a_carried_energy_is_the_one_that_would_be_evaluated() -> None:
    """Step by step, since the two draw other random numbers for the decision."""
    integrator = GHMCIntegrator(300.0, 5.0, 0.04)
    context = openmm.Context(
        wells(DOUBLE_WELL, 2), integrator, openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(np.full((2, 3), 0.05))
    integrator.step(1)
    for _ in range(60):
        saved, found = context.createCheckpoint(), []
        for carries in (False, True):
            context.loadCheckpoint(saved)
            integrator.setCarriesEnergy(carries)
            assert integrator.getCarriesEnergy() == carries
            integrator.step(1)
            found.append([integrator.getGlobalVariableByName(name) for name in ("before", "after")])
        assert found[0] == found[1]
    assert 5 < integrator.getNumAccepted() < 55


def test_copies_and_checkpoints_keep_settings_and_counts() -> None:
    integrator = GHMCIntegrator(300 * unit.kelvin, 2 / unit.picosecond, 3 * unit.femtoseconds)
    other = copy.copy(integrator)
    assert isinstance(other, GHMCIntegrator) and other.getFriction() == 2 / unit.picosecond
    assert other.getTemperature().value_in_unit(unit.kelvin) == pytest.approx(300)
    assert math.isnan(other.getAcceptanceRate())
    other.setTemperature(310)
    other.setFriction(math.inf)
    assert other.getTemperature().value_in_unit(unit.kelvin) == pytest.approx(310)
    context = openmm.Context(
        wells(DOUBLE_WELL, 2), integrator, openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(np.zeros((2, 3)))
    integrator.step(5)
    saved = context.createCheckpoint()
    integrator.step(5)
    assert integrator.getNumTried() == 10
    context.loadCheckpoint(saved)
    assert integrator.getNumTried() == 5
    integrator.resetCounters()
    assert integrator.getNumTried() == integrator.getNumAccepted() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 0.001), "temperature = 0.0 must be positive"),
        ((300.0, -1.0, 0.001), "frictionCoeff = -1.0 can't be negative"),
        ((300.0, 1.0, math.nan), "stepSize = nan is not finite"),
        ((300.0, 1.0, 1.0 * unit.nanometer), "can't be expressed in picosecond"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GHMCIntegrator(*arguments)


def test_what_breaks_exactness_is_refused_by_name() -> None:
    def system() -> openmm.System:
        made = openmm.System()
        for _ in range(3):
            made.addParticle(1.0)
        return made

    constrained, barostat, drift, virtual = system(), system(), system(), system()
    constrained.addConstraint(0, 1, 0.1)
    barostat.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    drift.addForce(openmm.CMMotionRemover())
    virtual.setParticleMass(2, 0.0)
    virtual.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    refuse_inexact(system())
    for made, word in (
        (constrained, "1 constraints .the first between particles 0 and 1"),
        (barostat, "MonteCarloBarostat"),
        (drift, "CMMotionRemover"),
        (virtual, "particle 2 is one"),
    ):
        with pytest.raises(ConfigError, match=word):
            refuse_inexact(made)
