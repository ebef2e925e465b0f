"""`openmm-unisim hybrid`: MD and jumps in turn, by a protocol."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..hybrid.preparation import HybridSettings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("hybrid")(hybrid)


def hybrid(
    protocol: Annotated[str, typer.Argument(help="explore, sample, seed, or a YAML file.")],
    input: Annotated[
        str | None,
        typer.Argument(
            help="PDB, mmCIF or prmtop file, a sequence such as ACE-ALA-NME, or a listed small molecule."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Registered name (see `openmm-unisim models`) or a model file.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Run folder.")] = None,
    cycles: Annotated[
        int | None, typer.Option(help="Number of cycles in all, instead of the protocol's.")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="vacuum or obc2; the model's unless told.")] = None,
    seed: Annotated[int, typer.Option(help="One seed for everything, at least 1.")] = 1,
    platform: Annotated[
        str | None, typer.Option(help="OpenMM platform; Reference below 50 atoms, else CPU, unless told.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="K; the model's training temperature unless told.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Add missing heavy atoms and hydrogens (pH 7) to a PDB file.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the protocol, to copy and change, and do nothing.")
    ] = False,
    parameters: Annotated[
        Path, typer.Option(help="Folder of small molecules' Amber files; made there if absent.")
    ] = Path("data/parameters"),
) -> None:
    """MD and jumps in turn: explore conformations, sample exactly, or spread start points.

    The run can be interrupted, or killed, at any moment and continued with --resume.
    """
    from ..hybrid.preparation import HybridSettings
    from ..hybrid.protocol import load_protocol, protocol_text
    from ..hybrid.runner import run_hybrid
    from .simulate import INTERRUPTED, _known

    if show:
        print(protocol_text(protocol), end="")
        return
    missing = [
        name for name, value in (("INPUT", input), ("--model", model), ("--output", output)) if value is None
    ]
    if missing or input is None or model is None or output is None:
        raise ConfigError(f"{', '.join(missing)} must be given; `openmm-unisim hybrid --help` shows how.")
    changes = {} if cycles is None else {"cycles": cycles}
    settings = HybridSettings(
        _known(input, parameters), model, output, load_protocol(protocol, **changes), environment, temperature,
        seed, platform, repair,
    )  # fmt: skip
    record = _run(settings, resume, run_hybrid)
    if record["status"] == "interrupted":
        print(
            f"Interrupted after {record['cycles']['done']} of {settings.protocol.cycles} cycles; --resume continues.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED)
    print(_summary(record, settings))


def _run(settings: "HybridSettings", resume: bool, run_hybrid: Any) -> dict[str, Any]:
    """With progress on a terminal; a first Ctrl-C, or SIGTERM, lets the cycle in hand finish and saves."""
    from rich.console import Console

    from .progress import TerminalObserver
    from .simulate import _first_signal_calls

    observer = TerminalObserver(Console(stderr=True), settings.protocol.cycles, "cycles")
    with _first_signal_calls(observer.request_stop), observer:
        result: dict[str, Any] = run_hybrid(settings, resume=resume, observer=observer)
    return result


def _summary(record: dict[str, Any], settings: "HybridSettings") -> str:
    cycles = record["cycles"]
    rejected = (
        ", ".join(f"{name} {number}" for name, number in cycles["rejected"].items() if number) or "none"
    )
    lines = [
        f"{cycles['done']} cycles in {settings.output}: {cycles['cycles_per_s']:.3g} cycles/s, "
        f"{cycles['md_time_ps']:.6g} ps of MD and {cycles['jump_time_ps']:.6g} ps of jumps",
        f"{cycles['accepted']} of {cycles['jumps']} jumps accepted; rejected: {rejected}",
    ]
    if cycles["ghmc_acceptance"] is not None:
        lines.append(f"{100 * cycles['ghmc_acceptance']:.3g} % of the MD steps accepted")
    lines.append(
        "The force field's distribution is sampled exactly; how well depends on the acceptance and the length."
        if record["exact"]
        else "The distribution is not exactly the force field's."
    )
    if "start_points" in record:
        found = record["start_points"]
        lines.append(f"{found['number']} start points in {settings.output / 'seeds'}; see run.py there")
    return "\n".join(lines)
