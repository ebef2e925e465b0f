"""The command `openmm-unisim`: collects the sub-commands and turns errors into one sentence.

Each command is one module of this package with a function ``register(app)``. Modules are imported when the
program starts, their libraries (torch, OpenMM, mdtraj) inside the command only, so that ``--help`` stays quick.
"""

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import UniSimError

__all__ = ["COMMANDS", "app", "main"]

COMMANDS = (
    "generate",
    "data",
    "parameterise",
    "train",
    "export",
    "calibrate_guidance",
    "simulate",
    "hybrid",
    "replicas",
    "solvent",
    "evaluate",
    "benchmark",
    "models",
    "doctor",
)
USER_ERROR = 2  # exit status of an error that the user can cure
INTERRUPTED = 130


class ErrorSentenceGroup(TyperGroup):
    """Shows a named error as one sentence, exit status 2, or with ``--debug`` its traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept ``--debug`` anywhere on the line: move it to the front, where click takes it."""
        end = args.index("--") if "--" in args else len(args)
        rest = [arg for arg in args[:end] if arg != "--debug"] + args[end:]
        return super().parse_args(ctx, ["--debug", *rest] if len(rest) < len(args) else rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            sentence = _sentence(error)
            if sentence is None or ctx.params.get("debug"):
                raise
            print(f"Error: {sentence}", file=sys.stderr)
            ctx.exit(USER_ERROR)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            ctx.exit(INTERRUPTED)


def _sentence(error: Exception) -> str | None:
    """What to tell the user; None for an error that is a fault of this program."""
    openmm = sys.modules.get("openmm")
    if isinstance(error, UniSimError) or (openmm is not None and isinstance(error, openmm.OpenMMException)):
        return " ".join(str(error).split())
    return None


app = typer.Typer(
    cls=ErrorSentenceGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learned, time-coarsened molecular dynamics inside OpenMM.",
)


def _show_version(value: bool) -> None:
    if value:
        from .. import __version__

        print(__version__)
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    pass


def _register_all() -> None:
    for name in COMMANDS:
        try:
            module = importlib.import_module(f"{__package__}.{name}")
        except ModuleNotFoundError as error:
            _register_unavailable(name, error.name or "a module")
        else:
            module.register(app)


def _register_unavailable(name: str, missing: str) -> None:
    """A command whose import fails says what it lacks when it is called; the others keep working."""

    @app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def unavailable() -> None:
        raise UniSimError(
            f"`openmm-unisim {name}` needs the Python package '{missing}'; install the requirements."
        )

    unavailable.__doc__ = f"(not available: '{missing}' is missing)"


_register_all()


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
