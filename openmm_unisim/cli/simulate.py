"""`openmm-unisim simulate`: jumps from a molecule to a run folder, with a report."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError

if TYPE_CHECKING:
    from ..simulation.guidance_settings import GuidanceSettings
    from ..simulation.preparation import RunSettings
    from ..simulation.runner import RunObserver

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("simulate")(simulate)


def simulate(
    input: Annotated[
        str,
        typer.Argument(
            help="PDB, mmCIF or prmtop file, a sequence such as ACE-ALA-NME, or a listed small molecule."
        ),
    ],
    model: Annotated[str, typer.Option(help="Registered name (see `openmm-unisim models`) or a model file.")],
    output: Annotated[Path, typer.Option(help="Run folder.")],
    jumps: Annotated[int, typer.Option(help="Number of jumps in all.")] = 1000,
    environment: Annotated[str | None, typer.Option(help="vacuum or obc2; the model's unless told.")] = None,
    seed: Annotated[int, typer.Option(help="One seed for everything, at least 1.")] = 1,
    platform: Annotated[
        str | None, typer.Option(help="OpenMM platform; Reference below 50 atoms, else CPU, unless told.")
    ] = None,
    substeps: Annotated[
        int, typer.Option(help="Network evaluations in a jump; 0 is the model's default.")
    ] = 0,
    temperature: Annotated[
        float | None, typer.Option(help="K; the model's training temperature unless told.")
    ] = None,
    policy: Annotated[
        str, typer.Option(help="For jumps that break the molecule: reject, stop or keep.")
    ] = "reject",
    reference: Annotated[
        Path | None, typer.Option(help="MD trajectory to compare with; shipped for alanine dipeptide.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    report: Annotated[bool, typer.Option(help="Write report.html and report.json at the end.")] = True,
    thermalise: Annotated[float, typer.Option(help="ps of MD before the first jump.")] = 50.0,
    md_timing: Annotated[
        float, typer.Option(help="Seconds spent on timing MD for comparison; 0 for none.")
    ] = 2.5,
    checkpoint_interval: Annotated[int, typer.Option(help="Jumps between checkpoints.")] = 100,
    repair: Annotated[
        bool, typer.Option("--repair", help="Add missing heavy atoms and hydrogens (pH 7) to a PDB file.")
    ] = False,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            help="Strength of the model's guidance to another environment: 0 none, 1 as calibrated; the "
            "model's default unless told. Guidance moves populations, not kinetics."
        ),
    ] = None,
    guidance_source: Annotated[
        str | None,
        typer.Option(help="none, learned, openmm, openmm+residual or resample; the model's unless told."),
    ] = None,
    guidance_groups: Annotated[
        str, typer.Option(help="Force groups that guide, such as 1,3; the solvent's, 1, unless told.")
    ] = "",
    resample: Annotated[
        int, typer.Option(help="Guidance source resample: among how many jumps one is chosen; 8 unless told.")
    ] = 0,
    guidance_force: Annotated[
        list[Path] | None,
        typer.Option(help="XML of an OpenMM Force to be guided by, added in force group 2; may be repeated."),
    ] = None,
    guidance_force_limit: Annotated[
        float, typer.Option(help="Longest guiding force on an atom, kJ/mol/nm; longer ones are cut. 0: none.")
    ] = 0.0,
    refine: Annotated[
        bool,
        typer.Option("--refine", help="Minimise after each jump, restrained to it; populations suffer."),
    ] = False,
    parameters: Annotated[
        Path, typer.Option(help="Folder of small molecules' Amber files; made there if absent.")
    ] = Path("data/parameters"),
) -> None:
    """Simulate with a learned integrator: one jump is one lag time of the model.

    A jump that would break the molecule is refused and counted (--policy). The run can be interrupted, or
    killed, at any moment and continued with --resume.
    """
    from ..simulation.preparation import RunSettings
    from ..simulation.runner import run_simulation

    if reference is not None and not reference.is_file():
        raise DataError(
            f"There is no reference trajectory '{reference}'; check the path or leave --reference out."
        )
    if report:  # what it needs is missing now or never
        from ..evaluation.run.report import write_report

    input = _known(input, parameters)
    settings = RunSettings(
        input, model, output, jumps, environment, temperature, substeps, seed, platform, policy, thermalise,
        md_timing, checkpoint_interval, repair, guidance_scale,
        _guidance(guidance_source, guidance_groups, resample, guidance_force, guidance_force_limit), refine,
    )  # fmt: skip
    if reference is not None:
        _check_reference(reference, settings)
    with _observer(settings) as observer:
        record = run_simulation(settings, resume=resume, observer=observer)
    if record["status"] == "interrupted":
        print(
            f"Interrupted after {record['jumps']['done']} of {jumps} jumps; --resume continues.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED)
    print(_summary(record, settings))
    if report:
        write_report(output, reference or "auto")
        print(f"Report: {output / 'report.html'}")


def _guidance(
    source: str | None, groups: str, resampled: int, forces: list[Path] | None, limit: float
) -> "GuidanceSettings":
    from ..errors import ConfigError
    from ..simulation.guidance_settings import GuidanceSettings

    try:
        numbers = tuple(int(text) for text in groups.split(",") if text.strip())
    except ValueError as error:
        raise ConfigError(f"--guidance-groups '{groups}' must be numbers such as 1,3.") from error
    return GuidanceSettings(source, numbers, resampled, limit, tuple(str(path) for path in forces or []))


def _known(input: str, parameters: Path) -> str:
    """The Amber topology of a listed small molecule; any other input as it is."""
    from ..data.molecule_list import listed
    from ..data.small_molecule import parameterise

    formulas = {entry.name: entry.formula for entry in listed(kind="small-molecule")}
    if input not in formulas or Path(input).is_file():
        return input
    return str(parameterise(input, formulas[input], parameters))


def _check_reference(reference: Path, settings: "RunSettings") -> None:
    """A trajectory that can't be read, or of other atoms, is told before the jumps and not after them."""
    import mdtraj

    from ..evaluation.reference import trajectory_reference
    from ..simulation.preparation import load_input

    trajectory_reference(reference, mdtraj.Topology.from_openmm(load_input(settings).topology))


