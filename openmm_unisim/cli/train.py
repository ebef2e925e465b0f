"""`openmm-unisim train`: a command for each stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .train_finetune import finetune

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..training.config import RunConfig
    from ..training.stage import Stage
    from ..training.trainer import Trainer

Config = Annotated[Path, typer.Argument(help="JSON file of the stage's configuration.")]
Output = Annotated[Path, typer.Option(help="Run folder; a run in it is continued.")]
Steps = Annotated[int, typer.Option(min=0, help="Replaces the config's number of steps; 0: the config's.")]
Start = Annotated[
    Path | None, typer.Option("--start-from", help="Replaces the config's start_from if given.")
]
Threads = Annotated[int, typer.Option(min=1, help="Cores to use; a run repeats exactly with as many.")]
Events = Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's event files, too.")]

AnyConfig = TypeVar("AnyConfig", bound="RunConfig")


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(help="Train a network.", no_args_is_help=True)
    group.command("vector-field")(vector_field)
    group.command("guidance")(guidance)
    group.command("finetune")(finetune)
    group.command("pretrain")(pretrain)
    group.callback()(lambda: None)
    app.add_typer(group, name="train")


def vector_field(
    config: Config,
    output: Output,
    steps: Steps = 0,
    start: Start = None,
    threads: Threads = 1,
    tensorboard: Events = False,
) -> None:
    """Train the conditioned vector field (VectorFieldConfig); resumes exactly from the run folder.

    Under torchrun the processes share each step's parts.
    """
    from .._plugin import operators_are_built
    from ..training.config import VectorFieldConfig
    from ..training.vector_field import VectorFieldStage

    settings = read_config(config, VectorFieldConfig, steps, start)
    plain = not (settings.fused and operators_are_built())
    run_stage(VectorFieldStage, settings, output, threads, tensorboard, torch_threads=threads if plain else 1)


def guidance(
    config: Config,
    output: Output,
    steps: Steps = 0,
    start: Start = None,
    threads: Threads = 1,
    tensorboard: Events = False,
) -> None:
    """Train a guidance kernel beside a frozen field (GuidanceConfig), and write its weights file.

    The weights, OUTPUT/kernel.safetensors, go into a model file by `openmm-unisim export BASE --guidance KERNEL`.
    """
    from .._plugin import operators_are_built
    from ..training.guidance import GuidanceStage, write_kernel
    from ..training.guidance_config import GuidanceConfig

    settings = read_config(config, GuidanceConfig, steps, start)
    plain = not (settings.fused and operators_are_built())
    torch_threads = threads if plain else 1
    run_stage(GuidanceStage, settings, output, threads, tensorboard, torch_threads, finish=write_kernel)


def pretrain(
    config: Config,
    output: Output,
    steps: Steps = 0,
    start: Start = None,
    threads: Threads = 1,
    tensorboard: Events = False,
) -> None:
    """Pretrain the field's trunk on forces by several methods and on denoising (PretrainConfig); resumes exactly.

    A vector-field run takes the result by --start-from OUTPUT/run.safetensors. Under torchrun the processes share each
    step's parts.
    """
    from .._plugin import operators_are_built
    from ..training.pretrain_config import PretrainConfig
    from ..training.pretraining import PretrainStage

    settings = read_config(config, PretrainConfig, steps, start)
    fast = settings.fused and settings.derivatives == "differences" and operators_are_built()
    run_stage(PretrainStage, settings, output, threads, tensorboard, torch_threads=1 if fast else threads)


def read_config(path: Path, kind: type[AnyConfig], steps: int = 0, start: Path | None = None) -> AnyConfig:
    """A stage's configuration from a JSON file, with what the command line replaces."""
    from pydantic import ValidationError

    from ..errors import ConfigError

    try:
        settings = kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"'{path}' can't be read ({error.strerror}); give a JSON file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"'{path}' is not a valid training configuration: {where}: {first['msg']}; see {kind.__name__}."
        ) from error
    changes = ({"steps": steps} if steps else {}) | ({"start_from": str(start)} if start is not None else {})
    return settings.model_copy(update=changes)


def run_stage(
    kind: "type[Stage[Any]]",
    settings: "RunConfig",
    output: Path,
    threads: int,
    tensorboard: bool = False,
    torch_threads: int = 1,
    finish: "Callable[[Path], str] | None" = None,
) -> None:
    """Train a stage, or go on with it, with a progress bar.

    `finish` is called with the run folder after the training, in one process; what it returns is printed. No process
    leaves before that: torchrun ends a rank 0 that the others don't wait for.
    """
    import torch

    from ..memory import keep_freed_memory
    from ..training.processes import join_processes
    from ..training.trainer import Trainer

    keep_freed_memory()
    torch.set_flush_denormal(True)  # denormals in radial tails cost a factor of three
    torch.set_num_threads(torch_threads)
    processes = join_processes(settings.parts)
    trainer = Trainer(kind, settings, output, threads, processes, tensorboard)
    before = trainer.step
    if processes.rank == 0:
        for note in trainer.notes:
            print(note)
    if trainer.step < settings.steps:
        _train(trainer, settings.steps)
    if processes.rank == 0:
        done = f"{trainer.state_path}: {trainer.step} steps"
        print(
            done
            if trainer.step > before
            else f"'{output}' has {before} steps; nothing to do, more steps go on."
        )
        if finish is not None:
            print(finish(output))
    processes.wait()


def _train(trainer: "Trainer[Any]", steps: int) -> None:
    """Run to the end with a progress bar."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=trainer.processes.rank > 0) as bar:
        task = bar.add_task("training", total=steps, completed=trainer.step)

        def show(entry: dict[str, float]) -> None:
            bar.update(task, completed=entry["step"], description=f"loss {entry['loss']:.4f}")

        trainer.run(show)
