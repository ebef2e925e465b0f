"""What became of each copy's jumps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError
from ..quality import Quality

__all__ = ["ReplicaCounts"]


@dataclass
class ReplicaCounts:
    """Jumps of one copy; `proposed` = `accepted` + the three kinds of rejection.

    Attributes
    ----------
    proposed, accepted : int
    nan : int
        Rejected: the proposal, or its energy, wasn't finite.
    metropolis : int
        Rejected by the Metropolis test.
    broken : int
        Rejected by the quality filter.
    bond, chirality, clash : int
        What was broken (one proposal may count in several).
    consecutive_nan : int
        Jumps since the last finite proposal.
    sum_acceptance : float
        Of min(1, a) over all jumps, with the Metropolis test; over `proposed` it is the mean acceptance.
    """

    proposed: int = 0
    accepted: int = 0
    nan: int = 0
    metropolis: int = 0
    broken: int = 0
    bond: int = 0
    chirality: int = 0
    clash: int = 0
    consecutive_nan: int = 0
    sum_acceptance: float = 0.0

    def add(self, accepted: bool, finite: bool, quality: Quality | None) -> None:
        """Count one jump; `quality` is None where no filter was asked."""
        self.proposed += 1
        self.accepted += accepted
        self.nan += not finite
        self.consecutive_nan = 0 if finite else self.consecutive_nan + 1
        if not finite:
            return
        if quality is None:
            self.metropolis += not accepted
            return
        self.broken += not accepted
        self.bond += quality.bond_broken
        self.chirality += quality.chirality_flips > 0
        self.clash += quality.clashes > 0

    def record(self) -> dict[str, int | float]:
        """As a dictionary."""
        return asdict(self)

    @classmethod
    def to_arrays(cls, counts: Sequence["ReplicaCounts"]) -> dict[str, NDArray[Any]]:
        """Each count of all copies, shape (n_copies,), by name."""
        return {
            field.name: np.array([getattr(one, field.name) for one in counts], dtype=field.type)
            for field in fields(cls)
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], copies: int) -> list["ReplicaCounts"]:
        """The reverse of `to_arrays`."""
        try:
            given = {"sum_acceptance": np.zeros(copies), **arrays}  # older checkpoints lack it
            columns = {
                field.name: [field.type(value) for value in given[field.name]]  # type: ignore[operator]
                for field in fields(cls)
            }
            return [cls(**{name: values[copy] for name, values in columns.items()}) for copy in range(copies)]
        except (KeyError, IndexError) as error:
            raise CheckpointError(
                f"The replicas' checkpoint lacks counts ({error}); load another one."
            ) from error
