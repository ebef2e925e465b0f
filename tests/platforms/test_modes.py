"""Modes: sources of guidance, protocols, copies, solvent, refinement"""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import (
    GHMCIntegrator,
    HybridSimulation,
    ReplicaSimulation,
    RestrainedRefinement,
    UniSimIntegrator,
)
from openmm_unisim.export.metadata import GUIDANCE_SOURCES
from openmm_unisim.hybrid.after_jump import Relaxation
from openmm_unisim.hybrid.seeds import SeedWriter
from openmm_unisim.solvent.move import SwitchingMove
from openmm_unisim.solvent.protocol import SwitchingProtocol
from openmm_unisim.system import SOLVENT_FORCE_GROUP
from tests.conditioned_models import write_tiny_live_model
from tests.platforms.systems import MODEL, check_molecule, dipeptide, jumps, solution
from tests.plugin.systems import can_minimize, make_platform, positions_of, tolerance

SINGLE = 1e-4  # nm; how far forces in single precision may lead a jump elsewhere
METROPOLIS = UniSimIntegrator.MetropolisHastings


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights "of vacuum" that every source of guidance serves."""
    return write_tiny_live_model(tmp_path_factory.mktemp("live"))


def guided(live: Path, source: str, platform: str) -> np.ndarray:
    """Positions after a jump that the forces or energies of OBC2 guide, nm."""
    setup = dipeptide()
    integrator = UniSimIntegrator(live, setup.topology, 300 * unit.kelvin, randomNumberSeed=7)
    integrator.setGuidanceSource(GUIDANCE_SOURCES.index(source))
    if source != "learned":  # a kernel to the solvent beside the solvent's forces is refused
        integrator.setGuidanceForceGroups({SOLVENT_FORCE_GROUP})
    integrator.setNumResampled(3)
    integrator.setKeepsStereocenters(False)  # the network is untrained
    simulation = app.Simulation(setup.topology, setup.system, integrator, *make_platform(platform))
    simulation.context.setPositions(setup.positions)
    simulation.step(1)
    assert (integrator.getNumAccepted(), integrator.getNumNaN()) == (1, 0)
    return positions_of(simulation)


@pytest.mark.parametrize(
    "source",
    [pytest.param(name, marks=pytest.mark.feature(f"guidance, `{name}`")) for name in GUIDANCE_SOURCES],
)
def test_guidance(live: Path, platform: str, source: str) -> None:
    """The jump is Reference's, up to the precision of the guiding forces, which is single on CPU, too."""
    found = guided(live, source, platform)
    change = np.abs(found - guided(live, source, "Reference")).max()
    assert change < (1e-6 if source in ("none", "learned") and platform == "CPU" else SINGLE)
    if source in ("openmm", "openmm+residual"):
        assert np.abs(found - guided(live, "none", "Reference")).max() > 5 * SINGLE


@pytest.mark.feature("exact sampling: `MetropolisHastings` in batches of proposals")
def test_metropolis_in_batches(platform: str) -> None:
    simulation, integrator = jumps(dipeptide(), platform, acceptanceMode=METROPOLIS)
    integrator.setProposalBatchSize(2)
    simulation.step(3)
    found = integrator.getAcceptanceStatistics()
    assert found["judged"] == 3 and 0.0 < found["mean_acceptance"] <= 1.0 and integrator.getNumNaN() == 0
    check_energy(simulation)


def check_energy(simulation: app.Simulation) -> None:
    """As of a molecule that is whole: within 300 kJ/mol of the start's."""
    start = dipeptide().positions
    now = simulation.context.getState(energy=True).getPotentialEnergy()
    held = simulation.context.getState(positions=True).getPositions()
    simulation.context.setPositions(start)
    before = simulation.context.getState(energy=True).getPotentialEnergy()
    simulation.context.setPositions(held)
    assert abs((now - before).value_in_unit(unit.kilojoule_per_mole)) < 300.0


def hybrid(platform: str, **settings: object) -> HybridSimulation:
    """Flexible alanine dipeptide in OBC2, thermalised, with velocities."""
    setup, (chosen, properties) = dipeptide(), make_platform(platform)
    simulation = HybridSimulation(
        setup.topology, setup.system, UniSimIntegrator(MODEL, setup.topology, 300), randomNumberSeed=5,
        platform=chosen, platformProperties=properties, **settings,
    )  # fmt: skip
    simulation.context.setPositions(setup.positions)
    simulation.drawVelocities()
    return simulation


