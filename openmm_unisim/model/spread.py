"""Variance head: how far x_1 still spreads about its predicted mean, quantity by quantity.

=========  ======================================================  ===============
symbol     meaning                                                 variable
=========  ======================================================  ===============
v_g(t)     prior variance of a distance or a height                restrained
v_i(t)     prior variance of an atom beyond the restraints         rest
=========  ======================================================  ===============

Each is a small network of the atoms' places in the bond graph and of the interpolant time, so that it carries over to
other molecules. It is fitted by maximum likelihood after the field (training.calibration).
Source: ours, docs/theory.md.
"""

import math
from typing import Tuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ..interpolant.covariance import Restraints
from .bond_graph import FAR
from .initialise import start_linear

TYPICAL_SPREAD = (1.0, 0.05, 0.1, 0.4, 1.0)  # angstrom, by bonds apart
HEIGHT_SPREAD, REST_SPREAD = 0.1, 0.5
LIMIT = 3.0  # of the network's part of log v, either way


class SpreadHead(nn.Module):
    """Prior variances of a molecule's restrained quantities.

    Parameters
    ----------
    place_width, time_width : int
        Channels of a place and of the time features.
    width : int
        Hidden channels.
    generator : torch.Generator, optional
    """

    typical: Tensor

    def __init__(
        self, place_width: int, time_width: int, width: int = 32, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.kinds = FAR + 1
        self.limit = LIMIT
        self.height_base = 2 * math.log(HEIGHT_SPREAD)
        self.rest_base = 2 * math.log(REST_SPREAD)
        self.pair_first = nn.Linear(2 * place_width + self.kinds + time_width + 1, width)
        self.pair_second = nn.Linear(width, 1)
        self.atom_first = nn.Linear(place_width + time_width, width)
        self.atom_second = nn.Linear(width, 2)
        self.register_buffer("typical", 2 * torch.tensor(TYPICAL_SPREAD).log(), persistent=False)
        for linear in (self.pair_first, self.pair_second, self.atom_first, self.atom_second):
            start_linear(linear, generator)

    def bounded(self, x: Tensor) -> Tensor:
        """The network's part of log v, kept within the limit."""
        return self.limit * torch.tanh(x / self.limit)

    def forward(
        self, place: Tensor, times: Tensor, restrained: Restraints, shortfall: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Variances of copies of one molecule.

        Parameters
        ----------
        place : Tensor, shape (n_atoms, place_width)
        times : Tensor, shape (n_copies, time_width)
        restrained : Restraints
        shortfall : Tensor, shape (n_copies, n_pairs), angstrom
            From `interpolant.covariance.collapse`; its square is added to the variance, and the network sees it.

        Returns
        -------
        restrained : Tensor, shape (n_copies, n_pairs + n_centres), double, angstrom^2
        rest : Tensor, shape (n_copies, n_atoms), double, angstrom^2
        """
        copies = times.size(0)
        first, second = place[restrained.pairs[:, 0]], place[restrained.pairs[:, 1]]
        kind = functional.one_hot(restrained.bonds_apart, self.kinds).to(place.dtype)
        fixed = torch.cat([first + second, first * second, kind], 1)
        pair = torch.cat(
            [
                fixed.unsqueeze(0).expand(copies, -1, -1),
                times.unsqueeze(1).expand(-1, fixed.size(0), -1),
                torch.tanh(shortfall / 0.3).unsqueeze(-1),
            ],
            2,
        )
        raw = self.pair_second(functional.silu(self.pair_first(pair))).squeeze(-1)
        pairs = self.typical[restrained.bonds_apart] + self.bounded(raw)
        atom = torch.cat(
            [
                place.unsqueeze(0).expand(copies, -1, -1),
                times.unsqueeze(1).expand(-1, place.size(0), -1),
            ],
            2,
        )
        own = self.bounded(self.atom_second(functional.silu(self.atom_first(atom))))
        heights = self.height_base + own[:, restrained.centres[:, 0], 0]
        rest = self.rest_base + own[:, :, 1]
        variances = pairs.double().exp() + shortfall.double().square()
        return torch.cat([variances, heights.double().exp()], 1), rest.double().exp()
