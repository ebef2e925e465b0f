"""Many jumps of many copies in plain PyTorch: a fallback simulation, and the judge of a model in training."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, ModelDomainError, NonFiniteError
from .exactness import PathMetropolis
from .guidance import draw_proposal
from .noise import acceptance_uniform
from .reference import ReferenceJump

__all__ = ["ChainFrame", "JumpChain"]


@dataclass(frozen=True)
class ChainFrame:
    """The state after a jump.

    Attributes
    ----------
    step : int
        Jumps made so far; the model time is step * lag_time.
    positions : ndarray, shape (n_copies, n_atoms, 3), nm
        A copy whose jump was rejected repeats its state.
    accepted, finite : ndarray of bool, shape (n_copies,)
        Whether the jump was taken; whether its proposal was finite.
    log_acceptance : ndarray, shape (n_copies,)
        Of the Metropolis rule; nan if not finite; 0 where every finite jump is accepted.
    """

    step: int
    positions: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    finite: NDArray[np.bool_]
    log_acceptance: NDArray[np.float64]


class JumpChain:
    """Repeated jumps with counted rejections.

    Parameters
    ----------
    jump : ReferenceJump
    positions : array_like, shape (n_copies, n_atoms, 3), nm
        Start of each copy.
    seed : int
        Copy i draws the noise of seed + i: the same as a `UniSimIntegrator` with that seed.
    step : int
        Number of the first jump, to continue a chain.
    acceptance : PathMetropolis, optional
        Every finite jump is accepted unless given.

    Attributes
    ----------
    proposed, accepted, nan : int
        Counts over all copies.
    """

    def __init__(
        self,
        jump: ReferenceJump,
        positions: ArrayLike,
        seed: int,
        step: int = 0,
        acceptance: PathMetropolis | None = None,
    ):
        self.jump = jump
        self.positions = np.array(positions, dtype=np.float64)
        self.step = step
        self.proposed = self.accepted = self.nan = 0
        if self.positions.ndim != 3:
            raise ConfigError(
                f"Positions have the shape {self.positions.shape}; (n_copies, n_atoms, 3) is needed."
            )
        if acceptance is not None and jump.resampling is not None:
            raise ModelDomainError(
                "A jump that is chosen among several has no density that can be computed, so resampling can't be "
                "combined with Metropolis acceptance; use another guidance source."
            )
        self._seeds = seed + np.arange(len(self.positions))
        self._acceptance = acceptance
        self._energy = (
            np.zeros(len(self.positions)) if acceptance is None else acceptance.energy(self.positions)
        )
        if not np.isfinite(self._energy).all():
            copy = int(np.argmin(np.isfinite(self._energy)))
            raise NonFiniteError(
                f"Copy {copy} starts with the potential energy {self._energy[copy]}; give another structure."
            )

    def run(self, n_jumps: int) -> Iterator[ChainFrame]:
        """Make `n_jumps` jumps, yielding the state after each."""
        for _ in range(n_jumps):
            yield self._jump_once()

    def _jump_once(self) -> ChainFrame:
        proposal = draw_proposal(self.jump, self.positions, self._seeds, self.step)
        if self._acceptance is None:
            accepted, log_a = proposal.finite, np.where(proposal.finite, 0.0, np.nan)
        else:
            log_a, energy = self._acceptance.log_acceptance(proposal, self.positions, self._energy)
            accepted = np.log(acceptance_uniform(self._seeds, self.step)) < log_a
            self._energy = np.where(accepted, energy, self._energy)
        self.positions = np.where(accepted[:, None, None], proposal.positions, self.positions)
        self.step += 1
        self.proposed += len(accepted)
        self.accepted += int(accepted.sum())
        self.nan += int(np.isnan(log_a).sum())
        return ChainFrame(self.step, self.positions, accepted, proposal.finite, log_a)
