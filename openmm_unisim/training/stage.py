"""What one kind of training is made of; `trainer.Trainer` runs any of them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from torch import Generator, Tensor, nn

from .config import RunConfig

__all__ = ["Stage"]

AnyConfig = TypeVar("AnyConfig", bound=RunConfig)


class Stage(ABC, Generic[AnyConfig]):
    """A network, its data, its loss and its validation.

    Made from a configuration and the record of a saved run, or None.

    Attributes
    ----------
    settings_free_to_change : frozenset of str
        Settings that a continued run may have otherwise than it was begun, beside those of the schedule.
    config : RunConfig
        As completed from data or from the saved run.
    model : nn.Module
        Its state is saved, its averages are kept; parameters that require a gradient are trained.
    record : dict
        What a reader of the weights must know: data, protocol. JSON.
    notes : tuple of str
        What whoever starts the run should read.
    shares_threads : bool
        Whether several threads may call `loss` at once and gain by it.
    """

    settings_free_to_change: ClassVar[frozenset[str]] = frozenset()
    config: AnyConfig
    model: nn.Module
    record: dict[str, Any]
    notes: tuple[str, ...] = ()
    shares_threads: bool = False

    @abstractmethod
    def __init__(self, config: AnyConfig, saved: dict[str, Any] | None = None) -> None: ...

    @abstractmethod
    def draw(self, generator: Generator) -> Any:
        """A part of a step's batch, which depends on the generator's state alone. May have `split(n)`, see `Batch`."""

    @abstractmethod
    def loss(self, part: Any) -> tuple[Tensor, float]:
        """Mean loss of a part (scalar) and the part's weight in the step."""

    @abstractmethod
    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Figures of the averaged weights, given as a copy of `model`, on held-out data; "valid" is the main one."""
