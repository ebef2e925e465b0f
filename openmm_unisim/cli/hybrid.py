"""`openmm-unisim hybrid`: MD and jumps in turn, by a protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .run_options import (
    INPUT,
    PARAMETERS,
    Environment,
    Parameters,
    Platform,
    Repair,
    Resume,
    Seed,
    Sha256,
    Temperature,
    Trust,
    exit_interrupted,
    known_input,
    observing,
    vouched,
)

if TYPE_CHECKING:
    from ..hybrid.preparation import HybridSettings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("hybrid")(hybrid)


def hybrid(
    protocol: Annotated[str, typer.Argument(help="explore, sample, seed, or a YAML file.")],
    input: Annotated[str | None, typer.Argument(help=INPUT)] = None,
    model: Annotated[
        str | None, typer.Option(help="Registered name (see `openmm-unisim models`) or a model file.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Run folder.")] = None,
    cycles: Annotated[
        int | None, typer.Option(help="Number of cycles in all, instead of the protocol's.")
    ] = None,
    environment: Environment = None,
    seed: Seed = 1,
    platform: Platform = None,
    temperature: Temperature = None,
    resume: Resume = False,
    repair: Repair = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the protocol, to copy and change, and do nothing.")
    ] = False,
    parameters: Parameters = PARAMETERS,
    trust: Trust = False,
    sha256: Sha256 = None,
) -> None:
    """MD and jumps in turn: explore conformations, sample exactly, or spread start points.

    The run can be interrupted, or killed, at any moment and continued with --resume.
    """
    from ..hybrid.preparation import HybridSettings
    from ..hybrid.protocol import load_protocol, protocol_text
    from ..hybrid.runner import run_hybrid

    if show:
        print(protocol_text(protocol), end="")
        return
    missing = [
        name for name, value in (("INPUT", input), ("--model", model), ("--output", output)) if value is None
    ]
    if missing or input is None or model is None or output is None:
        raise ConfigError(f"{', '.join(missing)} must be given; `openmm-unisim hybrid --help` shows how.")
    model = vouched(model, trust, sha256)
    changes = {} if cycles is None else {"cycles": cycles}
    settings = HybridSettings(
        known_input(input, parameters), model, output, load_protocol(protocol, **changes),
        environment, temperature, seed, platform, repair,
    )  # fmt: skip
    with observing(settings.protocol.cycles, "cycles") as observer:
        record = run_hybrid(settings, resume=resume, observer=observer)
    if record["status"] == "interrupted":
        exit_interrupted(record["cycles"]["done"], settings.protocol.cycles, "cycles", "--resume continues")
    print(_summary(record, settings))


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
