"""`openmm-unisim models`: the shipped weights and what they were made for."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("models")(models)


def models() -> None:
    """List the registered models with their metadata."""
    from rich.table import Table

    table = Table(title="Registered models")
    for column in (
        "name",
        "lag time",
        "temperature",
        "environment",
        "force field",
        "elements",
        "substeps",
        "licence",
        "SHA-256",
    ):
        table.add_column(column)
