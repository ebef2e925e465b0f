"""`openmm-unisim doctor`: what is wrong with this installation, and what to do about it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..doctor.finding import Finding

_MARKS = {"ok": "ok", "note": "note", "fault": "FAULT"}
_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor")(doctor)


def doctor(
    files: Annotated[list[Path] | None, typer.Argument(help="Model files to look at, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    self_test: Annotated[
        bool, typer.Option(help="Make a few jumps of a shipped model on each platform.")
    ] = True,
) -> None:
    """Look at versions, the compiled plugin, OpenMM's platforms, model files and settings; exit status 1 for a fault.

    Each line that isn't in order says what to do about it.
    """
    from ..doctor.examine import examine

    found = examine(files or [], self_test)
    faults = sum(finding.level == "fault" for finding in found)
    if as_json:
        print(json.dumps({"faults": faults, "findings": [asdict(finding) for finding in found]}, indent=1))
    else:
        _print(found, faults)
    raise typer.Exit(1 if faults else 0)


def _print(found: "list[Finding]", faults: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(show_lines=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    section = None
    for finding in found:
        if finding.section != section:
            table.add_section()
            section = finding.section
        style = _STYLES[finding.level]
        cells = (finding.name, finding.text, finding.cure)
        table.add_row(f"[{style}]{_MARKS[finding.level]}[/]", *(escape(text) for text in cells))
    console.print(table)
    console.print(
        "Everything that is needed works."
        if not faults
        else f"{faults} fault{'s' if faults > 1 else ''}; the last column says what to do."
    )
