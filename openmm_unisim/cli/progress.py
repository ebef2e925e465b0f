"""What a run shows on a terminal: stages, then one bar with speed, acceptance and the time left."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..simulation.observer import JumpProgress, RunObserver

__all__ = ["TerminalObserver"]


class TerminalObserver(RunObserver):
    """Rich progress of a run; draws nothing where `console` is no terminal, where only warnings are printed.

    Parameters
    ----------
    console : rich.console.Console
    total : int
        Jumps of the whole run.
    what : str
        What is counted, if not jumps.
    """

    def __init__(self, console: Console, total: int, what: str = "jumps"):
        self._console = console
        self._what = what
        self._total = total
        self._stop = False
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._stages: dict[str, TaskID] = {}
        self._jumps: TaskID | None = None

    def __enter__(self) -> "TerminalObserver":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def request_stop(self) -> None:
        """End the run after the jump in hand."""
        self._stop = True

    def should_stop(self) -> bool:
        """Whether `request_stop` was called."""
        return self._stop

    def warn(self, message: str) -> None:
        """Print a warning."""
        self._console.print(f"Warning: {message}", highlight=False, markup=False, soft_wrap=True)

    def stage(self, text: str, fraction: float) -> None:
        """Show a step before the jumps; Ctrl-C during it ends the program, since there is nothing to save."""
        if self._stop:
            raise KeyboardInterrupt
        if text not in self._stages:
            self._stages[text] = self._bars.add_task(text, total=100, speed="")
        self._bars.update(self._stages[text], completed=round(100 * fraction))

    def jump(self, progress: JumpProgress) -> None:
        """Show a jump."""
        if self._jumps is None:
            self._jumps = self._bars.add_task(
                self._what.capitalize(), total=self._total, speed="", completed=progress.done - 1
            )
        speed = (
            f"{progress.jumps_per_s:.3g} {self._what}/s, {progress.ns_per_day:,.0f} ns/day, "
            f"{100 * progress.acceptance:.4g} % kept"
        )
        self._bars.update(self._jumps, completed=progress.done, speed=speed)
