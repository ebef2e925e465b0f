"""A molecule in a periodic box of rigid TIP3P water, ready for moves of the solute."""

from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ..errors import ConfigError, StructureError
from ..system import FORCE_FIELD, HYDROGEN_MASS, Molecule, create_system, get_platform, repeatable_placement
from .move import ScreenEnergy

__all__ = ["WATER", "Solution", "implicit_screen", "solvate"]

WATER = "amber14/tip3p.xml"
CUTOFF = 0.9  # nm, of direct space
_MARGIN = 0.2  # nm, by which a box must exceed twice the cutoff: a barostat may shrink it


@dataclass(frozen=True)
class Solution:
    """A solvated molecule.

    Attributes
    ----------
    topology : openmm.app.Topology
        The solute's atoms first.
    system : openmm.System
        PME, rigid water, flexible solute with heavy hydrogens.
    positions : ndarray, shape (n_particles, 3), nm
    particles : list of int
        The solute's.
    """

    topology: app.Topology
    system: openmm.System
    positions: NDArray[np.float64]
    particles: list[int]

    @property
    def n_waters(self) -> int:
        """Water molecules."""
        return sum(residue.name == "HOH" for residue in self.topology.residues())


def solvate(
    molecule: Molecule, edge: float, *, cutoff: float = CUTOFF, hydrogen_mass: float = HYDROGEN_MASS
) -> Solution:
    """Put a molecule of the force field ff14SB into a cubic box of TIP3P, neutralised by Na+ or Cl-.

    Parameters
    ----------
    molecule : Molecule
    edge : float
        Of the box, nm.
    cutoff : float, nm
    hydrogen_mass : float
        Da, of the solute's hydrogens.

    Raises
    ------
    ConfigError, StructureError
        If the box is too small, or the molecule comes with parameters of its own.
    """
    if molecule.parmed_structure is not None:
        raise StructureError(
            f"'{molecule.name}' has Amber parameters of its own, and solvate() knows {FORCE_FIELD} only; solvate it "
            "where it was parameterised, and give Topology and System to SwitchingMove."
        )
    extent = float(np.ptp(molecule.positions, axis=0).max())
    least = max(2 * cutoff + _MARGIN, extent + cutoff)
    if not edge >= least:
        raise ConfigError(
            f"A box of {edge} nm is too small for a cutoff of {cutoff} nm and a molecule of {extent:.2f} nm; "
            f"give at least {least:.2f} nm."
        )
    field = app.ForceField(FORCE_FIELD, WATER)
    modeller = app.Modeller(molecule.topology, molecule.positions * unit.nanometer)
    with repeatable_placement():
        modeller.addSolvent(field, model="tip3p", boxSize=openmm.Vec3(edge, edge, edge) * unit.nanometer)
    system = field.createSystem(
        modeller.topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=cutoff * unit.nanometer,
        constraints=None,
        rigidWater=True,
        hydrogenMass=hydrogen_mass * unit.dalton,
    )
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer))
    return Solution(modeller.topology, system, positions, list(range(molecule.topology.getNumAtoms())))


def implicit_screen(molecule: Molecule, environment: str = "obc2") -> ScreenEnergy:
    """Energy of the molecule alone in a named environment, for `SwitchingMove`'s screen: nm to kJ/mol.

    Parameters
    ----------
    molecule : Molecule
    environment : {"obc2", "vacuum"}
        The nearer to the solvent, the fewer solvent moves are spent on jumps that it would refuse.
    """
    system = create_system(molecule, environment)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform("Reference"))

    def energy(positions: NDArray[np.float64]) -> float:
        context.setPositions(positions)
        state = context.getState(energy=True)
        return float(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))

    return energy
