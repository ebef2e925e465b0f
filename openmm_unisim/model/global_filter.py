"""A molecule-wide matched filter: how well a displacement agrees with collective directions of the network's choice.

=============  ==============================================================  ===========
symbol         meaning                                                         variable
=============  ==============================================================  ===========
w_i            displacement x_t - x_0 of atom i in units of its spread         observed
V_ik           direction k of atom i, a mix of its vectors                     direction
s_k            sum_i w_i . V_ik / sqrt(n_atoms)                                signal
=============  ==============================================================  ===========

h_i <- h_i + MLP([h_i; s]). Early in a jump each atom's displacement is nearly all noise and the end state shows only in
the sum over all atoms: for a posterior of a few end states x_k the exact answer is a softmax over k of
(x_t - x_0).(x_k - x_0)/(sigma^2 (1-t)). Attention averages over neighbours and has to build that sum in a few layers;
here it is one step. Not in the paper (docs/deviations.md).
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .initialise import start_linear

__all__ = ["GlobalFilter", "NoFilter"]


class GlobalFilter(nn.Module):
    """Add molecule-wide signals to the scalars; starts as the identity.

    Parameters
    ----------
    hidden, channels : int
        Channels H of scalars and vectors; signals K.
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(self, hidden: int, channels: int, generator: Generator | None = None) -> None:
        super().__init__()
        self.direction = nn.Linear(hidden, channels, bias=False)
        self.first = nn.Linear(hidden + channels, hidden)
        self.second = nn.Linear(hidden, hidden)
        for linear in (self.direction, self.first):
            start_linear(linear, generator)
        nn.init.zeros_(self.second.weight)  # so that it can be added to a trained network
        nn.init.zeros_(self.second.bias)

    def forward(self, scalars: Tensor, vectors: Tensor, observed: Tensor, copies: int) -> Tensor:
        """New scalars, shape (n_copies * n_atoms, H).

        Parameters
        ----------
        scalars : Tensor, shape (n_copies * n_atoms, H)
        vectors : Tensor, shape (n_copies * n_atoms, 3, H)
        observed : Tensor, shape (n_copies * n_atoms, 3)
        copies : int
        """
        product = (observed.unsqueeze(-1) * self.direction(vectors)).sum(1)
        atoms = product.size(0) // copies
        signal = product.view(copies, atoms, -1).sum(1) * atoms**-0.5
        seen = torch.cat([scalars, signal.repeat_interleave(atoms, 0)], 1)
        return scalars + self.second(functional.silu(self.first(seen)))


class NoFilter(nn.Module):
    """In place of `GlobalFilter` in the published form."""

    def forward(self, scalars: Tensor, vectors: Tensor, observed: Tensor, copies: int) -> Tensor:
        """The scalars as they are."""
        return scalars
