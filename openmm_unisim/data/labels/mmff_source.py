"""Labels by MMFF94 in vacuum, through RDKit.

Source: Halgren, J. Comput. Chem. 17 (1996) 490.
"""

import numpy as np
from numpy.typing import NDArray

from ...errors import StructureError
from ...provenance import package_versions
from ...system import Molecule
from ...units import ANGSTROM_PER_NM
from ..bond_orders import with_bond_orders
from .source import KJ_PER_KCAL, Labels

__all__ = ["MMFFSource"]

_NO_CUTOFF = 1e6  # angstrom; RDKit's default is 100


class MMFFSource:
    """Energies and forces by MMFF94.

    Parameters
    ----------
    molecule : Molecule
        A capped peptide or a listed small molecule: MMFF94 needs bond orders (`bond_orders.with_bond_orders`).
    """

    name = "mmff94"

    def __init__(self, molecule: Molecule) -> None:
        ordered = with_bond_orders(molecule)
        from rdkit import Chem
        from rdkit.Chem import rdForceFieldHelpers

        self.reference = (
            f"MMFF94, vacuum, no cutoff; J. Comput. Chem. 17 (1996) 490; "
            f"RDKit {package_versions(('rdkit',))['rdkit']}"
        )
        ordered.AddConformer(Chem.Conformer(ordered.GetNumAtoms()), assignId=True)
        for index, position in enumerate(molecule.positions * ANGSTROM_PER_NM):
            ordered.GetConformer().SetAtomPosition(index, position.tolist())
        parameters = rdForceFieldHelpers.MMFFGetMoleculeProperties(ordered, mmffVariant="MMFF94")
        if parameters is None:
            raise StructureError(f"MMFF94 has no atom types for '{molecule.name}'; leave this source out.")
        self._molecule = ordered  # the force field points into it
        self._force_field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
            ordered, parameters, nonBondedThresh=_NO_CUTOFF
        )

    def __call__(self, positions: NDArray[np.floating]) -> Labels:
        """Label frames (see `LabelSource`)."""
        energies = np.empty(len(positions))
        forces = np.empty(positions.shape)
        for index, frame in enumerate(positions):
            flat = (np.asarray(frame, dtype=np.float64) * ANGSTROM_PER_NM).ravel().tolist()
            energies[index] = self._force_field.CalcEnergy(flat) * KJ_PER_KCAL
            gradient = np.reshape(self._force_field.CalcGrad(flat), frame.shape)
            forces[index] = -gradient * (KJ_PER_KCAL * ANGSTROM_PER_NM)
        return energies, forces
