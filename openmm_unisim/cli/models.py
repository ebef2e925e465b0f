"""`openmm-unisim models`: the shipped weights and what they were made for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..export.metadata import ModelMetadata


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("models")(models)


def models(
    name: Annotated[
        str | None, typer.Argument(help="A registered name or a model file, for all of it.")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Trust this file from now on: it is a program, so know its source."),
    ] = False,
    sha256: Annotated[
        str | None,
        typer.Option(help="The SHA-256 that the file must have to be trusted.", show_default=False),
    ] = None,
) -> None:
    """List the registered models; with NAME, show everything that a model file says about itself."""
    from rich.console import Console

    from ..export.metadata import read_metadata
    from ..pretrained.registry import registered_models, resolve_model

    console = Console()
    if name is None and (trust or sha256 is not None):
        raise ConfigError("--trust and --sha256 are about one file; name it.")
    if name is not None:
        path = resolve_model(name)
        console.print(_details(path, read_metadata(path)), soft_wrap=True)
        if trust or sha256 is not None:
            _trust(path, trust, sha256)
        return
    registered = registered_models()
    if not registered:
        console.print(
            "No weights are shipped yet; train some with `openmm-unisim train`, or give a model file."
        )
        return
    rows = [
        (model.name, read_metadata(resolve_model(model.name)), model.path.stat().st_size)
        for model in registered.values()
    ]
    console.print(_overview(rows))
    console.print("`openmm-unisim models NAME` shows everything that a model file says about itself.")


def _trust(path: Path, trust: bool, sha256: str | None) -> None:
    """Compare the SHA-256, and note the file as trusted where that is asked for."""
    from ..pretrained.trust import list_file, remember, trust_model

    digest = trust_model(path, sha256)
    if not trust:
        print("It has the SHA-256 that was given.")
    elif remember(path, digest, "trusted"):
        print(f"From now on this account runs files of this content; {list_file()} says so.")


def _overview(rows: list[tuple[str, "ModelMetadata", int]]):  # type: ignore[no-untyped-def]
    """A table with one line a model, narrow enough for 80 columns."""
    from rich.table import Table

    table = Table(title="Registered models")
    for heading, whole in (("name", True), ("lag", True), ("trained on", False), ("environment", False), ("K", True),
                           ("MB", True)):  # fmt: skip
        table.add_column(heading, no_wrap=whole)
    for name, metadata, size in rows:
        table.add_row(
            name,
            f"{metadata.lag_time_ps:g} ps",
            metadata.training_data.split(f", {metadata.environment}")[0],
            metadata.environment
            + (f", guided to {metadata.guidance_environment}" if metadata.guidance_environment else ""),
            f"{metadata.training_temperature_K:g}",
            f"{size / 1e6:.1f}",
        )
    return table


def _details(path: Path, metadata: "ModelMetadata"):  # type: ignore[no-untyped-def]
    """A table with one line a key."""
    from rich.table import Table

    from ..provenance import sha256_of_file

    table = Table(title=str(path), show_header=False)
    for key, value in {**metadata.to_strings(), "sha256 of the file": sha256_of_file(path)}.items():
        table.add_row(key, value)
    return table
