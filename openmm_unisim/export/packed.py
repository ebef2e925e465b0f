"""The conditioned form's substep on the plugin's operators."""

from typing import Tuple

import torch
from torch import Tensor

from ..interpolant.covariance import RIGID_VARIANCE, Restraints
from ..model.fused import for_inference
from ..model.inference_conditioned import PackedSpread
from .scripted import ConditionedJump

__all__ = ["PackedJump"]


class PackedJump(ConditionedJump):
    """A `ConditionedJump` whose field and variance head are packed for inference (`model.fused`).

    Parameters
    ----------
    jump : ConditionedJump
        Its networks are changed in place.
    few_atoms : bool
        For small molecules, see `for_inference`.
    """

    def __init__(self, jump: ConditionedJump, few_atoms: bool = False) -> None:
        field = for_inference(jump.field, few_atoms=few_atoms)
        kernel = None if jump.kernel is None else for_inference(jump.kernel, few_atoms=few_atoms)
        super().__init__(
            field, jump.spread, jump.lag_time, jump.grid_power, jump.group_wise, jump.elements, kernel
        )
        self.packed_spread = PackedSpread(jump.spread)
        self.rigid_variance = RIGID_VARIANCE

    def topology(self, bonds: Tensor, n_atoms: int) -> Tuple[Tensor, Tensor, Restraints]:
        """`ConditionedJump.topology`."""
        adjacency, distance, pairs, apart, centres = torch.ops.openmm_unisim.bond_graph(bonds, n_atoms)
        return adjacency, distance, Restraints(pairs, apart, centres)

    def variances(
        self, end: Tensor, place: Tensor, reference: Tensor, times: Tensor, restrained: Restraints
    ) -> Tuple[Tensor, Tensor]:
        """`ConditionedJump.variances`."""
        return self.packed_spread.variances(end, place, reference, times, restrained)

    def precision(
        self, end: Tensor, initial: Tensor, restrained: Restraints, variances: Tensor, rest: Tensor, t: Tensor
    ) -> Tensor:
        """`ConditionedJump.precision`."""
        return torch.ops.openmm_unisim.posterior_precision(
            end, initial, restrained.pairs, restrained.centres, variances, rest, t, self.field.sigma,
            self.rigid_variance,
        )  # fmt: skip

    def factor(self, precision: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """`ConditionedJump.factor`."""
        return torch.ops.openmm_unisim.step_factor(precision, t, t_next, self.field.sigma)

    def density(self, following: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        """`ConditionedJump.density`."""
        return torch.ops.openmm_unisim.gaussian_log_density(following, mean, factor)
