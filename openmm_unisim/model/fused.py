"""The switch between the plain layers and the fused operators of the plugin (plugin/operators).

The plain PyTorch code is the definition; the operators are the same functions without arrays of edges times channels.
A layer's `fused` is a constant for TorchScript: a module scripted without it doesn't mention the operators.
"""

from torch import nn

from .._plugin import load_operators
from .attention import EquivariantAttention

__all__ = ["use_fused"]


def use_fused(module: nn.Module, fused: bool) -> nn.Module:
    """Let all attention layers in a module call the fused operator, or the plain code.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    fused : bool

    Returns
    -------
    nn.Module
        `module`.

    Raises
    ------
    PluginError
        If `fused` and the operators' library was not built.
    """
    if fused:
        load_operators()
    for layer in module.modules():
        if isinstance(layer, EquivariantAttention):
            layer.fused = fused
    return module