@contextmanager
def _observer(settings: "RunSettings") -> Iterator["RunObserver"]:
    """Progress on a terminal, nothing else; a first Ctrl-C, or SIGTERM, lets the jump in hand finish and saves."""
    from rich.console import Console

    from .progress import TerminalObserver

    observer = TerminalObserver(Console(stderr=True), settings.jumps)
    with _first_signal_calls(observer.request_stop), observer:
        yield observer


@contextmanager
def _first_signal_calls(action: Callable[[], None]) -> Iterator[None]:
    """While this lasts, the first SIGINT or SIGTERM calls `action`; a second one does what it did before."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)

    def restore() -> None:
        for number in signals:
            signal.signal(number, previous[number])

    def first(number: int, frame: FrameType | None) -> None:
        restore()
        action()

    previous = {number: signal.signal(number, first) for number in signals}
    try:
        yield
    finally:
        restore()


def _summary(record: dict[str, Any], settings: "RunSettings") -> str:
    jumps, counts = record["jumps"], record["jumps"]["counts"]
    lines = [
        f"{jumps['done']} jumps of {record['lag_time_ps']:g} ps in {settings.output}: "
        f"{jumps['jumps_per_s']:.1f} jumps/s, {jumps['ns_per_day']:,.0f} ns/day of model time",
        f"{jumps['accepted']} accepted; broken before any rejection: {counts['broken']} "
        f"(NaN {counts['nan']}, bonds {counts['bond']}, chirality {counts['chirality']}, "
        f"clashes {counts['clash']})",
    ]
    md = record["md"].get("run_well", {})
    rate = md.get("ns_per_day")
    if rate and jumps["ns_per_day"]:
        lines.insert(
            1,
            f"MD run well on this machine ({md['platform']}, {md['time_step_fs']:g} fs): {rate:,.0f} ns/day; "
            f"nominal ratio {jumps['ns_per_day'] / rate:.2f}",
        )
    return "\n".join(lines)
