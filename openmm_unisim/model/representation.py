"""Representation model: energy heads whose gradient is a force (UniSim, spec sections 4.5 and 6)."""

from typing import Tuple

import torch
from torch import Generator, Tensor, nn

from ..errors import ConfigError
from .config import PublishedConfig
from .encoder import Encoder
from .graph import NeighbourTable
from .heads import GatedVectorHead

__all__ = ["RepresentationModel"]


class RepresentationModel(nn.Module):
    """Encoder and pretraining heads.

    The energy of an atom is the mean over the channels of a head's scalars, that of a molecule their sum.

    Parameters
    ----------
    config : PublishedConfig
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(self, config: PublishedConfig, generator: Generator | None = None) -> None:
        super().__init__()
        trunk = config.trunk
        self.encoder = Encoder(config, generator)
        self.energy_heads = nn.ModuleList(
            [
                GatedVectorHead(trunk.hidden, trunk.ffn, 1, False, generator)
                for _ in range(config.energy_heads)
            ]
        )

    def atom_energies(
        self, positions: Tensor, z_index: Tensor, interpolant_time: Tensor, table: NeighbourTable, head: int
    ) -> Tensor:
        """Energy of each atom, shape (n_atoms,), in the unit of the head's training labels."""
        scalars, vectors = self.encoder(positions, z_index, interpolant_time, table)
        energies = scalars[:, :0]
        for k, energy_head in enumerate(self.energy_heads):
            if k == head:
                energies = energy_head(scalars, vectors)[0]
        if energies.size(1) == 0:
            raise ConfigError(
                f"Energy head {head} doesn't exist; heads are 0 to {len(self.energy_heads) - 1}."
            )
        return energies.mean(1)

    def forward(
        self,
        positions: Tensor,
        z_index: Tensor,
        interpolant_time: Tensor,
        table: NeighbourTable,
        molecule_index: Tensor,
        n_molecules: int,
        head: int,
        create_graph: bool,
    ) -> Tuple[Tensor, Tensor]:
        """Energies and forces.

        Parameters
        ----------
        positions : Tensor, shape (n_atoms, 3), angstrom
        z_index : Tensor, shape (n_atoms,), int64
        interpolant_time : Tensor, shape (n_atoms,)
        table : NeighbourTable
        molecule_index : Tensor, shape (n_atoms,), int64
        n_molecules : int
        head : int
            Pretraining head, 0 to 3: small molecules, peptides and proteins, denoising, solvated fragments.
        create_graph : bool
            True where a loss on the forces is to be differentiated.

        Returns
        -------
        energy : Tensor, shape (n_molecules,)
        force : Tensor, shape (n_atoms, 3)
            -dE/dx; the published labels are MJ/(mol nm) though x is in angstrom (spec section 1).
        """
        moved = positions if positions.requires_grad else positions.detach().requires_grad_(True)
        atoms = self.atom_energies(moved, z_index, interpolant_time, table, head)
        energy = torch.zeros(n_molecules, dtype=atoms.dtype, device=atoms.device)
        energy = energy.index_add(0, molecule_index, atoms)
        gradient = torch.autograd.grad([atoms.sum()], [moved], create_graph=create_graph, retain_graph=True)[
            0
        ]
        if gradient is None:
            raise RuntimeError("The energy does not depend on the positions.")
        return energy, -gradient
