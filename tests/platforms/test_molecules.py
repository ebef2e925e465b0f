"""Several molecules, chains and subsets"""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import ConfigError, ModelDomainError, UniSimIntegrator, UnknownElementError
from openmm_unisim.system import create_system, load_molecule
from tests.platforms.systems import (
    Setup,
    bond_lengths,
    check_molecule,
    dipeptide,
    jumps,
    solution,
    two_dipeptides,
)
from tests.plugin.systems import (
    free_atoms,
    jumper,
    make_context,
    make_platform,
    positions_of,
    random_positions,
    tolerance,
)


@pytest.mark.feature("several chains, all jump")
def test_several_chains(platform: str) -> None:
    setup = two_dipeptides()
    assert setup.topology.getNumChains() == 2
    simulation, integrator = jumps(setup, platform)
    simulation.step(1)
    check_molecule(setup, simulation)
    moved = np.abs(positions_of(simulation) - setup.positions).max(axis=1).reshape(2, -1)
    assert (moved.max(axis=1) > 0.01).all() and integrator.getNumAccepted() == 1


@pytest.mark.feature("one of several molecules jumps (`particles`)")
def test_one_of_several(platform: str) -> None:
    """The second one, whose jump is that of a lone molecule at the same place."""
    both = two_dipeptides()
    second = list(range(22, 44))
    simulation, integrator = jumps(both, platform, particles=second)
    before = positions_of(simulation)
    simulation.step(1)
    found = positions_of(simulation)
    assert np.array_equal(found[:22], before[:22]) and integrator.getParticles() == tuple(second)
    lone = dipeptide("vacuum")
    alone, _ = jumps(Setup(lone.topology, lone.system, both.positions[second], lone.solute), platform)
    alone.step(1)
    assert np.abs(found[second] - before[second]).max() > 0.01
    # constraints aside the jump is a function of the molecule's positions and the noise alone
    assert np.abs(positions_of(alone) - found[second]).max() < 10 * tolerance(platform)


@pytest.mark.feature("`particles` in another order than the System's")
def test_another_order(toys, platform: str) -> None:
    """Noise belongs to the place in `particles`."""
    start = random_positions(4)
    order = [2, 0, 3, 1]
    ends = []
    for particles, places in ((None, start), (order, start)):
        topology, system = free_atoms(4)
        given = places if particles is None else places[np.argsort(order)]
        simulation, _ = jumper(toys["ou"], topology, system, given, platform, particles=particles)
        simulation.step(1)
        ends.append(positions_of(simulation))
    assert np.abs(ends[1][order] - ends[0]).max() < tolerance(platform)


@pytest.mark.feature("part of a molecule as `particles`", outcome="refused")
def test_part_of_a_molecule(platform: str) -> None:
    with pytest.raises(ConfigError, match="cuts the bond between atom"):
        jumps(dipeptide(), platform, particles=range(10))


@pytest.mark.feature("water among the atoms that jump", outcome="refused")
def test_water_without_particles(platform: str) -> None:
    setup = solution()
    with pytest.raises(
        ModelDomainError, match="water molecules, and this model was made for molecules without"
    ):
        jumps(
            Setup(setup.topology, setup.system, setup.positions, list(range(len(setup.positions)))), platform
        )


@pytest.mark.feature("an element that the model doesn't know", outcome="refused")
def test_unknown_element(toys, platform: str) -> None:
    topology, system = free_atoms(3, symbol="Na")
    with pytest.raises(UnknownElementError, match="has element Na, which this model does not know"):
        jumper(toys["ou"], topology, system, random_positions(3), platform)


@pytest.mark.feature("a temperature outside the model's range", outcome="refused")
def test_temperature(platform: str) -> None:
    setup = dipeptide()
    simulation, integrator = jumps(setup, platform)
    with pytest.raises(ModelDomainError, match="Temperature 900 K is outside"):
        integrator.setTemperature(900 * unit.kelvin)
    with pytest.raises(ModelDomainError, match="Temperature 900 K is outside"):
        UniSimIntegrator("ala2", setup.topology, 900 * unit.kelvin)
    simulation.step(1)
    check_molecule(setup, simulation)


@pytest.mark.feature("hydrogen mass repartitioning, any masses in free jumps")
def test_masses(platform: str) -> None:
    """Masses concern velocities only: positions after a jump are the same, temperatures right."""
    setup = dipeptide()
    molecule_system = create_system(load_molecule("ACE-ALA-NME"), "obc2", hydrogen_mass=1.008)
    ends = []
    for system in (setup.system, molecule_system):
        simulation, integrator = jumps(setup, platform, system=system)
        simulation.step(1)
        ends.append(positions_of(simulation))
        kelvin = integrator.computeSystemTemperature().value_in_unit(unit.kelvin)
        assert kelvin == pytest.approx(300, abs=5 * 300 * np.sqrt(2 / 63))
    assert np.array_equal(*ends)
    assert bond_lengths(setup.topology, ends[0]).max() < 0.2


@pytest.mark.feature("a Topology and a System of different sizes", outcome="refused")
def test_a_topology_of_another_size(toys, platform: str) -> None:
    _, system = free_atoms(4)
    topology = app.Topology()
    residue = topology.addResidue("A", topology.addChain())
    for _ in range(3):
        topology.addAtom("H", app.Element.getBySymbol("H"), residue)
    integrator = UniSimIntegrator(toys["ou"], topology, 300)
    with pytest.raises(Exception, match="3 atomic numbers are set for 4 jumping particles"):
        make_context(system, integrator, platform)


