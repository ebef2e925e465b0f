"""Restrained refinement: the restraint acts, where the last jump ended, and never outside a refinement."""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from openmm_unisim.errors import ConfigError, NonFiniteError
from openmm_unisim.simulation.refinement import STRENGTH_PARAMETER, RestrainedRefinement
from openmm_unisim.system import Molecule, create_system, load_molecule
from tests.toy_models import write_toy

NOISE = 0.01  # nm; a rough structure


@pytest.fixture(scope="module")
def molecule() -> Molecule:
    return load_molecule("ACE-ALA-NME")


def context_of(system: openmm.System, positions: np.ndarray) -> openmm.Context:
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    return context


def set_up(molecule: Molecule, **settings) -> tuple[RestrainedRefinement, openmm.Context, np.ndarray]:
    system = create_system(molecule, "vacuum")
    refinement = RestrainedRefinement(molecule.topology, **settings)
    refinement.addToSystem(system)
    context = context_of(system, molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(context)
    rough = positions_of(context) + NOISE * np.random.default_rng(5).normal(size=molecule.positions.shape)
    context.setPositions(rough)
    return refinement, context, rough


def positions_of(context: openmm.Context) -> np.ndarray:
    return np.array(context.getState(positions=True).getPositions(asNumpy=True)._value)


def energy_of(context: openmm.Context) -> float:
    return float(context.getState(energy=True).getPotentialEnergy()._value)


def furthest(first: np.ndarray, second: np.ndarray, atoms: list[int]) -> float:
    return float(np.linalg.norm(first - second, axis=1)[atoms].max())


def test_the_energy_falls_and_restrained_atoms_stay(molecule):
    refinement, context, rough = set_up(molecule)
    before = energy_of(context)
    result = refinement.refine(context)
    assert result.energy_before == pytest.approx(before) and result.energy_after < before - 50.0
    assert result.energy_after == pytest.approx(energy_of(context))  # the restraint adds nothing to it
    moved = furthest(positions_of(context), rough, refinement.particles)
    assert moved == pytest.approx(result.displacement) and 0 < moved < 4 * NOISE
    assert refinement.counts.refined == 1 and refinement.counts.largest_displacement == result.displacement


def test_a_stronger_restraint_holds_closer(molecule):
    moved = []
    for strength in (
        0.0,
        4.184e3,
        4.184e4,
        4.184e6,
    ):  # from the structure as it was built, far from a minimum
        refinement, context, _ = set_up(molecule, strength=strength)
        context.setPositions(molecule.positions)
        moved.append(refinement.refine(context).displacement)
    assert moved == sorted(moved, reverse=True) and moved[0] > 2 * moved[1] and moved[-1] < 1e-3


def test_the_restraint_is_zero_outside_a_refinement(molecule):
    refinement, context, rough = set_up(molecule)
    bare = context_of(create_system(molecule, "vacuum"), rough)
    group = refinement.getForceGroup()
    for _ in range(2):
        assert energy_of(context) == pytest.approx(energy_of(bare), abs=1e-9)
        alone = context.getState(energy=True, forces=True, groups={group})
        assert alone.getPotentialEnergy()._value == 0 and not alone.getForces(asNumpy=True)._value.any()
        assert context.getParameter(STRENGTH_PARAMETER) == 0
        refinement.refine(context)
        context.setPositions(rough)  # away from the reference: what would tell a restraint that still acts


def test_the_reference_is_where_the_last_jump_ended(molecule):
    """The published restraint never acts; one that acts but isn't moved would pull the molecule back."""
    refinement, context, rough = set_up(molecule)
    n_forces = context.getSystem().getNumForces()
    refinement.refine(context)
    for shift in (3.0, -20.0):  # nm
        moved = rough + np.array([shift, 0.0, 0.0])
        context.setPositions(moved)
        assert refinement.refine(context).displacement < 4 * NOISE
        assert positions_of(context)[:, 0].mean() == pytest.approx(moved[:, 0].mean(), abs=4 * NOISE)
    assert context.getSystem().getNumForces() == n_forces  # the published System grows at each step


def test_two_contexts_of_one_system_have_references_of_their_own(molecule):
    refinement, context, rough = set_up(molecule)
    other = context_of(context.getSystem(), rough + 5.0)
    assert refinement.refine(context).displacement < 4 * NOISE
    assert refinement.refine(other).displacement < 4 * NOISE
    assert refinement.counts.refined == 2


def test_a_context_without_the_restraint_is_refused(molecule):
    system = create_system(molecule, "vacuum")
    context = context_of(system, molecule.positions)
    refinement = RestrainedRefinement(molecule.topology)
    with pytest.raises(ConfigError, match="isn't part of a System"):
        refinement.refine(context)
    refinement.addToSystem(system)
    with pytest.raises(ConfigError, match="made before the refinement's restraint"):
        refinement.refine(context)
    with pytest.raises(ConfigError, match="has a refinement restraint already"):
        RestrainedRefinement(molecule.topology).addToSystem(system)


def test_an_integrator_that_leaves_the_restraint_out_is_refused(molecule):
    refinement, context, _ = set_up(molecule)
    context.getIntegrator().setIntegrationForceGroups({0})
    with pytest.raises(ConfigError, match="leaves out force group 31"):
        refinement.refine(context)


@pytest.mark.parametrize("compound", [False, True])
def test_metropolis_refuses_refinement(molecule, tmp_path, compound):
    path = write_toy(tmp_path / "ou.unisim.pt")
    integrator = UniSimIntegrator(
        path, molecule.topology, 300.0, acceptanceMode=UniSimIntegrator.MetropolisHastings
    )
    if compound:
        pair = openmm.CompoundIntegrator()
        pair.addIntegrator(openmm.VerletIntegrator(0.001))
        pair.addIntegrator(integrator)
        integrator = pair
    system = create_system(molecule, "vacuum")
    refinement = RestrainedRefinement(molecule.topology)
    refinement.addToSystem(system)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(molecule.topology, system, integrator, platform)
    simulation.context.setPositions(molecule.positions)
    with pytest.raises(ConfigError, match="exclude each other"):
        refinement.refine(simulation.context)


def test_wrong_settings_are_refused(molecule):
    for settings in ({"strength": -1.0}, {"tolerance": 0.0}, {"maxIterations": -1}):
        with pytest.raises(ConfigError, match="makes no sense"):
            RestrainedRefinement(molecule.topology, **settings)
    with pytest.raises(ConfigError, match="restrain atom 22, but there are 22"):
        RestrainedRefinement(molecule.topology, particles=[22])
    with pytest.raises(ConfigError, match="can't be expressed"):
        RestrainedRefinement(molecule.topology, strength=1.0 * unit.nanometer)


def test_positions_that_are_not_finite_are_refused(molecule):
    refinement, context, rough = set_up(molecule)
    rough[3, 1] = np.nan
    context.setPositions(rough)
    with pytest.raises(NonFiniteError, match="can't be refined"):
        refinement.refine(context)


def test_a_failed_minimisation_leaves_the_jump(molecule, monkeypatch):
    refinement, context, rough = set_up(molecule)

    def fail(context: openmm.Context, *settings: float) -> None:
        context.setPositions(0 * rough)
        raise openmm.OpenMMException("Particle coordinate is NaN")

    monkeypatch.setattr(openmm.LocalEnergyMinimizer, "minimize", fail)
    result = refinement.refine(context)
    np.testing.assert_array_equal(positions_of(context), rough)
    assert result.displacement == 0 and refinement.counts.failed == 1 and refinement.counts.refined == 0
    assert context.getParameter(STRENGTH_PARAMETER) == 0


def test_periodic_systems_are_held_to_the_nearest_image():
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("ATM", topology.addChain())
    topology.addAtom("A", app.Element.getBySymbol("Ar"), residue)
    system.addParticle(40.0)
    nonbonded = openmm.NonbondedForce()
    nonbonded.setNonbondedMethod(nonbonded.CutoffPeriodic)
    nonbonded.setCutoffDistance(0.9)
    nonbonded.addParticle(0.0, 0.3, 0.0)
    system.addForce(nonbonded)
    system.setDefaultPeriodicBoxVectors([2, 0, 0], [0, 2, 0], [0, 0, 2])
    refinement = RestrainedRefinement(topology)
    refinement.addToSystem(system)
    context = context_of(system, [[1.9, 0.1, 7.3]])
    refinement.refine(context)
    np.testing.assert_allclose(positions_of(context), [[1.9, 0.1, 7.3]], atol=1e-6)
    context.setParameter(STRENGTH_PARAMETER, 1000.0)
    context.setPositions([[-0.1, 0.1, 1.3]])  # the same place, seen through the boundary
    assert energy_of(context) == pytest.approx(0.0, abs=1e-6)
