"""Periodic boxes"""

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app

from openmm_unisim import UniSimIntegrator
from tests.platforms.systems import Setup, bond_lengths, jumps, solution
from tests.plugin.systems import free_atoms, jumper, positions_of, random_positions, tolerance

EDGE = 1.5  # nm
TRICLINIC = ((EDGE, 0, 0), (0.4, EDGE, 0), (-0.3, 0.5, EDGE))
BOXES = {"cubic": ((EDGE, 0, 0), (0, EDGE, 0), (0, 0, EDGE)), "triclinic": TRICLINIC}
# Lattice vectors of each atom of two bonded pairs: a cut molecule, a far one, molecules in different images.
IMAGES = {
    "a cut molecule": [[0, 0, 0], [1, 0, -1], [0, 0, 0], [0, -2, 0]],
    "molecules in different images": [[0, 0, 0], [0, 0, 0], [2, -1, 1], [2, -1, 1]],
}


def pairs_in_a_box(kind: str = "cubic") -> tuple[app.Topology, openmm.System, np.ndarray, np.ndarray]:
    """Two bonded pairs; positions whole and near each other; box vectors as rows, nm."""
    topology, system = free_atoms(4)
    atoms = list(topology.atoms())
    topology.addBond(atoms[0], atoms[1])
    topology.addBond(atoms[2], atoms[3])
    box = np.array(BOXES[kind])
    system.setDefaultPeriodicBoxVectors(*box)
    springs = openmm.HarmonicBondForce()
    springs.setUsesPeriodicBoundaryConditions(True)
    springs.addBond(0, 1, 0.1, 100.0)
    springs.addBond(2, 3, 0.1, 100.0)
    system.addForce(springs)
    positions = np.array([[0.1, 0.2, 0.3], [0.2, 0.2, 0.3], [0.1, 0.5, 0.3], [0.1, 0.5, 0.4]])
    return topology, system, positions, box


@pytest.mark.parametrize("box", [pytest.param(k, marks=pytest.mark.feature(f"{k} box")) for k in BOXES])
@pytest.mark.parametrize("images", IMAGES)
def test_a_jump_does_not_depend_on_images(toys, platform: str, box: str, images: str) -> None:
    """The model sees molecules whole and near each other; each atom stays in the image where it was."""
    topology, system, positions, vectors = pairs_in_a_box(box)
    shift = np.array(IMAGES[images]) @ vectors
    ends = []
    for start in (positions, positions + shift):
        simulation, _ = jumper(toys["ou"], topology, system, start, platform)
        simulation.step(2)
        ends.append(positions_of(simulation))
    assert np.abs(ends[0] - positions).max() > 0.01
    assert np.abs(ends[1] - shift - ends[0]).max() < 3 * tolerance(platform)


@pytest.mark.feature("solute across the wall of a box of water")
def test_solute_across_the_wall(platform: str) -> None:
    """Everything moved so that the solute sits on the wall, and its atoms wrapped one by one: the same jump."""
    setup = solution()
    edge = setup.topology.getPeriodicBoxVectors()[0][0]._value
    moved = setup.positions - setup.positions[setup.solute].mean(axis=0)
    moved[setup.solute] %= edge
    assert bond_lengths(setup.topology, moved).max() > 1.0  # it is cut
    ends = []
    for start in (setup.positions, moved):
        simulation, integrator = jumps(Setup(setup.topology, setup.system, start, setup.solute), platform)
        simulation.step(1)
        ends.append(positions_of(simulation)[setup.solute] - start[setup.solute])
        assert integrator.getNumAccepted() == 1
    assert np.abs(ends[0]).max() > 0.01
    # a float32 network adds its own rounding to that of the positions
    assert np.abs(ends[1] - ends[0]).max() < 1e-4


