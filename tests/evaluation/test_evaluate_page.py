"""The page and the Markdown of an evaluation: complete, escaped, self-contained; drawn by headless Chromium."""

import json
import re
from copy import deepcopy

import numpy as np
import pytest

from openmm_unisim.evaluation.comparison import load_comparison
from openmm_unisim.evaluation.page.evaluation_page import evaluation_page
from openmm_unisim.evaluation.page.figures import autocorrelation, tic_surface
from openmm_unisim.evaluation.page.markdown import evaluation_markdown, markdown_table
from openmm_unisim.evaluation.page.metric_text import verdict
from openmm_unisim.evaluation.sections import SectionArrays
from tests.evaluation.evaluations import evaluated, metrics_of, write_files
from tests.evaluation.test_report_browser import CHROMIUM, PROBE, visit

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found; `apt-get install chromium` to run the browser tests"
)
# Tells the frame around the page how wide the page is, after its figures are drawn.
WIDTH_PROBE = """<script>
window.setTimeout(function () {
  const root = document.documentElement;
  parent.postMessage([root.scrollWidth, window.innerWidth, root.dataset.ready || ""].join(" "), "*");
}, 1500);
</script></body>"""
PHONE = """<!DOCTYPE html><body><script>
window.addEventListener("message", function (event) { document.documentElement.dataset.width = event.data; });
</script><iframe src="{page}" style="width: 390px; height: 800px"></iframe></body>"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder with the page, the Markdown and the record."""
    folder = tmp_path_factory.mktemp("page")
    record = evaluated(folder, html_path=folder / "page.html", markdown_path=folder / "page.md")
    return folder, record


def figures_of(page: str) -> dict:
    data = re.search(r'<script id="report-data" type="application/json">(.*?)</script>', page, re.S)
    return {figure["id"]: figure for figure in json.loads(data[1])["figures"]}


def test_every_figure_and_every_metric_is_on_the_page(written):
    folder, record = written
    page = (folder / "page.html").read_text(encoding="utf-8")
    drawn = figures_of(page)
    assert page.startswith("<!DOCTYPE html>")
    assert {
        "surface-0-0", "surface-0-1", "tic-0", "tic-1", "ramachandran", "trace-0-0", "trace-0-1", "correlation-basin",
        "correlation-tic", "timescale-0", "basins", "energy", "drift-0", "drift-1",
    } <= set(drawn)  # fmt: skip
    for name in drawn:
        assert page.count(f'id="{name}"') == 1
    for key, metric in metrics_of(record).items():
        assert f'id="metric-{key.replace(">", "&gt;")}"' in page, key
        assert metric["reason"].replace("'", "&#39;") in page
    assert '<meta name="viewport"' in page and "http-equiv" in page
    for entry in record["inputs"].values():
        assert entry["sha256"] in page


def test_surfaces_share_their_colour_scale(written):
    drawn = figures_of((written[0] / "page.html").read_text(encoding="utf-8"))
    for first, last in (("surface-0-0", "surface-0-1"), ("tic-0", "tic-1")):
        scales = [(drawn[name]["data"][0]["zmin"], drawn[name]["data"][0]["zmax"]) for name in (first, last)]
        assert scales[0] == scales[1] and scales[0][0] == 0


def test_a_verdict_colour_only_where_md_s_own_noise_is_known(written):
    folder, record = written
    page = (folder / "page.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr id="metric-(.*?)">(.*?)</tr>', page, re.S)
    metrics = {key.replace(">", "&gt;"): metric for key, metric in metrics_of(record).items()}
    assert len(rows) == len(metrics)
    for key, text in rows:
        assert ('class="mark' in text) == (verdict(metrics[key]) != "none")


def test_text_is_escaped(written, tmp_path):
    record = written[1]
    bad = deepcopy(record)
    bad["sections"][0]["metrics"][0]["label"] = "<img src=x onerror=alert(1)>"
    bad["molecule"]["sequence"] = "</script><b>"
    files = write_files(tmp_path)
    comparison = load_comparison(files["topology"], files["reference"], files["model"], repeats=2)
    page = evaluation_page(bad, comparison, SectionArrays(), None)
    assert "<img src=x" not in page and "</script><b>" not in page


def test_markdown_holds_every_metric_and_marks_those_beyond(written):
    folder, record = written
    text = (folder / "page.md").read_text(encoding="utf-8")
    for section in record["sections"]:
        assert f"## {section['title']}" in text
        for metric in section["metrics"]:
            assert f"| {metric['label'].replace('|', chr(92) + '|')}" in text
    assert record["inputs"]["model"]["sha256"] in text
    shifted = deepcopy(record)
    metric = metrics_of(shifted)["ram"]
    metric |= {"value": 0.8, "standard_error": 0.01, "floor": 0.1, "floor_std": 0.01}
    assert "**0.800 ± 0.010**" in evaluation_markdown(shifted)


def test_a_bar_in_a_cell_does_not_end_it():
    assert markdown_table(("a", "b"), [("|x|", "1")]).splitlines()[-1] == "| \\|x\\| | 1 |"


def test_tic_surface_counts_by_hand():
    tics = np.array([[0.1, 0.1]] * 4 + [[0.1, 0.9]] * 2)
    surface = tic_surface(tics, [np.array([0.0, 0.5, 1.0])] * 2)
    assert surface[0, 0] == 0.0 and surface[0, 1] == pytest.approx(np.log(2.0)) and np.isnan(surface[1]).all()


def test_autocorrelation_of_a_decaying_chain():
    generator = np.random.default_rng(3)
    series = np.zeros(20000)
    for frame in range(1, len(series)):
        series[frame] = 0.9 * series[frame - 1] + generator.normal()
    curve = autocorrelation(series)
    assert curve[0] == pytest.approx(1.0)
    np.testing.assert_allclose(curve[1:6], 0.9 ** np.arange(1, 6), atol=0.03)


@needs_chromium
def test_the_page_is_drawn_and_asks_nothing_of_a_network(written, tmp_path):
    page = (written[0] / "page.html").read_text(encoding="utf-8")
    probed = tmp_path / "probed.html"
    probed.write_text(page.replace("</body>", PROBE), encoding="utf-8")
    result = visit(probed, tmp_path)
    assert result.attribute("data-ready") == "true"
    for name in figures_of(page):
        assert re.search(rf'id="{name}"[^>]*class="[^"]*js-plotly-plot|class="[^"]*js-plotly-plot[^"]*"[^>]*id="{name}"', result.dom), name  # fmt: skip # noqa: E501
    assert result.attribute("data-label-before") == "20.00 ps"
    assert int(result.attribute("data-colours")) > 50
    assert result.console == [] and result.requests == []


@needs_chromium
@pytest.mark.parametrize("wide", [False, True], ids=["as written", "with something wide"])
def test_nothing_is_wider_than_a_phone(written, tmp_path, wide):
    page = (written[0] / "page.html").read_text(encoding="utf-8")
    if wide:  # this test would notice
        page = page.replace("<main>", '<main><div style="width: 600px">wide</div>')
    narrow = tmp_path / "narrow.html"
    narrow.write_text(page.replace("</body>", WIDTH_PROBE), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(PHONE.replace("{page}", narrow.name), encoding="utf-8")
    found = visit(frame, tmp_path).attribute("data-width")
    assert found is not None
    width, screen, ready = found.split(" ")
    assert ready == "true" and int(screen) == 390 and (int(width) > int(screen)) is wide
