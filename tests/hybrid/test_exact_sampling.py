"""Known distributions: the exact kernel and Metropolis jumps of a wrong, irreversible model, together."""

import itertools
import math

import numpy as np
import openmm
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.stats import kstwobign, norm

from openmm_unisim import GHMCIntegrator, HybridSimulation
from openmm_unisim.evaluation.estimators.kinetics import statistical_inefficiency
from tests.hybrid.systems import hybrid_of
from tests.plugin.systems import BOLTZMANN, free_atoms, positions_of

KT = BOLTZMANN * 300.0
BARRIER, WIDTH, STIFFNESS = (
    9.0,
    0.12,
    400.0,
)  # kJ/mol; nm, half the way from well to well; kJ/mol/nm^2 across it
TILT = 1.5  # kJ/mol between the wells


def double_well(x: np.ndarray) -> np.ndarray:
    """kJ/mol, of x in nm."""
    return BARRIER * ((x / WIDTH) ** 2 - 1.0) ** 2 + 0.5 * TILT * x / WIDTH


TWO_WELLS = f"{BARRIER}*((x/{WIDTH})^2-1)^2 + 0.5*{TILT}*x/{WIDTH}"
SHARES, CENTRES, BREADTH = (0.7, 0.2, 0.1), (-0.12, 0.0, 0.12), 0.025  # of three states; nm
MIXTURE = "+".join(f"{w}*exp(-(x-{c})^2/{2 * BREADTH**2})" for w, c in zip(SHARES, CENTRES))
THREE_WELLS = f"-{KT}*log({MIXTURE})"


def simulation_of(
    model, md_steps: int, jumps: int, step: float = 0.02, wells: str = TWO_WELLS
) -> HybridSimulation:
    """One atom in wells of unequal depth along x."""
    topology, system = free_atoms(1)
    force = openmm.CustomExternalForce(f"{wells} + 0.5*{STIFFNESS}*(y^2+z^2)")
    force.addParticle(0, [])
    system.addForce(force)
    return hybrid_of(
        model, topology, system, [[-WIDTH, 0.0, 0.0]], afterJump="metropolis", mdSteps=md_steps, numJumps=jumps,
        mdIntegrator=GHMCIntegrator(300.0, 5.0, step),
    )  # fmt: skip


def frames(simulation: HybridSimulation, n: int) -> np.ndarray:
    """Positions of the atom after each of n cycles, shape (n, 3), nm; the first tenth is left out."""
    found = []
    for _ in range(n):
        simulation.step(1)
        found.append(positions_of(simulation)[0])
    return np.array(found[n // 10 :])


def exact_distribution(x: np.ndarray) -> np.ndarray:
    """Cumulative distribution of the double well, by quadrature."""
    grid = np.linspace(-0.4, 0.4, 8001)
    cumulative = cumulative_trapezoid(np.exp(-double_well(grid) / KT), grid, initial=0.0)
    return np.interp(x, grid, cumulative / cumulative[-1])


def p_value(series: np.ndarray, distribution) -> float:
    """Kolmogorov-Smirnov test with the effective number of samples: the slowest indicator's inefficiency counts."""
    levels = distribution(np.asarray(series))
    inefficiency = max(statistical_inefficiency((levels < q).astype(float)) for q in (0.25, 0.5, 0.75))
    ordered, n = np.sort(levels), len(levels)
    distance = max(np.abs(ordered - np.arange(n) / n).max(), np.abs(ordered - np.arange(1, n + 1) / n).max())
    return float(kstwobign.sf(math.sqrt(n / inefficiency) * distance))


@pytest.mark.slow
def test_the_combination_samples_the_right_distribution_with_a_wrong_model(toys) -> None:
    """The model shifts everything to one side and is far too wide; each sixth jump or so is accepted."""
    simulation = simulation_of(toys["shift"], md_steps=5, jumps=1)
    found = frames(simulation, 8000)
    counts = simulation.getCounts()
    assert 0.03 < counts.accepted / counts.jumps < 0.6
    assert 0.3 < simulation.mdIntegrator.getAcceptanceRate() < 0.999
    assert p_value(found[:, 0], exact_distribution) > 1e-3
    across = norm(scale=math.sqrt(KT / STIFFNESS)).cdf
    assert p_value(found[:, 1], across) > 1e-3 and p_value(found[:, 2], across) > 1e-3
    right = (found[:, 0] > 0).astype(float)
    truth = 1.0 - float(exact_distribution(np.array([0.0]))[0])
    error = right.std() / math.sqrt(len(right) / statistical_inefficiency(right))
    assert abs(right.mean() - truth) < 4.0 * error and error < 0.05


@pytest.mark.slow
def test_without_the_acceptance_the_same_model_is_far_off(toys) -> None:
    """So the test above can fail."""
    topology = simulation_of(toys["shift"], 5, 1)
    accepting = hybrid_of(
        toys["shift"], topology.topology, topology.system, [[-WIDTH, 0.0, 0.0]], mdSteps=5, numJumps=1,
        mdIntegrator=GHMCIntegrator(300.0, 5.0, 0.02),
    )  # fmt: skip
    assert p_value(frames(accepting, 3000)[:, 0], exact_distribution) < 1e-6


def test_three_states_keep_their_shares_under_a_wrong_drift(toys) -> None:
    """A mixture of three Gaussians, .7, .2 and .1, and the model that drifts to one side."""
    simulation = simulation_of(toys["shift"], md_steps=5, jumps=1, wells=THREE_WELLS)
    x = frames(simulation, 4000)[:, 0]
    counts = simulation.getCounts()
    assert 0.03 < counts.accepted / counts.jumps < 0.7
    edges = (-math.inf, -0.06, 0.06, math.inf)
    for low, high in itertools.pairwise(edges):
        truth = sum(
            w * (norm.cdf(high, c, BREADTH) - norm.cdf(low, c, BREADTH)) for w, c in zip(SHARES, CENTRES)
        )
        inside = ((x > low) & (x < high)).astype(float)
        error = inside.std() / math.sqrt(len(inside) / statistical_inefficiency(inside))
        assert abs(inside.mean() - truth) < 4.0 * error and error < 0.05


def test_jumps_change_wells_where_the_local_kernel_alone_does_not(toys) -> None:
    local, mixed = simulation_of(toys["ou"], 20, 0, 0.005), simulation_of(toys["shift"], 20, 2, 0.005)
    assert (frames(local, 60)[:, 0] < 0).all()
    assert 0.05 < (frames(mixed, 300)[:, 0] > 0).mean() < 0.95


def test_the_kernel_and_the_jumps_agree_about_the_energy(toys) -> None:
    """<U> of the three-dimensional well by quadrature, in a few seconds and hence to a few per cent."""
    simulation = simulation_of(toys["shift"], 5, 2)
    energies = []
    for _ in range(1200):
        simulation.step(1)
        energies.append(simulation.lastCycle.potential_energy_kj_mol)
    grid = np.linspace(-0.4, 0.4, 8001)
    weights = np.exp(-double_well(grid) / KT)
    truth = float((double_well(grid) * weights).sum() / weights.sum()) + KT
    series = np.array(energies[100:])
    error = series.std() / math.sqrt(len(series) / statistical_inefficiency(series))
    assert abs(series.mean() - truth) < 4.0 * error
