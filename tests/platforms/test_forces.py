"""Forces, force groups and potentials of other packages"""

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from openmm_unisim import JumpWarning, UniSimIntegrator
from openmm_unisim.system import load_molecule
from tests.platforms.systems import Setup, dipeptide, jumps, solution
from tests.plugin.systems import add_wells, free_atoms, jumper, positions_of, random_positions, tolerance

METROPOLIS = UniSimIntegrator.MetropolisHastings
GROUP, STIFFNESS, LENGTH = 4, 3000.0, 0.35


def log_acceptance(setup: Setup, system: openmm.System, platform: str, groups: int = -1) -> float:
    """Of the first Metropolis jump."""
    simulation, integrator = jumps(setup, platform, system=system, acceptanceMode=METROPOLIS)
    integrator.setIntegrationForceGroups(groups)
    simulation.step(1)
    assert integrator.getNumNaN() == 0
    return integrator.getLastLogAcceptance()


@pytest.mark.feature("implicit solvent: `GBSAOBCForce` and `CustomGBForce`")
def test_implicit_solvent(platform: str) -> None:
    """The same jump and the same energies, so the same acceptance ratio."""
    setup = dipeptide()
    field = app.ForceField("amber14/protein.ff14SB.xml", "implicit/obc2.xml")
    custom = field.createSystem(setup.topology, hydrogenMass=4 * unit.dalton)
    assert any(isinstance(force, openmm.CustomGBForce) for force in custom.getForces())
    native = log_acceptance(setup, setup.system, platform)
    assert log_acceptance(setup, custom, platform) == pytest.approx(native, abs=0.02)


@pytest.mark.feature("explicit solvent (PME) with Metropolis acceptance")
def test_metropolis_in_water(platform: str) -> None:
    """Atoms that jump into water are rejected, and everything is where it was to the last bit."""
    setup = solution()
    simulation, integrator = jumps(setup, platform, acceptanceMode=METROPOLIS)
    before = positions_of(simulation)
    simulation.step(1)
    assert (integrator.getNumProposed(), integrator.getNumAccepted(), integrator.getNumNaN()) == (1, 0, 0)
    assert np.array_equal(positions_of(simulation), before)
    assert simulation.context.getTime() == integrator.getLagTime()


@pytest.mark.feature("force groups: Metropolis acceptance by `setIntegrationForceGroups`")
def test_integration_force_groups(platform: str) -> None:
    """The wells' group is in or out of the distribution that is sampled."""
    setup = dipeptide()
    system = setup.copy_system()
    add_wells(system, 100.0, group=7)
    without = log_acceptance(setup, setup.system, platform)
    assert log_acceptance(setup, system, platform, ~(1 << 7)) == pytest.approx(without, abs=0.02)
    assert abs(log_acceptance(setup, system, platform) - without) > 0.1


@pytest.mark.feature("force groups: guidance by `setGuidanceForceGroups`")
def test_guidance_force_groups(toys, platform: str) -> None:
    ends = {}
    for groups in ({2}, {2, 5}, {5}):
        topology, system = free_atoms(4)
        add_wells(system, 4000.0, group=2)
        add_wells(system, 4000.0, group=5)
        simulation, integrator = jumper(toys["guided"], topology, system, random_positions(4), platform)
        integrator.setGuidanceForceGroups(groups)
        simulation.step(1)
        ends[frozenset(groups)] = positions_of(simulation)
    assert np.array_equal(ends[frozenset({2})], ends[frozenset({5})])
    assert np.abs(ends[frozenset({2, 5})] - ends[frozenset({2})]).max() > 10 * tolerance(platform)


@pytest.mark.feature("guidance by the force field that the model was trained in", outcome="refused")
def test_guidance_by_the_force_field(toys, platform: str) -> None:
    with pytest.raises(openmm.OpenMMException, match="so it would count twice"):
        jumps(dipeptide("vacuum"), platform, toys["guided"])


class Spring(torch.nn.Module):
    """A potential in torch: a spring between two atoms, kJ/mol from nm."""

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        distance = (positions[0] - positions[1]).norm()
        return 0.5 * STIFFNESS * (distance - LENGTH) ** 2


NETWORK = Spring()


def by_network(state: openmm.State):
    """Energy and forces of `NETWORK`, as `openmm.PythonForce` wants them."""
    positions = torch.tensor(state.getPositions(asNumpy=True)._value, requires_grad=True)
    energy = NETWORK(positions)
    energy.backward()
    return float(energy), -positions.grad.numpy()


def spring(kind: str, pair: tuple[int, int]) -> openmm.Force:
    """That spring as a Force of OpenMM's, or by torch."""
    if kind == "torch":
        force = openmm.PythonForce(by_network)
        force.setParticles(list(pair))
    else:
        force = openmm.CustomBondForce(f"0.5*{STIFFNESS}*(r-{LENGTH})^2")
        force.addBond(*pair)
    force.setForceGroup(GROUP)
    return force


