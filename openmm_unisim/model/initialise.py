"""Starting values of the weights (UniSim, spec sections 4.4 and 4.5)."""

from torch import Generator, nn

__all__ = ["start_linear"]


def start_linear(linear: nn.Linear, generator: Generator | None, normal: bool = False) -> None:
    """Xavier weights (uniform in the trunk, normal in the heads) and a zero bias, in place.

    Parameters
    ----------
    linear : torch.nn.Linear
    generator : torch.Generator or None
        Source of randomness; None takes torch's default generator.
    normal : bool
        Normal instead of uniform numbers.
    """
    start = nn.init.xavier_normal_ if normal else nn.init.xavier_uniform_
    start(linear.weight, generator=generator)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
