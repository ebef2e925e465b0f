"""Heads: the gated feed-forward network on scalars and vectors (GVP-FFN) and its SO(3) norm.

=========  ===================================================  ==============
symbol     meaning                                              variable
=========  ===================================================  ==============
gamma      trained factor of the norm, starts at 1              scale
W          vectors -> [Va (H), Vb (O)]                          mix
MLP        [h; |Va|] -> [h' (H), c (O)]                         first, second
=========  ===================================================  ==============

V <- gamma V / (std_channels |V| + 1e-5),  V' = c * Vb. Source: UniSim, spec section 4.5.
"""

from typing import Tuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .initialise import start_linear

__all__ = ["GatedVectorHead", "VectorNorm", "safe_sqrt"]


def safe_sqrt(squared: Tensor) -> Tensor:
    """Square root whose derivatives of any order are zero, not infinite, at zero."""
    positive = squared > 0
    root = torch.where(positive, squared, torch.ones_like(squared)).sqrt()
    return torch.where(positive, root, torch.zeros_like(root))


class VectorNorm(nn.Module):
    """Divide an atom's vectors by the spread of their lengths over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.epsilon = 1e-5
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, vectors: Tensor) -> Tensor:
        """Normalised vectors, shape (n_atoms, 3, H) like the input."""
        length = safe_sqrt((vectors * vectors).sum(1))
        deviation = length - length.mean(1, keepdim=True)
        spread = safe_sqrt((deviation * deviation).sum(1, keepdim=True) / (length.size(1) - 1))
        return self.scale * vectors / (spread + self.epsilon).unsqueeze(1)


class GatedVectorHead(nn.Module):
    """Scalars and vectors of an atom to H scalars and O vectors.

    Parameters
    ----------
    hidden, ffn : int
        Channels H and width F of the MLP.
    outputs : int
        Vector channels O that come out.
    vector_norm : bool
        Whether the vectors are normalised first.
    generator : torch.Generator, optional
        Source of the starting values.
    """

    def __init__(
        self, hidden: int, ffn: int, outputs: int, vector_norm: bool, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.outputs = outputs
        self.norm = VectorNorm() if vector_norm else nn.Identity()
        self.mix = nn.Linear(hidden, hidden + outputs, bias=False)
        self.first = nn.Linear(2 * hidden, ffn)
        self.second = nn.Linear(ffn, hidden + outputs)
        for linear in (self.mix, self.first, self.second):
            start_linear(linear, generator, normal=True)

    def forward(self, scalars: Tensor, vectors: Tensor) -> Tuple[Tensor, Tensor]:
        """Apply the head.

        Parameters
        ----------
        scalars : Tensor, shape (n_atoms, H)
        vectors : Tensor, shape (n_atoms, 3, H)

        Returns
        -------
        scalars : Tensor, shape (n_atoms, H)
        vectors : Tensor, shape (n_atoms, 3, O)
        """
        mixed = self.mix(self.norm(vectors))
        measured, carried = mixed[:, :, : self.hidden], mixed[:, :, self.hidden :]
        length = safe_sqrt((measured * measured).sum(1))
        gated = self.second(functional.silu(self.first(torch.cat([scalars, length], 1))))
        gate = gated[:, self.hidden :].unsqueeze(1)
        return gated[:, : self.hidden], gate * carried
