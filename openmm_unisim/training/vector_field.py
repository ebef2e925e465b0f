"""The training loop of the conditioned vector field."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from .._plugin import operators_are_built
from ..data.pairs import Pair, PairSampler, PairSource
from ..elements import check_elements, vocabulary_lookup
from ..errors import CheckpointError, ConfigError, NonFiniteError, OutputError
from ..interpolant.bridge import interpolate
from ..model.bond_graph import adjacency_matrix, bond_distance
from ..model.conditioned import ConditionedConfig, ConditionedField
from ..model.pair_field import PairField
from ..provenance import provenance, sha256_of_file
from .batches import Batch, BatchStream
from .config import VectorFieldConfig
from .losses import draw_times, end_point_error, reference_length_error
from .parallel import BatchGradients
from .run_state import load_run, read_run, save_run, start_from

VALIDATION_PAIRS = 512
Progress = Callable[[dict[str, float]], None]


class VectorFieldTrainer:
    """Trains one field on one molecule's pairs; resumes exactly from its folder.

    Parameters
    ----------
    config : VectorFieldConfig
    folder : Path
        Holds `run.safetensors` (the state), `log.jsonl` and `record.json`.
    threads : int
        Parts of each batch that are worked on at once, by the operators; the plain layers use torch's own threads. A
        run repeats exactly with the same number.
    """

    def __init__(self, config: VectorFieldConfig, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.state_path = folder / "run.safetensors"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{folder}' can't be made ({error}); choose a writable run folder.") from error
        source = PairSource.load(config.train_files)
        held_out = PairSource.load(config.valid_files or config.train_files[-1:])
        check_elements(source.atomic_numbers.tolist())
        self.sampler = PairSampler(source, config.lag_time, config.start_noise)
        generator = Generator().manual_seed(config.seed)
        self.step = 0
        saved = self._read(config)
        if saved is None:
            measured = round(
                PairSampler(source, config.lag_time).displacement(4096, Generator().manual_seed(0)), 3
            )
            config = config.model_copy(
                update={"model": config.model.model_copy(update={"displacement": measured})}
            )
            self.record: dict[str, Any] = {"data": source.hashes, "protocol": _protocol(source.attributes)}
        else:
            self.record = saved[2] | {"data": saved[2]["data"] | source.hashes}
            model = ConditionedConfig(**self.record["config"]["model"])
            config = config.model_copy(update={"model": model})
        self.config = config
        self.model = ConditionedField(config.model, Generator().manual_seed(config.seed))
        if saved is None and config.start_from:
            fresh = start_from(Path(config.start_from), self.model)
            self.record |= {"started_from": sha256_of_file(config.start_from), "weights_from_scratch": fresh}
        self.ema = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self._build(source, held_out, threads)
        if saved is not None:
            self.ema = load_run(saved[0], self.model, self.optimiser, generator, saved[1])
            self.step = saved[1]
        self.batches = BatchStream(self.draw, generator)
        self.record |= {"config": config.model_dump(), "provenance": provenance(seed=config.seed)}
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))

    @property
    def generator(self) -> Generator:
        """In the state from which the next batch is drawn."""
        generator = Generator()
        generator.set_state(self.batches.state)
        return generator

    def _fast(self, model: ConditionedField) -> ConditionedField:
        """The field that does the work, with the parameters of `model`."""
        return PairField(model) if self.config.fused and operators_are_built() else model

    def _read(self, config: VectorFieldConfig) -> tuple[dict[str, Tensor], int, dict[str, Any]] | None:
        if not self.state_path.exists():
            return None
        tensors, step, record = read_run(self.state_path)
        schedule = {
            "steps",
            "decay_start",
            "learning_rate",
            "validate_every",
            "save_every",
            "compiled",
            "fused",
            "ema_decay",
        }
        # read as a configuration, so that settings younger than the run take the defaults that it had
        before = VectorFieldConfig.model_validate(record["config"]).model_dump()
        for name, value in config.model_dump().items():
            if name in schedule or name in ("train_files", "valid_files", "model"):
                continue
            if before[name] != value:
                raise CheckpointError(
                    f"The run in '{self.folder}' has {name} = {before[name]!r}, not {value!r}; "
                    "resume with its own setting or choose another folder."
                )
        return tensors, step, record

    def _build(self, source: PairSource, held_out: PairSource, threads: int) -> None:
        config = self.config
        self.network: Callable = self._fast(self.model)
        if config.compiled and self.network is self.model:
            self.network = torch.compile(self.model)
        self.gradients = BatchGradients(
            lambda batch: self.loss(self.network, batch.pair, batch.t, batch.noise),
            list(self.model.parameters()),
            threads if isinstance(self.network, PairField) else 1,
        )
        self.z_index = torch.tensor(vocabulary_lookup())[source.atomic_numbers]
        self.adjacency = adjacency_matrix(source.bonds, len(source.atomic_numbers))
        self.distance = bond_distance(self.adjacency)
        fixed = Generator().manual_seed(12345)
        pair = PairSampler(held_out, config.lag_time).draw(VALIDATION_PAIRS, fixed)
        t = draw_times(VALIDATION_PAIRS, config.times, fixed)
        self.validation = (pair, t, torch.randn(pair.start.shape, generator=fixed))

    def predict(self, network: Callable, pair: Pair, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """End point and reference lengths at x_t of the pairs."""
        x_t = interpolate(pair.start, pair.end, t, self.config.model.sigma, noise)
        return network(x_t, pair.start, t, self.config.lag_time, self.z_index, self.adjacency, self.distance)

    def loss(self, network: Callable, pair: Pair, t: Tensor, noise: Tensor) -> Tensor:
        """Training loss of a batch; scalar."""
        model = self.config.model
        predicted, reference = self.predict(network, pair, t, noise)
        error = end_point_error(predicted, pair.end, t, model.sigma, model.displacement).mean()
        return error + self.config.length_weight * reference_length_error(reference, pair.end, self.distance)

    def learning_rate(self) -> float:
        """Warm-up, constant, linear fall to zero."""
        config = self.config
        begin = config.decay_start * config.steps
        warm = min(1.0, (self.step + 1) / max(1, config.warmup))
        fall = min(1.0, max(0.0, (config.steps - self.step) / max(1.0, config.steps - begin)))
        return config.learning_rate * warm * fall

    def draw(self, generator: Generator) -> Batch:
        """A batch that depends on the generator's state alone."""
        config = self.config
        pair = self.sampler.draw(config.batch, generator)
        t = draw_times(config.batch, config.times, generator)
        return Batch(pair, t, torch.randn(pair.start.shape, generator=generator))

    def train_step(self) -> float:
        """One optimiser step; returns the loss."""
        loss = self.gradients(self.batches.next())
        self.update(loss)
        return loss

    def update(self, loss: float) -> None:
        """Optimiser and averages, from the gradients of a batch whose loss is given for its check."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"The loss is {loss} at step {self.step}; the last checkpoint in '{self.folder}' is intact."
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
        torch._foreach_lerp_([self.ema[name] for name in values], list(values.values()), 1 - decay)

    def averaged(self) -> ConditionedField:
        """A copy of the field with the averaged weights."""
        model = ConditionedField(self.config.model)
        model.load_state_dict(self.ema)
        return model.eval()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean unit-variance error of the averaged weights on held-out pairs, whole and by part of the time axis."""
        model, config = self._fast(self.averaged()), self.config.model
        pair, t, noise = self.validation
        errors = []
        for part in torch.arange(VALIDATION_PAIRS).split(64):
            chunk = Pair(pair.start[part], pair.end[part])
            predicted, _ = self.predict(model, chunk, t[part], noise[part])
            errors.append(end_point_error(predicted, chunk.end, t[part], config.sigma, config.displacement))
        error = torch.cat(errors)
        bins = {
            "start": t < 0.02,
            "early": (t >= 0.02) & (t < 0.3),
            "late": (t >= 0.3) & (t < 0.98),
            "end": t >= 0.98,
        }
        return {"valid": float(error.mean())} | {
            f"valid_{k}": float(error[m].mean()) for k, m in bins.items()
        }

    def save(self) -> None:
        """Write the state from which the run continues exactly."""
        save_run(
            self.state_path, self.model, self.ema, self.optimiser, self.generator, self.step, self.record
        )

    def run(self, progress: Progress | None = None) -> None:
        """Train until `config.steps`."""
        config = self.config
        if self.step >= config.steps:
            raise ConfigError(
                f"The run in '{self.folder}' has {self.step} steps already; give more steps to go on."
            )
        running, began, first = 0.0, time.perf_counter(), self.step
        while self.step < config.steps:
            running += self.train_step()
            if self.step % config.save_every and self.step < config.steps:
                continue
            elapsed = time.perf_counter() - began
            entry = {
                "step": self.step, "loss": running / (config.save_every), "rate": self.learning_rate(),
                "samples_per_s": (self.step - first) * config.batch / elapsed,
            }  # fmt: skip
            running = 0.0
            if self.step % config.validate_every == 0 or self.step >= config.steps:
                entry |= self.validate()
            with open(self.folder / "log.jsonl", "a") as log:
                log.write(json.dumps(entry) + "\n")
            self.save()
            if progress is not None:
                progress(entry)


def _protocol(attributes: dict[str, Any]) -> dict[str, Any]:
    """What the model file must say of its data."""
    keys = (
        "name", "environment", "force_field", "temperature_K", "friction_per_ps", "hydrogen_mass_Da", "constraints",
        "frame_spacing_ps", "time_step", "atomic_numbers", "bonds",
    )  # fmt: skip
    return {key: attributes[key] for key in keys}
