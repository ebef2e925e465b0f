"""One substep of a model file, or of a module, called as the integrator calls it: without OpenMM around."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from ...export.loader import argument_names
from ...units import BOLTZMANN
from .jump_setup import JumpSetup

__all__ = ["substep_call"]


def substep_call(module: Any, setup: JumpSetup, copies: int, threads: int = 1) -> Callable[[], Any]:
    """A call of `step` for copies of the molecule, in the middle of its time grid.

    Parameters
    ----------
    module : nn.Module
        Of the step contract (docs/model_file.md), scripted or not.
    setup : JumpSetup
    copies, threads : int
    """
    scalar = torch.float64 if setup.metadata.scalar_type == "float64" else torch.float32
    generator = Generator().manual_seed(1)
    start = torch.from_numpy(np.asarray(setup.positions - setup.positions.mean(axis=0))).to(scalar)
    initial = start.expand(copies, -1, -1).contiguous()
    times = module.time_grid(setup.substeps)
    middle = setup.substeps // 2
    forced = setup.metadata.forces_required
    given = {
        "positions": initial + 0.01 * torch.randn(initial.shape, generator=generator, dtype=scalar),
        "initial_positions": initial,
        "atomic_numbers": torch.from_numpy(setup.molecule.atomic_numbers),
        "bonds": torch.from_numpy(setup.molecule.bonds),
        "t": torch.full((copies,), float(times[middle]), dtype=torch.float64),
        "t_next": torch.full((copies,), float(times[middle + 1]), dtype=torch.float64),
        "kT": BOLTZMANN * setup.metadata.training_temperature_K,
        "forces": torch.zeros(initial.shape if forced else 0, dtype=scalar),
        "guidance_scale": setup.metadata.default_guidance_scale,
        "box_vectors": torch.zeros(0, dtype=scalar),
        "noise": torch.randn(initial.shape, generator=generator, dtype=scalar),
    }
    chosen = {name: given[name] for name in argument_names(module.step)}

    def call() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.no_grad():
            return module.step(**chosen)

    return call
