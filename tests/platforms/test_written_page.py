"""docs/compatibility.md says what the tests of this run found. Last in the folder, since it looks at the others."""

import pytest

from tests.compatibility import ROOT, Compatibility, differences, left_over

PAGE = ROOT / "docs" / "compatibility.md"
CURE = "run pytest tests/platforms -m '' --compatibility docs/compatibility.md"


@pytest.fixture
def collector(request: pytest.FixtureRequest) -> Compatibility:
    """What this run found, unless it writes the page."""
    if request.config.getoption("--compatibility"):
        pytest.skip("the page is written by this run")
    return request.config.pluginmanager.get_plugin("compatibility-collector")


def test_the_page_agrees_with_this_run(collector: Compatibility) -> None:
    """Cells of platforms that aren't here, and of tests that weren't chosen, aren't compared."""
    wrong = differences(collector.rows, PAGE.read_text(encoding="utf-8"))
    assert not wrong, "\n".join([CURE, *wrong])


def test_each_row_of_the_page_has_a_test(collector: Compatibility) -> None:
    """A test that isn't chosen counts: slow ones alone stand behind some rows."""
    if not collector.whole:
        pytest.skip("only some of the folder's tests were collected")
    wrong = left_over(collector.features, PAGE.read_text(encoding="utf-8"))
    assert not wrong, "\n".join([CURE, *wrong])
