"""Where guidance comes from, in the integrator: against the twin, with its refusals, counts and known laws."""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_unisim import ModelDomainError, UniSimIntegrator
from openmm_unisim.export.change import change_metadata
from openmm_unisim.export.metadata import GUIDANCE_SOURCES
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.guidance import Resampling
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import SOLVENT_FORCE_GROUP, create_system, load_molecule
from tests.conditioned_models import write_tiny_live_model, write_tiny_model
from tests.plugin.systems import (
    PLATFORMS,
    add_wells,
    free_atoms,
    jumper,
    positions_of,
    random_positions,
    simulate,
    trajectory,
)
from tests.toy_models import write_toy

MOLECULE = load_molecule("ACE-ALA-NME")
RESTRAINT_GROUP = 5


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_live_model(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Ornstein-Uhlenbeck toy with a stored strength and no guidance of its own."""
    return write_toy(tmp_path_factory.mktemp("toy") / "ou.unisim.pt", "ou", metadata={"guidance_alpha": 0.5})


def with_restraint(environment: str) -> openmm.System:
    """A System whose psi torsion is pulled toward -40 degrees by a force of its own group."""
    system = create_system(MOLECULE, environment)
    names = [(a.residue.name, a.name) for a in MOLECULE.topology.atoms()]
    chain = [names.index(key) for key in (("ALA", "N"), ("ALA", "CA"), ("ALA", "C"), ("NME", "N"))]
    force = openmm.CustomTorsionForce("20*(1-cos(theta+0.7))")
    force.addTorsion(*chain, [])
    force.setForceGroup(RESTRAINT_GROUP)
    system.addForce(force)
    return system


class Environment:
    """Forces and energies of one force group, evaluated by OpenMM."""

    def __init__(self, system: openmm.System, group: int) -> None:
        self.context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
        )
        self.groups = {group}

    def forces(self, frames: np.ndarray) -> np.ndarray:
        return np.array([self._state(frame).getForces(asNumpy=True)._value for frame in frames])

    def energy(self, frames: np.ndarray) -> np.ndarray:
        return np.array([self._state(frame).getPotentialEnergy()._value for frame in frames])

    def _state(self, frame: np.ndarray) -> openmm.State:
        self.context.setPositions(frame)
        return self.context.getState(forces=True, energy=True, groups=self.groups)


def simulation_of(model: Path, source: str, group: int, system: openmm.System, platform: str = "Reference"):
    integrator = UniSimIntegrator(model, MOLECULE.topology, 300, randomNumberSeed=5)
    integrator.setGuidanceSource(GUIDANCE_SOURCES.index(source))
    integrator.setGuidanceForceGroups({group})
    return simulate(integrator, MOLECULE.topology, system, MOLECULE.positions, platform), integrator


def test_the_enumeration_is_that_of_the_metadata() -> None:
    names = "NoGuidance LearnedGuidance OpenMMGuidance OpenMMResidualGuidance Resampling".split()
    assert [getattr(UniSimIntegrator, name) for name in names] == list(range(len(GUIDANCE_SOURCES)))


CASES = [
    *(("solvent", source, "Reference") for source in GUIDANCE_SOURCES),
    ("restraint", "openmm", "Reference"),
    ("restraint", "resample", "Reference"),
    *(("solvent", source, "CPU") for source in ("openmm", "resample") if "CPU" in PLATFORMS),
]


@pytest.mark.parametrize("kind, source, platform", CASES)
def test_jumps_are_those_of_the_twin(live, kind: str, source: str, platform: str) -> None:
    group = SOLVENT_FORCE_GROUP if kind == "solvent" else RESTRAINT_GROUP
    system = with_restraint("obc2" if kind == "solvent" else "vacuum")
    chosen = 31 if source == "learned" else group
    simulation, integrator = simulation_of(live, source, chosen, system, platform)
    integrator.setNumResampled(3)
    integrator.setGuidanceForceLimit(40.0)
    environment = Environment(system, group)
    resampling = Resampling(environment.energy, 3) if source == "resample" else None
    jump = ReferenceJump(
        live, atomic_numbers=MOLECULE.atomic_numbers, bonds=MOLECULE.bonds, temperature=300.0,
        guidance_source=source, forces=environment.forces, force_limit=40.0, resampling=resampling,
    )  # fmt: skip
    for frame in JumpChain(jump, MOLECULE.positions[None], 5).run(2):
        simulation.step(1)
        assert np.abs(positions_of(simulation) - frame.positions[0]).max() < 2e-5
    assert integrator.getNumClipped() == jump.clipped
    if source.startswith("openmm"):
        assert jump.clipped > 0


def test_the_strength_is_that_of_the_file(live) -> None:
    """The restraint moves the ends of a jump, in proportion to the scale and not at all at 0."""
    ends = {}
    for source, scale in (("none", 1.0), ("openmm", 0.0), ("openmm", 0.5), ("openmm", 1.0)):
        simulation, integrator = simulation_of(live, source, RESTRAINT_GROUP, with_restraint("vacuum"))
        integrator.setNumSubsteps(2)
        integrator.setGuidanceScale(scale)
        simulation.step(1)
        ends[source, scale] = positions_of(simulation)
    assert np.array_equal(ends["none", 1.0], ends["openmm", 0.0])
    assert np.abs(ends["openmm", 1.0] - ends["none", 1.0]).max() > 1e-4
    assert np.abs(ends["openmm", 0.5] - ends["openmm", 1.0]).max() > 1e-5


def test_an_environment_is_counted_once(live, tmp_path) -> None:
    solvated = write_tiny_model(tmp_path)  # trained in obc2
    change_metadata(solvated, solvated, {"guidance_alpha": 0.9})
    field = "trained in the force field, and its .* would count twice"
    for model, source, group, words in (
        (live, "openmm", 0, field),
        (live, "resample", 0, field),
        (live, "openmm", 17, "No Force of the System is in the force groups"),
        (live, "learned", SOLVENT_FORCE_GROUP, "kernel to the environment obc2, whose own"),
        (live, "openmm+residual", RESTRAINT_GROUP, "needs both to be of one environment"),
        (
            solvated,
            "resample",
            SOLVENT_FORCE_GROUP,
            "trained in the environment obc2, and an implicit solvent",
        ),
    ):
        with pytest.raises(openmm.OpenMMException, match=words):
            simulation_of(model, source, group, with_restraint("obc2"))
    for kind in (openmm.HarmonicAngleForce, openmm.PeriodicTorsionForce):  # the molecule's own
        system = with_restraint("obc2")
        next(force for force in system.getForces() if isinstance(force, kind)).setForceGroup(9)
        with pytest.raises(openmm.OpenMMException, match=field):
            simulation_of(live, "openmm", 9, system)
    simulation, integrator = simulation_of(live, "openmm", SOLVENT_FORCE_GROUP, with_restraint("obc2"))
    integrator.setGuidanceForceGroups({0, 1})  # looked at again in each step
    with pytest.raises(openmm.OpenMMException, match=field):
        simulation.step(1)


def test_sources_that_cannot_serve_are_named(toys, live, calibrated) -> None:
    topology, system = free_atoms(3)
    add_wells(system, 100.0, group=2)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3))
    with pytest.raises(ModelDomainError, match="doesn't serve the guidance source openmm"):
        integrator.setGuidanceSource(UniSimIntegrator.OpenMMGuidance)
    with pytest.raises((ModelDomainError, openmm.OpenMMException), match="no guidance source 9"):
        integrator.setGuidanceSource(9)
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    assert integrator.getGuidanceScale() == 1.0
    with pytest.raises(openmm.OpenMMException, match=r"no calibrated strength.*calibrate-guidance"):
        simulation.step(1)
    simulation, integrator = jumper(calibrated, topology, system, random_positions(3))
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    integrator.setAcceptanceMode(UniSimIntegrator.MetropolisHastings)
    with pytest.raises(openmm.OpenMMException, match="can't be combined with MetropolisHastings"):
        simulation.step(1)
    for name, value, words in (
        ("NumResampled", 0, "can't be chosen among 0"),
        ("GuidanceForceLimit", -1.0, "can't be negative"),
    ):
        with pytest.raises(openmm.OpenMMException, match=words):
            getattr(integrator, f"set{name}")(value)


def test_clipping_is_off_unless_asked_for_and_survives_a_checkpoint(toys) -> None:
    topology, system = free_atoms(4)
    add_wells(system, 4000.0)
    simulation, integrator = jumper(toys["guided"], topology, system, random_positions(4), seed=11)
    simulation.step(2)
    assert integrator.getGuidanceForceLimit() == 0 * unit.kilojoule_per_mole / unit.nanometer
    assert integrator.getNumClipped() == 0
    integrator.setGuidanceForceLimit(10 * unit.kilocalorie_per_mole / unit.angstrom)
    simulation.step(2)
    clipped = integrator.getNumClipped()
    assert clipped > 0
    checkpoint = simulation.context.createCheckpoint()
    integrator.resetCounters()
    assert integrator.getNumClipped() == 0
    simulation.context.loadCheckpoint(checkpoint)
    assert integrator.getNumClipped() == clipped
    own = b"UniSimC4" + integrator.getModelHash().encode()
    earlier = checkpoint.replace(own, b"UniSimC1")[: -8 - 16 - 8 * 62]  # from before this count
    simulation.context.loadCheckpoint(earlier)
    assert integrator.getNumClipped() == 0 and integrator.getNumProposed() == 4


def test_one_candidate_is_the_jump_itself_and_candidates_that_are_not_finite_have_no_weight(
    toys, calibrated, tmp_path
) -> None:
    start = random_positions(4)
    frames = {}
    for number in (0, 1):
        topology, system = free_atoms(4)
        add_wells(system, 500.0, group=3)
        simulation, integrator = jumper(calibrated, topology, system, start, seed=3)
        if number:
            integrator.setGuidanceSource(UniSimIntegrator.Resampling)
            integrator.setGuidanceForceGroups({3})
            integrator.setNumResampled(number)
        frames[number] = trajectory(simulation, 4)
    assert np.array_equal(frames[0], frames[1])
    topology, system = free_atoms(4)
    add_wells(system, 500.0, group=3)
    often = write_toy(tmp_path / "nan.unisim.pt", "nan", k=3, metadata={"guidance_alpha": 0.5})
    simulation, integrator = jumper(often, topology, system, start, seed=3)
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    simulation.step(30)
    # a third of the candidates is NaN: all eight rarely are
    assert integrator.getNumNaN() <= 1 and integrator.getNumAccepted() >= 29


@pytest.mark.parametrize("number, tolerance", [(1, 0.2), (64, 0.04)])
def test_many_candidates_give_the_tilted_gaussian(calibrated, number: int, tolerance: float) -> None:
    """x_1 ~ N(a x_0, s^2) tilted by exp(-alpha k x^2 / 2 kT): variance s^2/(1 + alpha k s^2/kT) and mean along."""
    atoms, k, a, s, kT = 2, 4000.0, 0.7, 0.02, 0.0083144626 * 300
    topology, system = free_atoms(atoms)
    force = (
        openmm.HarmonicBondForce()
    )  # the toy is translation invariant, so the energy is one of the distance
    force.addBond(0, 1, 0.0, k / 2)
    force.setForceGroup(4)
    system.addForce(force)
    start = np.array([[0.02, 0.0, 0.0], [-0.02, 0.0, 0.0]])
    simulation, integrator = jumper(calibrated, topology, system, start, seed=9)
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    integrator.setGuidanceForceGroups({4})
    integrator.setNumResampled(number)
    found = []
    for _ in range(300):
        simulation.context.setPositions(start)
        simulation.step(1)
        frame = positions_of(simulation)
        found.append(frame[0] - frame[1])
    difference = np.array(found)  # d ~ N(2 a x_0, 2 s^2), W = k/4 d^2
    strength = 0.5 * (k / 2) * 2 * s**2 / kT
    expected_mean, expected_variance = 0.04 * a / (1 + strength), 2 * s**2 / (1 + strength)
    if number == 1:
        expected_mean, expected_variance = 0.04 * a, 2 * s**2
    error = np.sqrt(expected_variance / len(found))
    assert abs(difference[:, 0].mean() - expected_mean) < 4 * error
    assert difference[:, 1:].var() / expected_variance == pytest.approx(1.0, abs=0.2)