@pytest.mark.feature("`PythonForce` with a torch model, as guide (source `openmm`)")
def test_a_torch_model_guides(toys, platform: str) -> None:
    """The same jump as with the same potential in OpenMM's own Force; and another than without."""
    ends = {}
    for kind in ("torch", "openmm", "none"):
        topology, system = free_atoms(4)
        system.addForce(spring(kind, (0, 3)))
        simulation, integrator = jumper(toys["guided"], topology, system, random_positions(4), platform)
        integrator.setGuidanceSource(UniSimIntegrator.OpenMMGuidance)
        integrator.setGuidanceScale(0.0 if kind == "none" else 1.0)
        integrator.setGuidanceForceGroups({GROUP})
        simulation.step(2)
        ends[kind] = positions_of(simulation)
    assert np.abs(ends["torch"] - ends["openmm"]).max() < tolerance(platform)
    assert np.abs(ends["torch"] - ends["none"]).max() > 0.005


@pytest.mark.feature("`PythonForce` with a torch model, with Metropolis acceptance")
def test_a_torch_model_in_the_energy(platform: str) -> None:
    setup = dipeptide()
    found = []
    for kind in ("torch", "openmm"):
        system = setup.copy_system()
        system.addForce(spring(kind, (8, 16)))
        found.append(log_acceptance(setup, system, platform))
    assert found[0] == pytest.approx(found[1], abs=0.02)


@pytest.mark.feature(
    "restraints and biases (of the kinds above) in free jumps, which don't feel them", outcome="warned"
)
def test_forces_that_free_jumps_dont_feel_are_told_of(platform: str) -> None:
    """Unless a guide covers their groups, or Metropolis acceptance does."""
    setup = dipeptide()
    system = setup.copy_system()
    system.addForce(spring("openmm", (8, 16)))
    wall = openmm.CustomExternalForce("z^2")
    wall.addParticle(3, [])
    wall.setName("wall")
    system.addForce(wall)
    simulation, integrator = jumps(setup, platform, system=system)
    with pytest.warns(JumpWarning, match="Jumps don't feel these Forces: CustomBondForce, wall\\. Guide by"):
        simulation.step(1)
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    integrator.setGuidanceForceGroups({GROUP})
    assert ["these Forces: wall." in notice for notice in integrator.getNotices()] == [True]
    integrator.setGuidanceForceGroups({0, GROUP})
    assert integrator.getNotices() == ()
    integrator.setGuidanceSource(UniSimIntegrator.NoGuidance)
    integrator.setAcceptanceMode(METROPOLIS)
    assert integrator.getNotices() == ()


@pytest.mark.feature(
    "implicit solvent and a model of vacuum, or the reverse, in free jumps", outcome="warned"
)
def test_another_solvent_is_told_of(platform: str) -> None:
    simulation, integrator = jumps(dipeptide("vacuum"), platform)
    with pytest.warns(JumpWarning, match="has no solvent, and the model was trained in OBC2"):
        simulation.step(1)
    for model, number in (("ala2", 0), ("ala2-vacuum", 1), ("ala2-vacuum-to-obc2", 0)):
        _, integrator = jumps(dipeptide("obc2"), platform, model)
        assert len(integrator.getNotices()) == number, model
    assert jumps(dipeptide("vacuum"), platform, acceptanceMode=METROPOLIS)[1].getNotices() == ()


@pytest.mark.feature(
    "restraints and other Forces of one's own: felt by Metropolis or as guide, not by free jumps"
)
def test_forces_of_ones_own(platform: str) -> None:
    """They count in Metropolis acceptance; free jumps do not feel them."""
    setup = dipeptide()
    system = setup.copy_system()
    torsion = openmm.CustomTorsionForce("30*(1-cos(theta+0.7))")
    torsion.addTorsion(6, 8, 10, 16, [])
    system.addForce(torsion)
    plain = log_acceptance(setup, setup.system, platform)
    assert abs(log_acceptance(setup, system, platform) - plain) > 0.05
    ends = []
    for chosen in (setup.system, system):
        simulation, _ = jumps(setup, platform, system=chosen)
        simulation.step(1)
        ends.append(positions_of(simulation))
    assert np.array_equal(*ends)


@pytest.mark.slow
@pytest.mark.feature("AMOEBA (polarizable multipoles)")
def test_amoeba(platform: str) -> None:
    """Jumps of a System that is polarizable."""
    if platform.startswith("OpenCL"):
        pytest.skip("AMOEBA's kernels end the process with a segmentation fault on PoCL 3.1")
    setup = dipeptide()
    system = app.ForceField("amoeba2018.xml").createSystem(setup.topology)
    try:
        simulation, integrator = jumps(setup, platform, system=system, acceptanceMode=METROPOLIS)
    except openmm.OpenMMException as error:
        if "AmoebaMultipole" in str(error) or "required kernel" in str(error):
            pytest.skip(f"OpenMM: {error}")
        raise
    simulation.step(1)
    assert np.isfinite(integrator.getLastLogAcceptance())


def test_the_dipeptide_has_the_atoms_that_are_named_here() -> None:
    names = [(a.residue.name, a.name) for a in load_molecule("ACE-ALA-NME").topology.atoms()]
    assert [names[k] for k in (6, 8, 10, 16)] == [("ALA", "N"), ("ALA", "CA"), ("ALA", "C"), ("NME", "N")]
