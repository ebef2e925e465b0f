"""Labels by GFN2-xTB in vacuum, through the tblite library.

Source: Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15 (2019) 1652.
"""

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...provenance import package_versions
from ...system import Molecule, create_system
from .source import Labels

__all__ = ["XTBSource", "net_charge"]

BOHR = 0.0529177210903  # nm, CODATA 2018
HARTREE = 2625.4996394799  # kJ/mol, CODATA 2018


def net_charge(molecule: Molecule) -> int:
    """Total charge in the molecule's own force field, elementary charges."""
    import openmm
    from openmm import unit

    system = create_system(molecule, "vacuum")
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            charges = [
                force.getParticleParameters(index)[0].value_in_unit(unit.elementary_charge)
                for index in range(force.getNumParticles())
            ]
            return round(sum(charges))
    raise DataError(f"The System of '{molecule.name}' has no charges; give a force field with charges.")


class XTBSource:
    """Energies and forces by GFN2-xTB.

    Parameters
    ----------
    molecule : Molecule
        Its force field says the total charge.
    """

    name = "gfn2-xtb"

    def __init__(self, molecule: Molecule) -> None:
        try:
            from tblite.interface import Calculator
        except ImportError as error:
            raise DataError("The label source gfn2-xtb needs tblite; run `pip install tblite`.") from error
        charge = net_charge(molecule)
        self.reference = (
            f"GFN2-xTB, vacuum, charge {charge}; J. Chem. Theory Comput. 15 (2019) 1652; "
            f"tblite {package_versions(('tblite',))['tblite']}"
        )
        self._calculator = Calculator(
            "GFN2-xTB", molecule.atomic_numbers, molecule.positions / BOHR, charge=float(charge)
        )
        self._calculator.set("verbosity", 0)

    def __call__(self, positions: NDArray[np.floating]) -> Labels:
        """Label frames (see `LabelSource`); each starts from the same guess, so that order doesn't matter."""
        from tblite.exceptions import TBLiteRuntimeError

        energies = np.full(len(positions), np.nan)
        forces = np.full(positions.shape, np.nan)
        for index, frame in enumerate(positions):
            self._calculator.update(positions=np.asarray(frame, dtype=np.float64) / BOHR)
            try:
                result = self._calculator.singlepoint()
            except TBLiteRuntimeError:  # no self-consistency at this geometry: NaN, counted by the caller
                continue
            energies[index] = result.get("energy") * HARTREE
            forces[index] = -result.get("gradient") * (HARTREE / BOHR)
        return energies, forces
