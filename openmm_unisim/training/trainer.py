"""The training loop of every stage: steps, averaged weights, exact resume, log."""

import contextlib
import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ..changes import changed_settings, describe_changes
from ..errors import CheckpointError, NonFiniteError, OutputError
from ..provenance import provenance, sha256_of_file
from ..run_lock import hold
from .batches import PartStream
from .config import RunConfig
from .parallel import BatchGradients
from .processes import ALONE, Processes
from .run_log import RunLog
from .run_state import load_run, read_run, save_run, start_from, write_record
from .stage import Stage

__all__ = ["Trainer"]

Progress = Callable[[dict[str, float]], None]
AnyStage = TypeVar("AnyStage", bound=Stage[Any])
# a continued run may have these otherwise
_SCHEDULE = {"steps", "decay_start", "learning_rate", "validate_every", "save_every", "ema_decay"}


class Trainer(Generic[AnyStage]):
    """Trains a stage's network; resumes exactly from its folder.

    Parameters
    ----------
    kind : type of Stage
        Called with the configuration and the record of the run in the folder, or None.
    config : RunConfig
    folder : Path
        Holds `run.safetensors` (the state), `log.jsonl`, `record.json` and TensorBoard's event files.
    threads : int
        Parts of a step that are worked on at once, where the stage gains by it. A run repeats exactly with the same
        number of threads and processes.
    processes : Processes
        Those of torch.distributed that share each step.
    tensorboard : bool
        Write event files, too.

    Attributes
    ----------
    notes : list of str
        What whoever started the run should read.
    """

    def __init__(
        self, kind: type[AnyStage], config: RunConfig, folder: Path, threads: int = 1,
        processes: Processes = ALONE, tensorboard: bool = False,
    ) -> None:  # fmt: skip
        self.folder, self.processes = folder, processes
        self.state_path = folder / "run.safetensors"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{folder}' can't be made ({error}); choose a writable run folder.") from error
        saved = self._read(kind, config)
        self.stage = kind(config, None if saved is None else saved[2])
        self.config, self.model = self.stage.config, self.stage.model
        self.step, self.notes = 0, list(self.stage.notes)
        extra: dict[str, Any] = {}
        if saved is None and config.start_from:
            fresh = start_from(Path(config.start_from), self.model)
            extra = {"started_from": sha256_of_file(config.start_from), "weights_from_scratch": fresh}
            self.notes.append(
                f"'{config.start_from}': {len(fresh)} tensors had no match there and start fresh."
            )
        self.ema = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(
            self.trained, lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        if saved is not None:
            self.ema = load_run(saved[0], self.model, self.optimiser, saved[1])
            self.step = saved[1]
            extra = {k: v for k, v in saved[2].items() if k in ("started_from", "weights_from_scratch")}
            self._note_another_start(extra.get("started_from"))
        self.gradients = BatchGradients(
            lambda part: self.stage.loss(part), self.trained, threads if self.stage.shares_threads else 1, processes
        )  # fmt: skip
        self.parts = PartStream(self.stage.draw, config.seed, processes.parts(config.parts))
        self.record = self.stage.record | extra
        self.record |= {"config": self.config.model_dump(), "provenance": provenance(seed=config.seed)}
        self.log = RunLog(folder, tensorboard, self.step) if processes.rank == 0 else None
        if processes.rank == 0:
            write_record(folder / "record.json", self.record)

    def _note_another_start(self, started_from: str | None) -> None:
        """A run that goes on doesn't start from anything again; whoever gives another file should know."""
        path = Path(self.config.start_from)
        if self.config.start_from and path.is_file() and sha256_of_file(path) != started_from:
            self.notes.append(
                f"The run in '{self.folder}' goes on from its own state; '{path}' isn't what it began from, and is not "
                "used."
            )

    def _read(
        self, kind: type[AnyStage], config: RunConfig
    ) -> tuple[dict[str, Tensor], int, dict[str, Any]] | None:
        if not self.state_path.exists():
            return None
        tensors, step, record = read_run(self.state_path)
        if record["config"].get("kind") != config.kind:
            raise CheckpointError(
                f"The run in '{self.folder}' is of kind '{record['config'].get('kind')}', not '{config.kind}'; "
                "choose another folder."
            )
        # read as a configuration, so that settings younger than the run take the defaults that it had
        before = type(config).model_validate(record["config"]).model_dump()
        free = _SCHEDULE | kind.settings_free_to_change
        now = {name: value for name, value in config.model_dump().items() if name not in free}
        changes = changed_settings({name: before[name] for name in now}, now)
        if changes:
            raise CheckpointError(
                f"The run in '{self.folder}' has other settings than this one ({describe_changes(changes)}); resume "
                "with its own or choose another folder."
            )
        return tensors, step, record

    def learning_rate(self) -> float:
        """Warm-up, constant, linear fall to zero."""
        config = self.config
        begin = config.decay_start * config.steps
        warm = min(1.0, (self.step + 1) / max(1, config.warmup))
        fall = min(1.0, max(0.0, (config.steps - self.step) / max(1.0, config.steps - begin)))
        return config.learning_rate * warm * fall

    def train_step(self) -> float:
        """One optimiser step; returns the loss."""
        loss = self.gradients(self.parts.of_step(self.step))
        self.update(loss)
        return loss

    def update(self, loss: float) -> None:
        """Optimiser and averages, from the gradients of a batch whose loss is given for its check."""
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.config.gradient_clip)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            state = (
                "the last checkpoint is intact" if self.state_path.exists() else "no checkpoint was saved yet"
            )
            raise NonFiniteError(
                f"The loss is {loss} and its gradient's norm {float(norm)} at step {self.step}; {state} in "
                f"'{self.folder}'."
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.step()
        self.step += 1
        self._average()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        values = self.model.state_dict()
        pairs = [(self.ema[name], value) for name, value in values.items() if value.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in pairs], [value for _, value in pairs], 1 - decay)

    def averaged(self) -> nn.Module:
        """A copy of the network with the averaged weights."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.ema)
        return model.eval()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The stage's figures of the averaged weights."""
        return self.stage.validate(self.averaged())

    def save(self) -> None:
        """Write the state from which the run continues exactly."""
        save_run(self.state_path, self.model, self.ema, self.optimiser, self.step, self.record)

    def run(self, progress: Progress | None = None) -> None:
        """Train until `config.steps`; nothing is done where the run has them.

        Raises
        ------
        CheckpointError
            If another process trains in the folder.
        """
        if self.step < self.config.steps:
            with hold(self.folder) if self.processes.rank == 0 else contextlib.nullcontext():
                self._run(progress)

    def _run(self, progress: Progress | None) -> None:
        config, validated = self.config, self.step
        running, since, began, first = 0.0, 0, time.perf_counter(), self.step
        while self.step < config.steps:
            running += self.train_step()
            since += 1
            if self.step % config.save_every and self.step < config.steps:
                continue
            entry = {
                "step": self.step, "loss": running / since, "rate": self.learning_rate(),
                "steps_per_s": (self.step - first) / (time.perf_counter() - began),
            }  # fmt: skip
            running, since = 0.0, 0
            if self.log is not None:
                every = config.validate_every
                if self.step // every > validated // every or self.step >= config.steps:
                    entry |= self.validate()
                    validated = self.step
                self.log.write(entry)
                self.save()
            if progress is not None:
                progress(entry)
