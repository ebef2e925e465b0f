"""A run that is stopped at its first saved state and continued, beside one that isn't."""

from pathlib import Path
from typing import Any

import pytest
import torch

from openmm_unisim.training.trainer import Trainer


class Killed(Exception):
    """Raised when the first state has been saved."""


def assert_resumes_exactly(kind: Any, config: Any, folder: Path) -> Trainer:
    """Weights and averages of both runs are equal bit for bit; returns the continued one, in `folder`/parts."""
    whole = Trainer(kind, config, folder / "whole")
    whole.run()

    def kill(entry: dict) -> None:
        raise Killed

    with pytest.raises(Killed):
        Trainer(kind, config, folder / "parts").run(kill)
    parts = Trainer(kind, config, folder / "parts")
    assert parts.step == config.save_every
    parts.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[name]), name
        assert torch.equal(whole.ema[name], parts.ema[name]), name
    return parts
