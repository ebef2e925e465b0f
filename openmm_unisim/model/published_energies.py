"""The published representation model as pretraining calls it: energies of copies of one molecule, heads by name."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ..elements import VOCABULARY
from ..errors import ConfigError
from .config import PublishedConfig
from .graph import published_table
from .representation import RepresentationModel

__all__ = ["PublishedEnergies"]


class PublishedEnergies(RepresentationModel):
    """A `RepresentationModel`, under its parameter names.

    Parameters
    ----------
    config : PublishedConfig
    sources : sequence of str
        Names of the heads, in the order of the published numbers (spec section 6: small molecules, peptides, denoising,
        solvated fragments).
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(
        self, config: PublishedConfig, sources: Sequence[str], generator: Generator | None = None
    ) -> None:
        super().__init__(config, generator)
        if len(sources) > config.energy_heads:
            raise ConfigError(
                f"{len(sources)} heads are named and energy_heads = {config.energy_heads}; name fewer, or raise it."
            )
        self.graph = config.graph
        self.numbers = {name: k for k, name in enumerate(sources)}

    def energies(
        self, positions: Tensor, t: Tensor, z_index: Tensor, adjacency: Tensor, distance: Tensor, head: str
    ) -> Tensor:
        """`EnergyField.energies`; the bond graph isn't read."""
        copies, atoms = positions.size(0), positions.size(1)
        flat, elements = positions.reshape(-1, 3), z_index.repeat(copies)
        molecule = torch.arange(copies, device=positions.device).repeat_interleave(atoms)
        graph = self.graph
        table = published_table(
            flat, molecule, elements == VOCABULARY.index("H"), torch.zeros_like(molecule), graph.cutoff,
            graph.hydrogen_cutoff, graph.neighbours,
        )  # fmt: skip
        atomic = self.atom_energies(flat, elements, t.repeat_interleave(atoms), table, self.numbers[head])
        return atomic.view(copies, atoms).sum(1)
