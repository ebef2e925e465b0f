"""The table of docs/compatibility.md: how rows are collected, written, read back and compared."""

from pathlib import Path

import pytest

from tests.compatibility import (
    BEGIN,
    COLUMNS,
    END,
    FOLDER,
    Compatibility,
    Row,
    covers_folder,
    differences,
    left_over,
    merged,
    read_table,
    table_of,
    write_table,
)

ONE, TWO = "tests/platforms/test_one.py", "tests/platforms/test_two.py"


@pytest.fixture
def rows() -> dict[str, Row]:
    """Three features of two sections."""
    return {
        "water": Row("One", ONE, {"Reference": "works", "CPU": "works"}),
        "`step(n)`": Row("One", ONE, {"Reference": "warned"}),
        "ghosts": Row("Two", TWO, {"Reference": "refused", "OpenCL-mixed": "refused"}),
    }


def page_of(rows: dict[str, Row]) -> str:
    prose = "# Prose\n\n| cell | meaning |\n|---|---|\n| works | it does |\n"
    return f"{prose}\n{BEGIN}\n\n{table_of(rows)}\n\n{END}\n\nMore.\n"


def test_a_table_reads_back(rows) -> None:
    """The prose's own table is none of it."""
    assert read_table(page_of(rows)) == rows


def test_platforms_that_are_seldom_here_get_columns_of_their_own(rows) -> None:
    rows["ghosts"].cells["CUDA-double"] = "works"
    assert f"| {' | '.join(COLUMNS)} | CUDA-double |" in table_of(rows)
    assert read_table(page_of(rows)) == rows


@pytest.mark.parametrize(
    ("results", "cell"),
    [
        (("works", "works"), "works"),
        (("works", "warned"), "warned"),
        (("refused", "works"), "refused"),
        (("FAILS", "works"), "FAILS"),
    ],
)
def test_what_counts_most_is_shown(results: tuple[str, str], cell: str) -> None:
    row = Row("One", ONE)
    for result in results:
        row.add("CPU", result)
    assert row.cells == {"CPU": cell}


def test_a_page_that_agrees_has_no_differences(rows) -> None:
    """Nor has one with more rows and cells than were run."""
    page = page_of(rows)
    assert differences(rows, page) == []
    del rows["water"], rows["ghosts"].cells["OpenCL-mixed"]
    assert differences(rows, page) == []


def test_other_results_missing_cells_and_missing_rows_are_differences(rows) -> None:
    page = page_of(rows)
    rows["water"].cells |= {"CPU": "FAILS", "OpenCL-single": "works"}
    rows["new"] = Row("Two", TWO, {"CPU": "works"})
    assert differences(rows, page) == [
        "water on CPU: the page has works, the test FAILS",
        "water on OpenCL-single: the page has no such cell, the test works",
        "new: the page has no such row",
    ]


def test_a_platform_without_a_column_is_not_compared(rows) -> None:
    """The page of a machine without a GPU isn't wrong on one that has it."""
    page = page_of(rows)
    rows["water"].cells["CUDA-mixed"] = "works"
    assert differences(rows, page) == []


def test_rows_without_a_test_are_left_over(rows) -> None:
    assert left_over({"water", "`step(n)`", "ghosts", "new"}, page_of(rows)) == []
    assert left_over({"water", "ghosts"}, page_of(rows)) == ["`step(n)`: no test shows this row"]


def test_some_tests_change_their_cells_alone(rows, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(page_of(rows), encoding="utf-8")
    found = {
        "water": Row("One", ONE, {"CPU": "refused"}),
        "late": Row("One", ONE, {"CPU": "works"}),
        "first": Row("Zero", "tests/platforms/test_a.py", {"CPU": "works"}),
    }
    write_table(found, page, everything=False)
    text = page.read_text(encoding="utf-8")
    expected = merged(found, rows)
    assert list(expected) == ["first", "water", "`step(n)`", "late", "ghosts"]  # by file
    assert expected["water"].cells == {"Reference": "works", "CPU": "refused"}
    assert read_table(text) == expected
    assert text.startswith("# Prose") and text.endswith("More.\n")


def test_a_whole_run_leaves_its_rows_only(rows, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(page_of(rows), encoding="utf-8")
    write_table({"late": Row("One", ONE, {"CPU": "works"})}, page, everything=True)
    assert list(read_table(page.read_text(encoding="utf-8"))) == ["late"]


def test_the_whole_folder_is_all_of_its_files() -> None:
    files = set(FOLDER.glob("test_*.py"))
    assert covers_folder(files | {Path("elsewhere/test_else.py")})
    assert not covers_folder(files - {FOLDER / "test_state.py"})


def test_everything_is_a_whole_folder_of_which_all_ran() -> None:
    collector = Compatibility()
    collector.whole, collector.ended = True, 3
    assert collector.everything(3)
    assert not collector.everything(4)  # stopped at a failure, or by Ctrl-C
    collector.deselected = True
    assert not collector.everything(3)
    collector.whole = collector.deselected = False
    assert not collector.everything(3)
