"""Which particles may jump, and how the box is undone."""

import numpy as np
import openmm
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.solvent.solute import Solute
from tests.solvent.toy_solutions import bath_topology, harmonic_bath

BOX = np.array([[1.5, 0.0, 0.0], [0.5, 1.4, 0.0], [-0.3, 0.4, 1.3]])


def test_a_molecule_cut_by_a_triclinic_box_is_made_whole() -> None:
    system = harmonic_bath()
    force = openmm.NonbondedForce()
    for _ in range(6):
        force.addParticle(0, 1, 0)
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    system.addForce(force)
    solute = Solute(bath_topology(4), system, [0, 1])
    whole = np.array([[0.1, 0.2, 0.3], [0.2, 0.25, 0.3]])
    cut = whole + np.array([[0, 0, 0], [2, -1, 1]]) @ BOX
    images = solute.images(cut, BOX)
    np.testing.assert_array_equal(images, [[0, 0, 0], [-2, 1, -1]])
    np.testing.assert_allclose(cut + images @ BOX, whole, atol=1e-12)


def test_without_a_periodic_box_nothing_moves() -> None:
    solute = Solute(bath_topology(4), harmonic_bath(), [0, 1])
    assert not solute.images(np.array([[0.0, 0, 0], [9.0, 0, 0]]), BOX).any()


def test_what_cannot_jump_is_refused_by_name() -> None:
    topology, system = bath_topology(4), harmonic_bath()
    with pytest.raises(ConfigError, match="whole molecules"):
        Solute(topology, system, [0, 2])
    for particles in ([], [0, 0], [0, 1, 99], [-1]):
        with pytest.raises(ConfigError, match="particles"):
            Solute(topology, system, particles)
    system.addConstraint(0, 1, 0.1)
    with pytest.raises(ConfigError, match="constrained"):
        Solute(topology, system, [0, 1])
    massless = harmonic_bath()
    massless.setParticleMass(1, 0.0)
    with pytest.raises(ConfigError, match="no mass"):
        Solute(topology, massless, [0, 1])
    virtual = harmonic_bath()
    virtual.setVirtualSite(1, openmm.TwoParticleAverageSite(2, 3, 0.5, 0.5))
    with pytest.raises(ConfigError, match="virtual site"):
        Solute(topology, virtual, [0, 1])


def test_the_solute_has_a_topology_of_its_own() -> None:
    topology = bath_topology(4)
    alone = Solute(topology, harmonic_bath(), [0, 1]).topology_of(topology)
    assert alone.getNumAtoms() == 2 and alone.getNumBonds() == 1
