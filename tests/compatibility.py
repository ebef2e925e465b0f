"""A pytest plugin: which features of OpenMM work on which platform, as a table that the tests themselves write.

A test belongs to a row by ``@pytest.mark.feature("rigid water")`` and to a column by its parameter `platform`. What a
passing test shows is that the feature works, or, with ``outcome="refused"`` or ``outcome="warned"``, that it is refused
or warned about by name. ``pytest tests/platforms -m "" --compatibility docs/compatibility.md`` writes the table between
the marks in that file; without the option, tests/platforms/test_written_page.py compares the file with what ran and
with what was collected.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

COLUMNS = ("Reference", "CPU", "OpenCL-single", "OpenCL-mixed", "OpenCL-double")
OUTCOMES = ("works", "refused", "warned")
BEGIN, END = "<!-- written by the tests, from here -->", "<!-- to here -->"
NOT_RUN = "·"
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "platforms"


@dataclass
class Row:
    """A feature: its section and file, and what its tests said on each platform."""

    section: str
    file: str
    cells: dict[str, str] = field(default_factory=dict)

    def add(self, platform: str, result: str) -> None:
        """Take in one test: a failure counts most, and a refusal or warning more than what works beside it."""
        order = ["works", "warned", "refused", "FAILS"]
        before = self.cells.get(platform)
        if before is None or order.index(result) > order.index(before):
            self.cells[platform] = result


class Compatibility:
    """Collects rows while tests run, and the features of all tests that were collected, the slow ones included."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.features: set[str] = set()
        self.whole = self.deselected = False
        self.ended = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Before markers and keywords choose among the tests."""
        self.features = features_of(items)
        named = any("::" in argument for argument in config.args) or config.getoption("lf", False)
        self.whole = not named and covers_folder({Path(item.path) for item in items})

    def pytest_deselected(self) -> None:
        """Some tests were not chosen."""
        self.deselected = True

    def pytest_runtest_logfinish(self) -> None:
        """Count the tests that came to an end."""
        self.ended += 1

    def everything(self, n_chosen: int) -> bool:
        """Whether every test of the folder ran: the rows are then all there are."""
        return self.whole and not self.deselected and self.ended == n_chosen

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        """Note what became of a test, and of the features it shows."""
        report = (yield).get_result()
        if report.skipped or not (report.failed or report.when == "call"):
            return
        for mark in item.iter_markers("feature"):
            name, outcome = mark.args[0], mark.kwargs.get("outcome", "works")
            row = self.rows.setdefault(name, Row(*place_of(item)))
            row.add(platform_of(item), "FAILS" if report.failed else outcome)


def place_of(item: pytest.Item) -> tuple[str, str]:
    """Section (the first line of the file's docstring) and path from the root of a test."""
    module = item.getparent(pytest.Module)
    assert module is not None
    first = (module.obj.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return first, Path(item.path).relative_to(ROOT).as_posix()


def platform_of(item: pytest.Item) -> str:
    """The test's parameter `platform`."""
    return str(item.callspec.params["platform"])  # type: ignore[attr-defined]


def covers_folder(paths: set[Path]) -> bool:
    """Whether tests of each file of tests/platforms are among those of `paths`, but for the check of the page."""
    return {path for path in FOLDER.glob("test_*.py") if path.name != "test_written_page.py"} <= paths


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The usual platforms, if tests ran on any of them, and after them others (CUDA) that tests ran on."""
    found = {platform for row in rows for platform in row.cells}
    usual = COLUMNS if found & set(COLUMNS) else ()
    return (*usual, *sorted(found - set(COLUMNS)))


def table_of(rows: dict[str, Row]) -> str:
    """Markdown: one table a section."""
    lines: list[str] = []
    section = None
    columns: tuple[str, ...] = ()
    for name, row in rows.items():
        if row.section != section:
            section = row.section
            columns = columns_of(other for other in rows.values() if other.section == section)
            lines += ["", f"### {section}", "", f"| [tests](../{row.file}) | {' | '.join(columns)} |"]
            lines.append("|---" * (len(columns) + 1) + "|")
        lines.append(f"| {name} | {' | '.join(row.cells.get(column, NOT_RUN) for column in columns)} |")
    return "\n".join(lines[1:])


def read_table(text: str) -> dict[str, Row]:
    """Rows of a page that `table_of` wrote into, by feature."""
    found: dict[str, Row] = {}
    columns: list[str] = []
    section = file = ""
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("### "):
            section = line[4:]
        elif line.startswith("| [tests]"):
            columns, file = cells[1:], cells[0].partition("(../")[2].rstrip(")")
        elif line.startswith("| "):
            ran = {column: cell for column, cell in zip(columns, cells[1:]) if cell != NOT_RUN}
            found[cells[0]] = Row(section, file, ran)
    return found


def differences(rows: dict[str, Row], page: str) -> list[str]:
    """Where a page disagrees with the tests that ran, or lacks a row or a cell of them; what didn't run isn't compared.

    Nor are platforms that the page has no column for: it was written on a machine without them.
    """
    written = read_table(page)
    columns = columns_of(written.values())
    found = []
    for name, row in rows.items():
        if name not in written:
            found.append(f"{name}: the page has no such row")
            continue
        for platform, result in row.cells.items():
            there = written[name].cells.get(platform, "no such cell")
            if platform in columns and there != result:
                found.append(f"{name} on {platform}: the page has {there}, the test {result}")
    return found


def left_over(features: set[str], page: str) -> list[str]:
    """Rows of a page that none of the features, of all tests that were collected, stands behind."""
    return [f"{name}: no test shows this row" for name in read_table(page) if name not in features]


def merged(rows: dict[str, Row], before: dict[str, Row]) -> dict[str, Row]:
    """The rows of an earlier page with what a run of some of the tests found, files in the order of a whole run."""
    found = dict(before)
    for name, row in rows.items():
        old = before.get(name, Row("", "")).cells
        found[name] = Row(row.section, row.file, {**old, **row.cells})
    return dict(sorted(found.items(), key=lambda item: item[1].file))


def write_table(rows: dict[str, Row], path: Path, everything: bool) -> None:
    """Replace what stands between the marks, or, after a run of some of the tests, those cells of it."""
    text = path.read_text(encoding="utf-8")
    before, mark, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    assert mark, f"{path} lacks the line {BEGIN}"
    chosen = rows if everything else merged(rows, read_table(text))
    path.write_text(f"{before}{BEGIN}\n\n{table_of(chosen)}\n\n{END}{after}", encoding="utf-8")


def features_of(items: list[pytest.Item]) -> set[str]:
    """Features that tests were collected for."""
    return {mark.args[0] for item in items for mark in item.iter_markers("feature")}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes the page."""
    parser.addoption("--compatibility", metavar="PAGE", help="write the table of platforms into this page")


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and the collector, which sees the tests of its own process only."""
    if config.getoption("--compatibility") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--compatibility wants one process: leave -n out")
    config.addinivalue_line(
        "markers",
        "feature(name, outcome='works'): a row of docs/compatibility.md; outcome: works, refused, warned",
    )
    config.pluginmanager.register(Compatibility(), "compatibility-collector")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse marks that would be lost."""
    for item in items:
        for mark in item.iter_markers("feature"):
            if mark.kwargs.get("outcome", "works") not in OUTCOMES or "platform" not in getattr(
                getattr(item, "callspec", None), "params", {}
            ):
                raise pytest.UsageError(
                    f"{item.nodeid}: `feature` needs a parameter `platform` and a known outcome"
                )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page if asked to."""
    page = session.config.getoption("--compatibility")
    collector = session.config.pluginmanager.get_plugin("compatibility-collector")
    if page and collector is not None:
        write_table(collector.rows, Path(page), collector.everything(session.testscollected))
