"""The solute: which particles jump, whether they may, and their images in the periodic box.

====================  ===============================================================  ==========
symbol                meaning                                                          name here
====================  ===============================================================  ==========
h                     box vectors as rows, nm                                          box
n_i                   lattice vector (whole numbers) that makes atom i's molecule      images
                      whole, and brings further molecules nearest to the first
x_i + n_i h           what the model sees; x_i is what the Context holds               whole
====================  ===============================================================  ==========
"""

from collections.abc import Iterable

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..data.wholeness import make_whole, walk_bonds
from ..errors import ConfigError, StructureError

__all__ = ["Solute"]


class Solute:
    """Particles of a solvated System that jump: one or more whole molecules without constraints.

    Parameters
    ----------
    topology : openmm.app.Topology
        Of the whole System.
    system : openmm.System
    particles : iterable of int
        Indices of the solute's atoms; the model sees them in rising order.

    Raises
    ------
    ConfigError, StructureError
        If the selection isn't made of whole molecules, or holds constraints, virtual sites or massless particles.

    Attributes
    ----------
    particles : ndarray, shape (n_solute,)
    atomic_numbers : list of int
    bonds : ndarray, shape (n_bonds, 2)
        In the solute's own numbering.
    """

    def __init__(self, topology: app.Topology, system: openmm.System, particles: Iterable[int]):
        if topology.getNumAtoms() != system.getNumParticles():
            raise StructureError(
                f"The topology has {topology.getNumAtoms()} atoms and the System {system.getNumParticles()} particles; "
                "build the System from this topology."
            )
        chosen = [int(particle) for particle in particles]
        self.particles = np.array(sorted(set(chosen)), dtype=np.int64)
        n = system.getNumParticles()
        if not chosen or len(self.particles) != len(chosen) or not 0 <= min(chosen) <= max(chosen) < n:
            raise ConfigError(
                f"particles = {chosen[:5]}... must name atoms of the solute, each once, from 0 to {n - 1}."
            )
        atoms = list(topology.atoms())
        without = [i for i in self.particles if atoms[i].element is None]
        if without:
            raise StructureError(f"Atom {without[0]} of the solute has no element; name it in the topology.")
        self.atomic_numbers = [atoms[i].element.atomic_number for i in self.particles]
        self.bonds = self._own_bonds(topology)
        self._check_system(system)
        self._molecules = _components(self.bonds, len(self.particles))
        self.periodic = bool(system.usesPeriodicBoundaryConditions())

    def _own_bonds(self, topology: app.Topology) -> NDArray[np.int64]:
        place = {int(particle): k for k, particle in enumerate(self.particles)}
        rows = []
        for bond in topology.bonds():
            ends = [bond.atom1.index, bond.atom2.index]
            inside = [end in place for end in ends]
            if inside[0] != inside[1]:
                raise ConfigError(
                    f"The bond of atoms {ends[0]} and {ends[1]} leaves the solute; give whole molecules as particles."
                )
            if all(inside):
                rows.append([place[end] for end in ends])
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def _check_system(self, system: openmm.System) -> None:
        own = set(self.particles.tolist())
        for index in range(system.getNumConstraints()):
            first, second, _ = system.getConstraintParameters(index)
            if first in own or second in own:
                raise ConfigError(
                    f"Atoms {first} and {second} of the solute are constrained, and a jump changes bond lengths; build "
                    "the System with constraints=None (rigidWater=True keeps water rigid)."
                )
        for particle in self.particles.tolist():
            if system.isVirtualSite(particle):
                raise ConfigError(f"Particle {particle} of the solute is a virtual site, which can't jump.")
            if system.getParticleMass(particle).value_in_unit(unit.dalton) <= 0:
                raise ConfigError(f"Particle {particle} of the solute has no mass; MD can't move it.")

    def images(self, positions: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.int64]:
        """Lattice vectors that make the solute whole.

        Parameters
        ----------
        positions : ndarray, shape (n_solute, 3), nm
            As a Context holds them.
        box : ndarray, shape (3, 3), nm

        Returns
        -------
        ndarray, shape (n_solute, 3)
            Whole numbers; zero without a periodic box.
        """
        if not self.periodic:
            return np.zeros(positions.shape, dtype=np.int64)
        inverse = np.linalg.inv(box)
        whole = np.array(positions)
        for k, (atoms, tree) in enumerate(self._molecules):
            whole[atoms] = make_whole(positions[None, atoms], box[None], tree)[0]
            if k > 0:
                apart = whole[atoms].mean(0) - whole[self._molecules[0][0]].mean(0)
                whole[atoms] -= np.rint(apart @ inverse) @ box
        return np.rint((whole - positions) @ inverse).astype(np.int64)

    def topology_of(self, topology: app.Topology) -> app.Topology:
        """The solute's own Topology, atoms in rising order."""
        own = set(self.particles.tolist())
        modeller = app.Modeller(topology, np.zeros((topology.getNumAtoms(), 3)) * unit.nanometer)
        modeller.delete([atom for atom in topology.atoms() if atom.index not in own])
        return modeller.topology


def _components(bonds: NDArray[np.int64], n_atoms: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Molecules as (atoms, spanning tree in the molecule's numbering), in the order of their first atoms."""
    label = list(range(n_atoms))
    for _ in range(n_atoms):
        before = list(label)
        for first, second in bonds:
            label[first] = label[second] = min(label[first], label[second])
        if label == before:
            break
    molecules = []
    for name in sorted(set(label)):
        atoms = np.array([i for i in range(n_atoms) if label[i] == name], dtype=np.int64)
        inside = np.isin(bonds[:, 0], atoms)
        molecules.append((atoms, walk_bonds(np.searchsorted(atoms, bonds[inside]), len(atoms))))
    return molecules
