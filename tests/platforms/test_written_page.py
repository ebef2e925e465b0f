"""docs/compatibility.md says what the tests of this run found. Last in the folder, since it looks at the others."""

import pytest

from tests.compatibility import ROOT, differences

PAGE = ROOT / "docs" / "compatibility.md"


def test_the_page_agrees_with_this_run(request: pytest.FixtureRequest) -> None:
    """Cells of platforms that aren't here, of tests that weren't chosen, and that the page lacks aren't compared."""
    if request.config.getoption("--compatibility"):
        pytest.skip("the page is written by this run")
    collector = request.config.pluginmanager.get_plugin("compatibility-collector")
    wrong = differences(collector.rows, PAGE.read_text(encoding="utf-8"))
    assert not wrong, "\n".join(
        ["run pytest tests/platforms -m '' --compatibility docs/compatibility.md", *wrong]
    )
