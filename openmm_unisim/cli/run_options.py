"""What the commands that make jumps share: options, the observer on a terminal, and how an interrupted run ends."""

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, JumpWarning

if TYPE_CHECKING:
    from ..simulation.guidance_settings import GuidanceSettings
    from .progress import TerminalObserver

INTERRUPTED = 130
PARAMETERS = Path("data/parameters")

INPUT = "PDB, mmCIF or prmtop file, a sequence such as ACE-ALA-NME, or a listed small molecule."
Model = Annotated[str, typer.Option(help="Registered name (see `openmm-unisim models`) or a model file.")]
ModelArgument = Annotated[
    str, typer.Argument(help="Registered name (see `openmm-unisim models`) or a model file.")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run a model file from elsewhere; it is a program, so know its source."),
]
Sha256 = Annotated[
    str | None,
    typer.Option(help="Run a model file from elsewhere if it has this SHA-256.", show_default=False),
]
Output = Annotated[Path, typer.Option(help="Run folder.")]
Environment = Annotated[str | None, typer.Option(help="vacuum or obc2; the model's unless told.")]
Seed = Annotated[int, typer.Option(help="One seed for everything, at least 1.")]
Platform = Annotated[
    str | None, typer.Option(help="OpenMM platform; Reference below 50 atoms, else CPU, unless told.")
]
Substeps = Annotated[int, typer.Option(help="Network evaluations in a jump; 0 is the model's default.")]
Temperature = Annotated[float | None, typer.Option(help="K; the model's training temperature unless told.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")]
Repair = Annotated[
    bool, typer.Option("--repair", help="Add missing heavy atoms and hydrogens (pH 7) to a PDB file.")
]
Parameters = Annotated[
    Path, typer.Option(help="Folder of small molecules' Amber files; made there if absent.")
]
CheckpointInterval = Annotated[int, typer.Option(help="Jumps between checkpoints.")]
Refine = Annotated[
    bool, typer.Option("--refine", help="Minimise after each jump, restrained to it; populations suffer.")
]
GuidanceScale = Annotated[
    float | None,
    typer.Option(
        help="Strength of the model's guidance to another environment: 0 none, 1 as calibrated; the "
        "model's default unless told. Guidance moves populations, not kinetics."
    ),
]
GuidanceSource = Annotated[
    str | None,
    typer.Option(help="none, learned, openmm, openmm+residual or resample; the model's unless told."),
]
GuidanceGroups = Annotated[
    str, typer.Option(help="Force groups that guide, such as 1,3; the solvent's, 1, unless told.")
]
Resample = Annotated[
    int, typer.Option(help="Guidance source resample: among how many jumps one is chosen; 8 unless told.")
]
GuidanceForce = Annotated[
    list[Path] | None,
    typer.Option(help="XML of an OpenMM Force to be guided by, added in force group 2; may be repeated."),
]
GuidanceForceLimit = Annotated[
    float, typer.Option(help="Longest guiding force on an atom, kJ/mol/nm; longer ones are cut. 0: none.")
]


def guidance_of(
    source: str | None, groups: str, resampled: int, forces: list[Path] | None, limit: float
) -> "GuidanceSettings":
    """The settings that the five options of guidance make."""
    from ..simulation.guidance_settings import GuidanceSettings

    try:
        numbers = tuple(int(text) for text in groups.split(",") if text.strip())
    except ValueError as error:
        raise ConfigError(f"--guidance-groups '{groups}' must be numbers such as 1,3.") from error
    return GuidanceSettings(source, numbers, resampled, limit, tuple(str(path) for path in forces or []))


def known_input(input: str, parameters: Path) -> str:
    """The Amber topology of a listed small molecule; any other input as it is."""
    from ..data.molecule_list import listed
    from ..data.small_molecule import parameterise

    formulas = {entry.name: entry.formula for entry in listed(kind="small-molecule")}
    if input not in formulas or Path(input).is_file():
        return input
    return str(parameterise(input, formulas[input], parameters))


def vouched(model: str, trust: bool, sha256: str | None) -> str:
    """The model as it is, for which --trust or --sha256 vouches in this process and those that it starts."""
    from ..pretrained.trust import trust_for_children, trust_model

    if trust or sha256 is not None:
        trust_for_children(trust_model(model, sha256))
    return model


@contextmanager
def observing(total: int, what: str = "jumps") -> Iterator["TerminalObserver"]:
    """Progress on a terminal, nothing else; a first Ctrl-C, or SIGTERM, lets what is in hand finish and saves."""
    from rich.console import Console

    from .progress import TerminalObserver

    observer = TerminalObserver(Console(stderr=True), total, what)
    with _first_signal_calls(observer.request_stop), warnings.catch_warnings(), observer:
        # the environment is one of the settings, of which the run itself warns in a sentence of its own
        warnings.filterwarnings("ignore", "The System has (no|an implicit) solvent", JumpWarning)
        yield observer


def exit_interrupted(done: int, total: int, what: str, how: str) -> None:
    """Say how far an interrupted run came and how it goes on; the process ends with `INTERRUPTED`."""
    print(f"Interrupted after {done} of {total} {what}; {how}.", file=sys.stderr)
    raise typer.Exit(INTERRUPTED)


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