@pytest.mark.feature("wrapped output: `enforcePeriodicBox` of State and reporters")
def test_wrapped_output(toys, platform: str, tmp_path) -> None:
    topology, system, positions, box = pairs_in_a_box()
    topology.setPeriodicBoxVectors(box)
    simulation, _ = jumper(toys["ou"], topology, system, positions + np.array([3 * EDGE, 0, -EDGE]), platform)
    simulation.reporters.append(app.XTCReporter(str(tmp_path / "w.xtc"), 1, enforcePeriodicBox=True))
    simulation.reporters.append(app.XTCReporter(str(tmp_path / "u.xtc"), 1, enforcePeriodicBox=False))
    simulation.step(3)
    state = simulation.context.getState(positions=True, enforcePeriodicBox=True)
    wrapped, whole = state.getPositions(asNumpy=True)._value, positions_of(simulation)
    lattice = (whole - wrapped) / EDGE
    assert np.abs(lattice - np.rint(lattice)).max() < 1e-4 and np.rint(lattice).any()
    assert np.array_equal(np.rint(lattice)[::2], np.rint(lattice)[1::2])  # molecule by molecule
    reference = mdtraj.Topology.from_openmm(topology)
    for name, expected in (("w", wrapped), ("u", whole)):
        frame = mdtraj.load_xtc(str(tmp_path / f"{name}.xtc"), top=reference)[-1]
        assert np.abs(frame.xyz[0] - expected).max() < 1e-3
        assert frame.unitcell_lengths[0] == pytest.approx([EDGE] * 3, abs=1e-4)


@pytest.mark.feature("box vectors changed between jumps")
def test_changed_box(toys, platform: str) -> None:
    """Molecules are made whole by the new box."""
    topology, system, positions, box = pairs_in_a_box()
    ends = []
    for image in (0.0, 1.0):
        simulation, _ = jumper(toys["shift"], topology, system, positions, platform)
        simulation.step(1)
        simulation.context.setPeriodicBoxVectors(*(1.2 * box))
        moved = positions_of(simulation)
        moved[3, 0] += image * 1.2 * EDGE
        simulation.context.setPositions(moved)
        simulation.step(1)
        ends.append(positions_of(simulation) - [[0] * 3, [0] * 3, [0] * 3, [image * 1.2 * EDGE, 0, 0]])
    assert np.abs(ends[0] - positions - 2 * np.array([0.01, -0.02, 0.03])).max() < tolerance(platform)
    assert np.abs(ends[1] - ends[0]).max() < 3 * tolerance(platform)


@pytest.mark.feature("Metropolis acceptance of several molecules in a box")
def test_metropolis_in_a_box(toys, platform: str) -> None:
    """Other images, the same decisions; a molecule that would leave its image is a rejection."""
    topology, system, positions, vectors = pairs_in_a_box()
    found = []
    for shift in (np.zeros((4, 3)), np.array(IMAGES["molecules in different images"]) @ vectors):
        simulation, integrator = jumper(
            toys["ou"], topology, system, positions + shift, platform,
            acceptanceMode=UniSimIntegrator.MetropolisHastings,
        )  # fmt: skip
        simulation.step(1)
        found.append(integrator.getLastLogAcceptance())
    assert np.isfinite(found[0]) and found[1] == pytest.approx(found[0], abs=0.02)
    far = positions + np.array(
        [[0.0] * 3, [0.0] * 3, [0.0, 0.42, 0.0], [0.0, 0.42, 0.0]]
    )  # almost half a box away
    simulation, integrator = jumper(
        toys["leaving"], topology, system, far, platform, acceptanceMode=UniSimIntegrator.MetropolisHastings
    )
    before = positions_of(simulation)
    simulation.step(4)
    assert integrator.getNumAccepted() == 0 and integrator.getLastLogAcceptance() == -np.inf
    assert integrator.getNumNaN() == 0 and np.array_equal(positions_of(simulation), before)


@pytest.mark.feature("a model made for periodic systems, in a System that isn't one", outcome="refused")
def test_periodic_model_without_a_box(toys, platform: str) -> None:
    topology, system = free_atoms(3)
    with pytest.raises(
        openmm.OpenMMException, match="is made for periodic systems, and this System is not one"
    ):
        jumper(toys["periodic"], topology, system, random_positions(3), platform)


@pytest.mark.feature("a model made for periodic systems")
def test_periodic_model(toys, platform: str) -> None:
    topology, system, positions, _ = pairs_in_a_box()
    simulation, integrator = jumper(toys["periodic"], topology, system, positions, platform)
    simulation.step(2)
    assert integrator.getNumAccepted() == 2
