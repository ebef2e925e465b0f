"""What a label source is."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["KJ_PER_KCAL", "LabelSource", "Labels"]

KJ_PER_KCAL = 4.184  # thermochemical calorie
Labels = tuple[NDArray[np.float64], NDArray[np.float64]]


class LabelSource(Protocol):
    """Energies and forces of one molecule by one method.

    Attributes
    ----------
    name : str
        As in files and configurations.
    reference : str
        What to cite, with versions of the programs that compute it.
    """

    name: str
    reference: str

    def __call__(self, positions: NDArray[np.floating]) -> Labels:
        """Label frames.

        Parameters
        ----------
        positions : ndarray, shape (n_frames, n_atoms, 3), nm

        Returns
        -------
        energies : ndarray, shape (n_frames,), kJ/mol
            The method's own zero. NaN, with NaN forces, for a frame at which the method doesn't converge; whoever
            writes labels counts those.
        forces : ndarray, shape (n_frames, n_atoms, 3), kJ/mol/nm
        """
        ...
