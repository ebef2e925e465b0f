"""Force means in the integrator: as in the twin, with forces of the integration force groups, or refused by name."""

from pathlib import Path

import numpy as np
import openmm
import pytest

from openmm_unisim import ModelDomainError, UniSimIntegrator
from openmm_unisim.errors import ConfigError
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.exactness import PathMetropolis
from openmm_unisim.simulation.guidance import Resampling
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.simulation.replicas.replica_simulation import ReplicaSimulation
from openmm_unisim.system import SOLVENT_FORCE_GROUP, create_system, load_molecule
from tests.conditioned_models import write_tiny_model
from tests.plugin.systems import PLATFORMS, positions_of, simulate

MOLECULE = load_molecule("ACE-ALA-NME")
EXACT, ALL = UniSimIntegrator.MetropolisHastings, UniSimIntegrator.AcceptAll


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forces in the last two of eight substeps."""
    folder = tmp_path_factory.mktemp("means")
    write_tiny_model(folder)
    path = folder / "means.unisim.pt"
    export_conditioned(folder / "weights.safetensors", path, substeps=8, force_means=0.01)
    return path


class Potential:
    """Forces and energies of some force groups, evaluated by OpenMM."""

    def __init__(self, groups: set[int]) -> None:
        self.context = openmm.Context(
            create_system(MOLECULE, "obc2"),
            openmm.VerletIntegrator(0.001),
            openmm.Platform.getPlatformByName("Reference"),
        )
        self.groups = groups

    def state(self, frame: np.ndarray) -> openmm.State:
        self.context.setPositions(frame)
        return self.context.getState(forces=True, energy=True, groups=self.groups)

    def forces(self, frames: np.ndarray) -> np.ndarray:
        return np.array([self.state(frame).getForces(asNumpy=True)._value for frame in frames])

    def energy(self, frames: np.ndarray) -> np.ndarray:
        return np.array([self.state(frame).getPotentialEnergy()._value for frame in frames])


def jumping(model: Path, mode: int, platform: str = "Reference", system: openmm.System | None = None):
    integrator = UniSimIntegrator(model, MOLECULE.topology, 300, acceptanceMode=mode, randomNumberSeed=5)
    system = create_system(MOLECULE, "obc2") if system is None else system
    return simulate(integrator, MOLECULE.topology, system, MOLECULE.positions, platform), integrator


def twin(model: Path, potential: Potential) -> ReferenceJump:
    return ReferenceJump(
        model, atomic_numbers=MOLECULE.atomic_numbers, bonds=MOLECULE.bonds, temperature=300.0,
        forces=potential.forces,
    )  # fmt: skip


@pytest.mark.parametrize("platform", PLATFORMS)
def test_jumps_are_those_of_the_twin(model, platform) -> None:
    """Any of the force groups that integrate counts, those that guide don't."""
    for groups in ({0, SOLVENT_FORCE_GROUP}, {0}):
        simulation, integrator = jumping(model, ALL, platform)
        integrator.setIntegrationForceGroups(groups)
        integrator.setGuidanceForceGroups({31})
        for frame in JumpChain(twin(model, Potential(groups)), MOLECULE.positions[None], 5).run(2):
            simulation.step(1)
            assert np.abs(positions_of(simulation) - frame.positions[0]).max() < 5e-5
    assert integrator.getNumNaN() == 0 and integrator.getNumClipped() == 0


def test_decisions_are_those_of_the_twin_and_forces_are_asked_for_late_only(model) -> None:
    """A tiny untrained network's paths are never accepted, but their ratio is one number in both."""
    potential = Potential({0, SOLVENT_FORCE_GROUP})
    jump = twin(model, potential)
    simulation, integrator = jumping(model, EXACT)
    chain = JumpChain(jump, MOLECULE.positions[None], 5, acceptance=PathMetropolis(jump, potential.energy))
    for frame in chain.run(2):
        integrator.resetTimings()
        simulation.step(1)
        expected = frame.log_acceptance[0]
        assert integrator.getLastLogAcceptance() == pytest.approx(expected, rel=2e-3, abs=0.05)
        late = sum(0.31587 * np.sqrt(1 - t) < 0.1 for t in integrator.getTimeGrid()[:-1])
        assert late > 0 and integrator.getTimings()["force_evaluations"] - 2 * late in (2, 3)  # and energies


def test_batches_of_proposals_give_the_same_chain(model) -> None:
    ratios = {}
    for number in (1, 3):
        simulation, integrator = jumping(model, EXACT)
        integrator.setProposalBatchSize(number)
        ratios[number] = []
        for _ in range(4):
            simulation.step(1)
            ratios[number].append(integrator.getLastLogAcceptance())
    assert ratios[1] == pytest.approx(ratios[3], rel=2e-3, abs=0.05)


def test_replicas_have_them_too(model) -> None:
    simulation, _ = jumping(model, ALL)
    simulation.step(1)
    integrator = UniSimIntegrator(model, MOLECULE.topology, 300, randomNumberSeed=5)
    replicas = ReplicaSimulation(
        MOLECULE.topology, create_system(MOLECULE, "obc2"), integrator, 2, acceptance="all"
    )
    replicas.setPositions(MOLECULE.positions)
    replicas.step(1)
    assert np.abs(replicas.positions[0] - positions_of(simulation)).max() < 5e-5


def test_what_cannot_be_combined_is_refused_by_name(model) -> None:
    integrator = UniSimIntegrator(model, MOLECULE.topology, 300)
    for source in (UniSimIntegrator.OpenMMGuidance, UniSimIntegrator.OpenMMResidualGuidance):
        with pytest.raises(ModelDomainError, match=r"\(force means\), which can't be combined"):
            integrator.setGuidanceSource(source)
    system = create_system(MOLECULE, "obc2")
    system.addConstraint(0, 1, 0.109)
    with pytest.raises(
        openmm.OpenMMException, match=r"\(force means\), and a constraint \(between 0 and 1\)"
    ):
        jumping(model, ALL, system=system)
    simulation, integrator = jumping(model, ALL)
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    with pytest.raises(openmm.OpenMMException, match="can't be combined with the guidance source resample"):
        simulation.step(1)
    given = {"atomic_numbers": MOLECULE.atomic_numbers, "bonds": MOLECULE.bonds}
    with pytest.raises(ConfigError, match=r"\(force means\); give `forces`"):
        ReferenceJump(model, **given)
    resampling = Resampling(lambda frames: np.zeros(len(frames)))
    with pytest.raises(ModelDomainError, match="can't be combined with the guidance source resample"):
        ReferenceJump(model, **given, guidance_source="resample", resampling=resampling)
