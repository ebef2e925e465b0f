"""report.html in headless Chromium: it draws, it moves, it logs nothing, it asks nothing of a network."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.evaluation.run.report import write_report

from .runs import jump_rows, reference_run, run_record, write_run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found; `apt-get install chromium` to run the browser tests"
)

FLAGS = (
    "--headless --no-sandbox --disable-gpu --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic "
    "--no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--virtual-time-budget=6000 --enable-logging=stderr --dump-dom"
).split()

# Presses Play, waits, pauses, then draws frame 5 and counts the colours in the 3-D canvas before it is presented.
PROBE = """<script>
window.setTimeout(async function () {
  const label = document.getElementById("frame-label"), button = document.getElementById("play");
  const root = document.documentElement, slider = document.getElementById("frame");
  root.dataset.labelBefore = label.textContent;
  button.click();
  await new Promise(function (resolve) { window.setTimeout(resolve, 1000); });
  button.click();
  root.dataset.labelAfter = label.textContent;
  slider.value = 5;
  slider.dispatchEvent(new Event("input"));
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  const source = document.querySelector("#viewer canvas"), copy = document.createElement("canvas");
  copy.width = source.width; copy.height = source.height;
  const context = copy.getContext("2d");
  context.drawImage(source, 0, 0);
  const pixels = context.getImageData(0, 0, copy.width, copy.height).data, colours = new Set();
  for (let i = 0; i < pixels.length; i += 4) colours.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
  root.dataset.colours = colours.size;
}, 1000);
</script></body>"""


@dataclass
class Visit:
    """What a page left behind: its DOM, console lines, and the URLs that it (not the browser) asked for."""

    dom: str
    console: list[str]
    requests: list[str]

    def attribute(self, name: str) -> str | None:
        """Value of an attribute of the html element."""
        found = re.search(rf'<html[^>]*\b{name}="([^"]*)"', self.dom)
        return found[1] if found else None


def visit(page: Path, folder: Path) -> Visit:
    """Open a page in a new Chromium profile."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            str(CHROMIUM),
            *FLAGS,
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={log}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [
        line for line in done.stderr.splitlines() if "CONSOLE" in line and "GL Driver Message" not in line
    ]
    return Visit(done.stdout, lines, _requests(log))


def _requests(log: Path) -> list[str]:
    """URLs asked for on behalf of a file:// page; Chromium's own requests have another isolation key."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    parameters = [event.get("params", {}) for event in events]
    return [p["url"] for p in parameters if "file://" in str(p.get("network_isolation_key")) and "url" in p]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    write_run(folder, reference_run(400), jump_rows(400, np.random.default_rng(0)), run_record(400))
    write_report(folder)
    return folder / "report.html"


def test_everything_is_drawn_and_the_view_plays(page, tmp_path):
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    result = visit(probed, tmp_path)
    assert result.attribute("data-ready") == "true"
    for figure in ("surface-0-0", "surface-0-1", "phi-0", "psi-0", "energy", "trace-0", "energy-trace"):
        assert re.search(rf'id="{figure}"[^>]*class="[^"]*js-plotly-plot', result.dom) or re.search(
            rf'class="[^"]*js-plotly-plot[^"]*"[^>]*id="{figure}"', result.dom
        ), figure
    assert result.dom.count('class="main-svg"') >= 7
    assert "<canvas" in result.dom
    assert result.attribute("data-label-before") == "20.00 ps"
    assert result.attribute("data-label-after") not in ("", "20.00 ps", None)
    assert int(result.attribute("data-colours")) > 50  # a shaded molecule, not an empty box
    assert result.console == []
    assert result.requests == []


def test_no_request_even_where_the_policy_would_allow_it(page, tmp_path):
    open_page = tmp_path / "open.html"
    text, removed = re.subn(
        r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8")
    )
    assert removed == 1
    open_page.write_text(text, encoding="utf-8")
    assert visit(open_page, tmp_path).requests == []


def test_these_tests_would_notice(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<body><img src='http://example.invalid/x.png'><script>undefined_name();</script></body>",
        encoding="utf-8",
    )
    result = visit(bad, tmp_path)
    assert "http://example.invalid/x.png" in result.requests
    assert any("undefined_name" in line for line in result.console)
