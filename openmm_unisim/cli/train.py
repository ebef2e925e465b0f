"""`openmm-unisim train vector-field`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(help="Train a network.", no_args_is_help=True)
    group.command("vector-field")(vector_field)
    group.callback()(lambda: None)
    app.add_typer(group, name="train")


def vector_field(
    config: Annotated[Path, typer.Argument(help="JSON file of VectorFieldConfig.")],
    output: Annotated[Path, typer.Option(help="Run folder; a run in it is continued.")],
    steps: Annotated[int, typer.Option(help="Replaces the config's number of steps if given.")] = 0,
    start: Annotated[
        Path | None, typer.Option("--start-from", help="Replaces the config's start_from if given.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Cores to use; a run repeats exactly with as many.")] = 1,
) -> None:
    """Train the conditioned vector field; resumes exactly from the run folder."""
    import torch
    from pydantic import ValidationError
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from .._plugin import operators_are_built
    from ..errors import ConfigError
    from ..memory import keep_freed_memory
    from ..training.config import VectorFieldConfig
    from ..training.vector_field import VectorFieldTrainer

    keep_freed_memory()
    torch.set_flush_denormal(True)  # denormals in radial tails cost a factor of three
    try:
        settings = VectorFieldConfig.model_validate_json(config.read_text())
    except OSError as error:
        raise ConfigError(f"'{config}' can't be read ({error.strerror}); give a JSON file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"'{config}' is not a valid training configuration: {where}: {first['msg']}; see VectorFieldConfig."
        ) from error
    if steps:
        settings = settings.model_copy(update={"steps": steps})
    if start is not None:
        settings = settings.model_copy(update={"start_from": str(start)})
    torch.set_num_threads(1 if settings.fused and operators_are_built() else threads)
    trainer = VectorFieldTrainer(settings, output, threads)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=settings.steps, completed=trainer.step)

        def show(entry: dict[str, float]) -> None:
            bar.update(task, completed=entry["step"], description=f"loss {entry['loss']:.4f}")

        trainer.run(show)
    print(f"{trainer.state_path}: {trainer.step} steps")
