"""The log of a training run: one JSON line every time the state is saved, and TensorBoard's event files if wanted."""

import json
from pathlib import Path
from typing import Any

from ..errors import ConfigError

__all__ = ["RunLog"]


class RunLog:
    """Appends to a run's log.

    Parameters
    ----------
    folder : Path
        Of the run.
    tensorboard : bool
        Write event files beside `log.jsonl`; needs the package tensorboard.
    step : int
        Where the run goes on: events of later steps, of a part that was lost to a kill, are hidden.
    """

    def __init__(self, folder: Path, tensorboard: bool, step: int) -> None:
        self._path = folder / "log.jsonl"
        self._events: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ConfigError("TensorBoard's event files need `pip install tensorboard`.") from error
            self._events = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, entry: dict[str, float]) -> None:
        """Append figures; "step" is among them."""
        with open(self._path, "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if self._events is not None:
            for name, value in entry.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(entry["step"]))
            self._events.flush()
