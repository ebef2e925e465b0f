"""Small networks and random molecules for the tests of the networks."""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.embedding import ElementIndex
from openmm_unisim.model.graph import NeighbourTable, published_table

SMALL = {"hidden": 16, "heads": 4, "layers": 2, "ffn": 24, "rbf": 8, "expand": 4}


def small_config(**changes: object) -> PublishedConfig:
    """Published form at a size for tests."""
    return PublishedConfig(trunk=TrunkConfig(**{**SMALL, **changes}))


def shake(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Make every parameter non-trivial, biases and norms included; float64."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


class Molecules(NamedTuple):
    """A batch of random molecules; float64, angstrom."""

    positions: Tensor
    atomic_numbers: Tensor
    z_index: Tensor
    molecule_index: Tensor
    time: Tensor

    def table(self, positions: Tensor | None = None, width: int = 0) -> NeighbourTable:
        """Published graph of these or other positions."""
        return published_table(
            self.positions if positions is None else positions, self.molecule_index, self.atomic_numbers == 1,
            torch.zeros_like(self.molecule_index), width=width,
        )  # fmt: skip


def random_molecules(seed: int, sizes: tuple[int, ...] = (13, 9)) -> Molecules:
    """Atoms spread over some 8 angstrom, so that cutoffs matter."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    positions = 2.5 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    numbers = torch.tensor([1, 6, 7, 8, 16])[torch.randint(0, 5, (n,), generator=generator)]
    molecule = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    time = torch.rand(len(sizes), generator=generator, dtype=torch.float64)[molecule]
    return Molecules(positions, numbers, ElementIndex()(numbers), molecule, time)


def random_rotation(seed: int) -> Tensor:
    """A proper rotation matrix, float64."""
    generator = torch.Generator().manual_seed(seed)
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    return matrix * torch.linalg.det(matrix).sign()
