"""Fine-tuning: a vector-field run on one molecule's own MD that starts from weights trained elsewhere."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..data.foreign_import import ImportedMD
from ..data.stretches import read_attributes
from ..errors import CheckpointError, ConfigError, OutputError, UniSimError
from ..model.checkpoint import read_header
from ..model.conditioned import ConditionedConfig
from .config import TimeDensity, VectorFieldConfig
from .run_state import read_run

__all__ = ["BaseWeights", "FinetuneSettings", "differences", "finetune_config", "read_base", "written_config"]

SAMPLES = 16  # of a step, at least; a smaller batch's gradient is mostly noise


@dataclass(frozen=True)
class BaseWeights:
    """What a run starts from.

    Attributes
    ----------
    path : Path
        Weights file or training checkpoint.
    model : ConditionedConfig
    lag_times : tuple of float, ps
    times : TimeDensity
        Of its training.
    protocol : dict
        Of its training data.
    """

    path: Path
    model: ConditionedConfig
    lag_times: tuple[float, ...]
    times: TimeDensity
    protocol: dict[str, Any]


@dataclass(frozen=True)
class FinetuneSettings:
    """How it is trained.

    Attributes
    ----------
    steps : int
        10,000 is a sixth of a run from nothing.
    learning_rate : float
        A third of that of a run from nothing: large enough to leave the base's solution, too small to forget it in the
        first steps, when Adam knows no variances.
    batch : int
        Samples of a part, fewer where the molecule is large (`VectorFieldConfig.atom_budget`).
    warmup, decay_start, ema_decay
        Shorter than from nothing, as the run is.
    seed : int
    validate_every, save_every : int
        Steps.
    """

    steps: int = 10_000
    learning_rate: float = 3e-4
    batch: int = 32
    warmup: int = 200
    decay_start: float = 0.4
    ema_decay: float = 0.999
    seed: int = 1
    validate_every: int = 500
    save_every: int = 250


def read_base(path: Path) -> BaseWeights:
    """Read what a weights file or a checkpoint says of its network.

    Raises
    ------
    CheckpointError
        If it is neither, or of another kind of network.
    """
    if path.is_dir():
        path = path / "run.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"There are no weights '{path}'; give a registered name, a weights file or a run folder."
        )
    header, _ = read_header(path)
    try:
        if "kind" in header:
            kind, extra = header["kind"], json.loads(header.get("extra", "{}"))
            model, record = json.loads(header["config"]), extra.get("record", {})
            lags = tuple(extra.get("lag_times") or [extra.get("lag_time", 0.0)])
            protocol = extra.get("protocol", {})
        else:
            _, _, record = read_run(path)
            settings = record["config"]
            kind = (
                "conditioned_field" if settings.get("kind") == "vector-field" else str(settings.get("kind"))
            )
            model, protocol = settings.get("model", {}), record.get("protocol", {})
            lags = tuple(settings.get("lag_times") or [settings.get("lag_time", 0.0)])
        if kind != "conditioned_field":
            raise CheckpointError(
                f"'{path}' holds weights of kind '{kind}'; fine-tuning starts from a conditioned vector field."
            )
        times = TimeDensity(**record.get("config", {}).get("times", {}))
        return BaseWeights(path, ConditionedConfig(**model), lags, times, protocol)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise CheckpointError(
            f"'{path}' doesn't say what network its weights belong to ({error}); give weights of this program."
        ) from error


def finetune_config(
    base: BaseWeights, data: ImportedMD, lag_times: tuple[float, ...], settings: FinetuneSettings
) -> VectorFieldConfig:
    """The run's configuration.

    The network is the base's, its unit of displacement included, so that the run begins exactly at the base's function.
    """
    n_atoms = len(read_attributes(data.train)["atomic_numbers"])
    budget = VectorFieldConfig.model_fields["atom_budget"].default
    size = min(settings.batch, max(1, budget // n_atoms))
    try:
        return VectorFieldConfig(
            model=base.model, measure_displacement=False, times=base.times, lag_time=lag_times[0],
            lag_times=lag_times if len(lag_times) > 1 else (), train_files=[str(data.train)],
            valid_files=[str(data.held_out)], start_from=str(base.path), steps=settings.steps, batch=settings.batch,
            parts=math.ceil(min(SAMPLES, settings.batch) / size), learning_rate=settings.learning_rate,
            warmup=settings.warmup, decay_start=settings.decay_start, ema_decay=settings.ema_decay, seed=settings.seed,
            validate_every=settings.validate_every, save_every=settings.save_every, compiled=False,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}; correct the option."
        ) from error


def _write_config(config: VectorFieldConfig, folder: Path) -> Path:
    """Write the configuration into the run's folder, as `train vector-field` reads it."""
    path = folder / "config.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"'{path}' can't be written ({error}); choose a writable --output.") from error
    return path


@contextmanager
def written_config(config: VectorFieldConfig, folder: Path) -> Iterator[None]:
    """Write the configuration for a run within; a run that is refused leaves what was there before.

    Refused is a run that raises a named error before it saved anything.
    """
    path, state = folder / "config.json", folder / "run.safetensors"
    before = path.read_bytes() if path.is_file() else None
    saved = state.stat().st_mtime_ns if state.is_file() else None
    _write_config(config, folder)
    try:
        yield
    except UniSimError:
        if saved == (state.stat().st_mtime_ns if state.is_file() else None):
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
        raise


def differences(base: BaseWeights, data: ImportedMD) -> list[str]:
    """How the MD differs from the base's, in words: fine-tuning goes there, but a user should know."""
    attributes = read_attributes(data.train)
    found = []
    for key in (
        "environment",
        "temperature_K",
        "friction_per_ps",
        "hydrogen_mass_Da",
        "constraints",
        "force_field",
    ):
        before, now = base.protocol.get(key), attributes[key]
        if before is not None and before != now:
            found.append(f"{key} was {before} and is {now} here")
    return found
