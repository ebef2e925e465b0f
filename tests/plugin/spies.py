"""Model files that call back into the test: what a model sees of its thread while it runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from openmm_unisim.export.exporter import save_model_file
from tests.toy_models import ConstantDrift, GuidedHarmonic, toy_metadata

_listeners: list[Callable[[Tensor], None]] = []
_library = torch.library.Library("unisim_test", "DEF")
_library.define("tell(Tensor x) -> Tensor")


def _tell(x: Tensor) -> Tensor:
    for listener in _listeners:
        listener(x)
    return x.clone()


_library.impl("tell", _tell, "CPU")


class Telling(ConstantDrift):
    """Tells the listener the mean of each substep."""

    def bend(self, mean: Tensor) -> Tensor:
        return torch.ops.unisim_test.tell(mean)


class TellingForces(GuidedHarmonic):
    """Tells the listener OpenMM's forces."""

    def guide(
        self, mean_1: Tensor, var_1: Tensor, kT: float, forces: Tensor, guidance_scale: float
    ) -> Tensor:
        return mean_1 + 0.0 * torch.ops.unisim_test.tell(forces)


def write_spies(folder: Path) -> dict[str, Path]:
    """Files of `Telling` and `TellingForces`."""
    paths = {"telling": folder / "telling.unisim.pt", "telling_forces": folder / "telling_forces.unisim.pt"}
    save_model_file(Telling(), toy_metadata("constant"), paths["telling"])
    save_model_file(TellingForces(), toy_metadata("guided"), paths["telling_forces"])
    return paths


@contextmanager
def listening(listener: Callable[[Tensor], None]) -> Iterator[None]:
    """Call `listener` with what models tell."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def flushes_denormals() -> bool:
    """Whether this thread takes numbers below 2e-308 for zero."""
    return float(torch.tensor([2e-310], dtype=torch.float64).mul(0.5).view(torch.int64)) == 0


def sleep(seconds: float) -> Callable[[Tensor], None]:
    """A listener that takes its time."""
    return lambda x: time.sleep(seconds)
