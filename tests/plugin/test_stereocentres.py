"""Jumps that turn a stereocentre over are rejected and counted; which atoms are stereocentres, C++ and Python agree."""

import numpy as np
import openmm
import pytest
from openmm import app

from openmm_unisim import UniSimIntegrator, load_plugin
from openmm_unisim.simulation.counters import CounterReader
from openmm_unisim.stereo import handedness, stereocentres
from openmm_unisim.system import load_molecule
from tests.plugin.systems import add_wells, jumper, positions_of, random_positions, trajectory
from tests.toy_models import write_toy

MOLECULES = [
    "ACE-ALA-NME",
    "ACE-ITGPV-NME",
    "C[C@H](O)c1ccccc1",
    "C[N+](CC)(CCC)c1ccccc1",
    "CC(C)C",
    "C[S@](=O)CC",
]


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A model whose jumps forget where they began: half of them turn a centre over."""
    return write_toy(tmp_path_factory.mktemp("wild") / "wild.unisim.pt", "ou", a=0.01, s=0.1)


def chiral() -> tuple[app.Topology, openmm.System]:
    """An atom with four different ones around it, and no forces."""
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("CHI", topology.addChain())
    atoms = []
    for symbol in ("C", "H", "N", "O", "S"):
        atoms.append(topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue))
        system.addParticle(2.0)
    for atom in atoms[1:]:
        topology.addBond(atoms[0], atom)
    return topology, system


def hands(frames: np.ndarray) -> np.ndarray:
    return handedness(frames, stereocentres([6, 1, 7, 8, 16], [(0, k) for k in range(1, 5)]))[:, 0]


def graph_of(name: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Atomic numbers and bonds of a capped sequence or a SMILES."""
    if name.startswith("ACE"):
        topology = load_molecule(name).topology
        numbers = [atom.element.atomic_number for atom in topology.atoms()]
        return numbers, [(bond.atom1.index, bond.atom2.index) for bond in topology.bonds()]
    Chem = pytest.importorskip("rdkit.Chem", reason="RDKit (extra 'data') isn't installed")
    molecule = Chem.AddHs(Chem.MolFromSmiles(name))
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return [atom.GetAtomicNum() for atom in molecule.GetAtoms()], bonds


@pytest.mark.parametrize("name", MOLECULES)
def test_the_plugin_finds_the_centres_that_python_finds(name: str) -> None:
    numbers, bonds = graph_of(name)
    expected = stereocentres(numbers, bonds)
    found = np.array(load_plugin()._findStereocenters(numbers, bonds)).reshape(-1, 4)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("mode", [UniSimIntegrator.AcceptAll, UniSimIntegrator.MetropolisHastings])
def test_no_accepted_jump_turns_a_centre_over(wild, platform, mode: int) -> None:
    topology, system = chiral()
    start = random_positions(5)
    simulation, integrator = jumper(wild, topology, system, start, platform, acceptanceMode=mode)
    reader = CounterReader(integrator)
    frames = trajectory(simulation, 40)
    assert integrator.getKeepsStereocenters()
    assert (hands(frames) == hands(start[None])).all()
    turned = integrator.getNumTurned()
    assert 8 < turned < 32 and integrator.getNumAccepted() <= 40 - turned and integrator.getNumNaN() == 0
    assert reader.since_last().turned == turned


def test_they_are_let_pass_if_one_says_so(wild) -> None:
    topology, system = chiral()
    simulation, integrator = jumper(wild, topology, system, random_positions(5))
    integrator.setKeepsStereocenters(False)
    frames = trajectory(simulation, 40)
    assert set(hands(frames)) == {-1.0, 1.0}
    assert integrator.getNumTurned() == 0 and integrator.getNumAccepted() == 40


def test_candidates_that_turn_over_have_no_weight(toys, tmp_path) -> None:
    model = write_toy(tmp_path / "toy.unisim.pt", "ou", a=0.01, s=0.1, metadata={"guidance_alpha": 1.0})
    topology, system = chiral()
    add_wells(system, 1.0, group=3)
    start = random_positions(5)
    simulation, integrator = jumper(model, topology, system, start)
    integrator.setGuidanceSource(UniSimIntegrator.Resampling)
    integrator.setGuidanceForceGroups({3})
    integrator.setNumResampled(3)
    frames = trajectory(simulation, 30)
    assert (hands(frames) == hands(start[None])).all()
    assert 0 < integrator.getNumTurned() < 15  # all three turned over, one in eight
    assert integrator.getNumTurned() + integrator.getNumAccepted() == 30


def test_the_count_and_the_choice_are_kept(wild) -> None:
    topology, system = chiral()
    simulation, integrator = jumper(wild, topology, system, random_positions(5))
    simulation.step(10)
    turned = integrator.getNumTurned()
    assert turned > 0
    checkpoint = simulation.context.createCheckpoint()
    state = simulation.context.getState(positions=True, velocities=True, integratorParameters=True)
    integrator.resetCounters()
    assert integrator.getNumTurned() == 0
    simulation.context.loadCheckpoint(checkpoint)
    assert integrator.getNumTurned() == turned
    integrator.resetCounters()
    simulation.context.setState(state)
    assert integrator.getNumTurned() == turned
    integrator.setKeepsStereocenters(False)
    copied = UniSimIntegrator.cast(
        openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(integrator))
    )
    assert not copied.getKeepsStereocenters()


def test_exact_sampling_of_one_hand(wild) -> None:
    """In wells that know no hand, Metropolis jumps sample the Gaussian of the atoms whatever the hand."""
    topology, system = chiral()
    add_wells(system, 400.0)
    simulation, integrator = jumper(
        wild, topology, system, random_positions(5), acceptanceMode=UniSimIntegrator.MetropolisHastings
    )
    frames = trajectory(simulation, 6000)[500:]
    assert integrator.getNumAccepted() > 300
    assert len(set(hands(frames))) == 1
    variance = (frames**2).mean(axis=(0, 2))
    expected = 0.0083144626 * 300 / 400.0
    assert variance.mean() == pytest.approx(expected, rel=0.12)


def test_positions_of_a_rejected_jump_are_the_old_ones_to_the_bit(wild) -> None:
    topology, system = chiral()
    simulation, integrator = jumper(wild, topology, system, random_positions(5))
    for _ in range(20):
        before, count = positions_of(simulation), integrator.getNumTurned()
        simulation.step(1)
        assert np.array_equal(positions_of(simulation), before) == (integrator.getNumTurned() > count)