@pytest.mark.feature("a Topology whose atoms are in another order than the System's", outcome="refused")
@pytest.mark.parametrize("kind", ["flexible", "HBonds", "AllBonds"])
def test_a_topology_in_another_order(platform: str, kind: str) -> None:
    """Its bonds aren't the System's; without bonded Forces nothing could tell."""
    setup = dipeptide("obc2", kind)
    topology = app.Topology()
    residue = topology.addResidue("ALA", topology.addChain())
    atoms = list(setup.topology.atoms())
    turned = {atom: topology.addAtom(atom.name, atom.element, residue) for atom in reversed(atoms)}
    for bond in setup.topology.bonds():
        topology.addBond(turned[bond.atom1], turned[bond.atom2])
    with pytest.raises(
        openmm.OpenMMException, match="neither a constraint nor a bond there; create the System"
    ):
        jumps(Setup(topology, setup.system, setup.positions, setup.solute), platform)


@pytest.mark.feature("a Topology of as many atoms whose bonds aren't the System's", outcome="refused")
def test_the_topology_of_another_molecule(platform: str) -> None:
    """One hydrogen bound to another atom than in the System."""
    setup = dipeptide()
    integrator = UniSimIntegrator("ala2", setup.topology, 300)
    bonds = [list(pair) for pair in integrator.getBonds()]
    bonds[0][1] = 21  # the last hydrogen
    integrator.setBonds(bonds)
    with pytest.raises(openmm.OpenMMException, match=r"between particles \d and 21"):
        openmm.Context(setup.system, integrator, *make_platform(platform))


@pytest.mark.feature("particles, elements or bonds changed after the Context was made", outcome="refused")
def test_particles_set_too_late(toys, platform: str) -> None:
    """`reinitialize` takes them over."""
    topology, system = free_atoms(4)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(4), platform)
    simulation.step(1)
    integrator.setParticles([0, 1])
    integrator.setAtomicNumbers([1, 1])
    with pytest.raises(openmm.OpenMMException, match=r"after the Context was created.*reinitialize"):
        simulation.step(1)
    simulation.context.reinitialize(preserveState=True)
    before = positions_of(simulation)
    simulation.step(1)
    moved = np.abs(positions_of(simulation) - before).max(axis=1)
    assert (moved[:2] > 0).all() and (moved[2:] == 0).all()


@pytest.mark.feature("positions of no molecule: all atoms at one place", outcome="refused")
def test_all_atoms_at_the_origin(platform: str) -> None:
    setup = dipeptide()
    simulation, _ = jumps(Setup(setup.topology, setup.system, 0.0 * setup.positions, setup.solute), platform)
    with pytest.raises(openmm.OpenMMException, match="are bonded and lie at the same place"):
        simulation.step(1)


@pytest.mark.feature("another molecule's Topology with the same bonds", outcome="warned")
def test_a_topology_of_other_elements_is_told_of(platform: str) -> None:
    """Masses tell, whatever was moved to hydrogens; a serine's for a cysteine's System, and the other way round."""
    names = ("ACE-SER-NME", "ACE-CYS-NME")
    molecules = {name: load_molecule(name) for name in names}
    for topology, other in (names, names[::-1]):
        for hydrogen_mass in (1.008, 4.0):
            for name, number in ((topology, 0), (other, 1)):
                system = create_system(molecules[name], "obc2", hydrogen_mass=hydrogen_mass)
                molecule = molecules[topology]
                setup = Setup(
                    molecule.topology, system, molecule.positions, list(range(len(molecule.positions)))
                )
                _, integrator = jumps(setup, platform, "unified")
                found = [notice for notice in integrator.getNotices() if "has a mass" in notice]
                assert len(found) == number, (topology, name, hydrogen_mass)


@pytest.mark.feature("bonds as Forces of other kinds, beside a restraint")
@pytest.mark.parametrize("kind", ["CustomCVForce", "CustomCompoundBondForce"])
def test_bonds_that_other_forces_stand_for(platform: str, kind: str) -> None:
    """Whether the Topology fits can't be known then."""
    setup = dipeptide()
    system = setup.copy_system()
    index = next(
        k for k, force in enumerate(system.getForces()) if isinstance(force, openmm.HarmonicBondForce)
    )
    bonds = openmm.HarmonicBondForce()
    rows = [system.getForce(index).getBondParameters(k) for k in range(system.getForce(index).getNumBonds())]
    for row in rows[1:]:
        bonds.addBond(*row)
    if kind == "CustomCVForce":
        other = openmm.CustomCVForce("e")
        single = openmm.HarmonicBondForce()
        single.addBond(*rows[0])
        other.addCollectiveVariable("e", single)
    else:
        other = openmm.CustomCompoundBondForce(2, "1e5*(distance(p1,p2)-0.15)^2")
        other.addBond([rows[0][0], rows[0][1]], [])
    system.removeForce(index)
    system.addForce(bonds)
    system.addForce(other)
    simulation, integrator = jumps(setup, platform, system=system)
    simulation.step(1)
    assert integrator.getNumAccepted() == 1
