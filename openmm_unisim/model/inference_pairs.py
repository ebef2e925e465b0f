"""The conditioned form for inference, by whichever form is faster for a molecule of that size.

Below `PAIRS_FROM` atoms the packed form over the full graph is faster; above, the form over pairs within the cutoff,
whose time and memory grow with the pairs; that one has operators for the CPU only. Both are the same function of the
same weights.
"""

import copy
from typing import Optional, Tuple

from torch import Tensor, nn

from .conditioned import ConditionedField
from .pair_field import PairField, share

__all__ = ["PAIRS_FROM", "SizedField"]

PAIRS_FROM = 40  # atoms; measured crossing on one core, docs/performance.md


class SizedField(ConditionedField):
    """A `ConditionedField` for inference on molecules of any size.

    Parameters
    ----------
    packed : ConditionedField
        In its packed form, which describes molecules, too.
    field : ConditionedField
        The same field as it was trained; copied.
    """

    def __init__(self, packed: ConditionedField, field: ConditionedField) -> None:
        nn.Module.__init__(self)
        share(self, packed)
        self.pairs_from = PAIRS_FROM
        self.small = packed
        self.large = PairField(copy.deepcopy(field))

    def describe(self, z_index: Tensor, adjacency: Tensor, distance: Tensor) -> Tuple[Tensor, Tensor]:
        """`ConditionedField.describe`."""
        return self.small.describe(z_index, adjacency, distance)

    def predict(
        self, positions: Tensor, initial: Tensor, t: Tensor, lag_time: float, z_index: Tensor, distance: Tensor,
        place: Tensor, reference: Tensor, rigid: Optional[Tensor] = None,
    ) -> Tensor:  # fmt: skip
        """`ConditionedField.predict`."""
        if positions.size(1) < self.pairs_from or not positions.is_cpu:
            return self.small.predict(
                positions, initial, t, lag_time, z_index, distance, place, reference, rigid
            )
        return self.large.predict(positions, initial, t, lag_time, z_index, distance, place, reference, rigid)
