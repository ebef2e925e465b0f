"""The switch between the plain layers and the fused operators of the plugin (plugin/operators).

The plain PyTorch code is the definition; the operators are the same functions without arrays of edges times channels.
A layer's `fused` is a constant for TorchScript: a module scripted without it doesn't mention the operators.
"""

import copy
from typing import TypeVar, cast

from torch import nn

from .._plugin import load_operators
from .attention import EquivariantAttention
from .conditioned import ConditionedField
from .encoder import Encoder
from .heads import GatedVectorHead
from .inference import CellListSearch, PackedAttention, PackedHead, PackedLinear, TabulatedEncoder
from .inference_conditioned import PackedField, PackedRefinement
from .inference_pairs import SizedField
from .neighbour_search import NeighbourSearch
from .refinement import Refinement

Network = TypeVar("Network", bound=nn.Module)
__all__ = ["for_inference", "use_fused"]


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


def for_inference(module: Network, half: bool = False, few_atoms: bool = False) -> Network:
    """Replace, in place, linear layers and the parts of a trained module that have a packed form.

    Parameters
    ----------
    module : nn.Module
        Its weights must not change afterwards: the packed forms hold copies.
    half : bool
        Round layers on atoms (and tabulated filters) to bfloat16, with sums in float32. Errors are of the order of
        1e-2 of the largest output (docs/performance.md); float32 modules only.
    few_atoms : bool
        Leave out the form of a conditioned field that is faster from `PAIRS_FROM` atoms on, and its copy of the
        weights: half the size, and the same function at any number of atoms.

    Returns
    -------
    nn.Module
        `module`, or its replacement if it is such a part itself.

    Raises
    ------
    PluginError
        If the operators' library was not built.
    """
    load_operators()
    return cast(Network, _replaced(module, half, few_atoms).eval().requires_grad_(False))


def _replaced(module: nn.Module, half: bool, few_atoms: bool) -> nn.Module:
    if isinstance(module, EquivariantAttention):
        return PackedAttention(module, half=half)
    if isinstance(module, GatedVectorHead):
        return PackedHead(module, half)
    if type(module) is NeighbourSearch:
        return CellListSearch(module)
    if type(module) is Encoder:
        module = TabulatedEncoder(module, half)
    elif type(module) is ConditionedField:
        trained = copy.deepcopy(module)
        packed = _with_replaced_children(PackedField(module, half), half, few_atoms)
        return packed if few_atoms else SizedField(packed, trained)
    elif type(module) is Refinement:
        module = PackedRefinement(module, half)
    if type(module) is nn.Linear:
        return PackedLinear(module, half)
    return _with_replaced_children(module, half, few_atoms)


def _with_replaced_children(module: Network, half: bool, few_atoms: bool) -> Network:
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, half, few_atoms))
    return module