@pytest.mark.feature("protocol *explore*: MD, jump, relaxation, check")
def test_explore(platform: str) -> None:
    simulation = hybrid(platform, afterJump="relax", mdSteps=20, relaxation=Relaxation(mdSteps=20))
    simulation.step(2)
    assert simulation.getCounts().jumps == 2 and not simulation.isExact()
    check_molecule(dipeptide(), simulation)


@pytest.mark.feature("protocol *sample*: GHMC and Metropolis jumps")
def test_sample(platform: str) -> None:
    exact = GHMCIntegrator(300 * unit.kelvin, 1 / unit.picosecond, 1 * unit.femtosecond)
    simulation = hybrid(platform, afterJump="metropolis", mdSteps=40, mdIntegrator=exact)
    simulation.step(2)
    assert simulation.isExact() and simulation.getCounts().jumps == 2
    assert simulation.mdIntegrator.getAcceptanceRate() > 0.7
    check_energy(simulation)


@pytest.mark.feature("protocol *seed*: start points")
def test_seed(platform: str, tmp_path: Path) -> None:
    """A written State is one that OpenMM starts MD from, on Reference here."""
    simulation = hybrid(platform, afterJump="relax", mdSteps=20, relaxation=Relaxation(mdSteps=20))
    writer = SeedWriter(tmp_path, simulation, 1)
    writer.prepare()
    simulation.step(1)
    writer.after_cycle(1)
    assert writer.finish(1)["number"] == 1
    (state,) = tmp_path.glob("0*/state.xml")
    system = openmm.XmlSerializer.deserialize((tmp_path / "system.xml").read_text(encoding="utf-8"))
    integrator = openmm.XmlSerializer.deserialize((tmp_path / "integrator.xml").read_text(encoding="utf-8"))
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setState(openmm.XmlSerializer.deserialize(state.read_text(encoding="utf-8")))
    integrator.step(5)
    assert np.isfinite(context.getState(positions=True).getPositions(asNumpy=True)._value).all()


@pytest.mark.feature("many copies at once: `ReplicaSimulation`")
def test_copies(platform: str) -> None:
    """Copy 0 is the run of an integrator."""
    setup, (chosen, properties) = dipeptide(), make_platform(platform)
    simulation = ReplicaSimulation(
        setup.topology, setup.system, MODEL, 3, chosen, platformProperties=properties, randomNumberSeed=7
    )
    simulation.setPositions(np.stack([setup.positions] * 3))
    simulation.step(2)
    alone, _ = jumps(setup, platform, seed=7)
    alone.step(2)
    assert np.abs(simulation.positions[0] - positions_of(alone)).max() < 1e-4
    assert np.abs(simulation.positions[1] - simulation.positions[0]).max() > 0.005


@pytest.mark.feature("explicit solvent: a jump with the solvent switched around it")
def test_solvent_move(platform: str) -> None:
    """A move leaves the solute whole, taken or not."""
    setup, (chosen, properties) = solution(), make_platform(platform)
    move = SwitchingMove(
        MODEL, setup.topology, setup.system, setup.solute, 300 * unit.kelvin, randomNumberSeed=3,
        protocol=SwitchingProtocol("straight", 0.01, 0.002),
    )  # fmt: skip
    context = openmm.Context(setup.system, openmm.LangevinMiddleIntegrator(300, 1, 0.002), chosen, properties)
    context.setPositions(setup.positions)
    context.setVelocitiesToTemperature(300, 1)
    record = move.move(context)
    assert record.switched == 1 and record.nan == 0 and np.isfinite(record.log_acceptance)
    found = context.getState(positions=True).getPositions(asNumpy=True)._value
    assert np.isfinite(found).all()
    if not record.accepted:
        assert np.abs(found - setup.positions).max() < tolerance(platform)


@pytest.mark.feature("refinement after a jump")
def test_refinement(platform: str) -> None:
    if not can_minimize(platform):
        pytest.skip("OpenMM's minimiser crashes on PoCL, with any integrator.")
    setup = dipeptide()
    system, refinement = setup.copy_system(), RestrainedRefinement(setup.topology)
    refinement.addToSystem(system)
    simulation, _ = jumps(setup, platform, system=system)
    simulation.step(1)
    found = refinement.refine(simulation.context)
    assert found.energy_after < found.energy_before and refinement.counts.failed == 0
    check_molecule(setup, simulation)
