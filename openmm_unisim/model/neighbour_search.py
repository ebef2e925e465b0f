"""The published graph of the current positions, as a module: its form for inference calls the plugin's operator."""

import torch
from torch import Tensor, nn

from ..elements import VOCABULARY
from .config import GraphConfig
from .graph import NeighbourTable, published_table

__all__ = ["NeighbourSearch"]


class NeighbourSearch(nn.Module):
    """`published_table` of molecules of one monomer each (UniSim, spec section 3).

    Parameters
    ----------
    config : GraphConfig
    """

    def __init__(self, config: GraphConfig) -> None:
        super().__init__()
        self.cutoff = config.cutoff
        self.hydrogen_cutoff = config.hydrogen_cutoff
        self.hydrogen = VOCABULARY.index("H")

    def forward(self, positions: Tensor, molecule_index: Tensor, z_index: Tensor) -> NeighbourTable:
        """Find the neighbours.

        Parameters
        ----------
        positions : Tensor, shape (n_atoms, 3), angstrom
        molecule_index : Tensor, shape (n_atoms,), int64
        z_index : Tensor, shape (n_atoms,), int64
            Vocabulary indices.

        Returns
        -------
        NeighbourTable
        """
        monomer = torch.zeros_like(molecule_index)
        is_hydrogen = z_index == self.hydrogen
        return published_table(
            positions, molecule_index, is_hydrogen, monomer, self.cutoff, self.hydrogen_cutoff
        )
