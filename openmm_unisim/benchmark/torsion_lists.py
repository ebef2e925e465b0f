"""Torsions of sampled frames as plain lists, which travel as JSON."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..system import Molecule

__all__ = ["torsion_lists"]


def torsion_lists(frames: list[NDArray[np.float32]], molecule: Molecule) -> list[dict[str, Any]]:
    """Label, phi and psi (degrees, rounded to hundredths) of every residue that has both.

    Parameters
    ----------
    frames : list of ndarray, shape (n_atoms, 3), nm
    molecule : Molecule
    """
    import mdtraj  # analysis, not simulation: imported after every clock has stopped

    from ..evaluation.estimators.features import backbone_torsions

    residues = backbone_torsions(np.array(frames), mdtraj.Topology.from_openmm(molecule.topology))
    return [
        {"label": r.label, "phi": np.round(r.phi, 2).tolist(), "psi": np.round(r.psi, 2).tolist()}
        for r in residues
    ]
