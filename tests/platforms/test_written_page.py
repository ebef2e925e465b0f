"""docs/compatibility.md says what the tests of this run found. Last in the folder, since it looks at the others."""

import pytest

from tests.compatibility import ROOT, differences, features_of, read_table

PAGE = ROOT / "docs" / "compatibility.md"


def test_the_page_agrees_with_this_run(request: pytest.FixtureRequest) -> None:
    """Cells of platforms that aren't here, and of tests that weren't chosen, aren't compared."""
    if request.config.getoption("--compatibility"):
        pytest.skip("the page is written by this run")
    collector = request.config.pluginmanager.get_plugin("compatibility-collector")
    wrong = differences(collector.rows, PAGE.read_text())
    assert not wrong, "\n".join(
        ["run pytest tests/platforms -m '' --compatibility docs/compatibility.md", *wrong]
    )


def test_the_page_has_the_rows_that_there_are(request: pytest.FixtureRequest) -> None:
    rows, collected = set(read_table(PAGE.read_text())), features_of(request.session.items)
    assert collected <= rows, f"missing in the page: {sorted(collected - rows)}"
