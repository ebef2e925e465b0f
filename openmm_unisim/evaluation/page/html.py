"""One self-contained HTML page: template, styles, scripts and data in a single file that asks nothing of a
network.

All text is escaped by the template engine, data travel as JSON with ``<``, ``>`` and ``&`` escaped, and the
page's own content security policy forbids every request.
"""

import json
import math
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ...errors import DataError
from .jsonable import jsonable
from .verdicts import number, verdicts

FOLDER = Path(__file__).resolve().parent
_ASSETS = {
    "plotly": "plotly-cartesian.min.js",
    "molecule_viewer": "3Dmol-min.js",
    "script": "report.js",
    "style": "report.css",
}


def embedded_json(value: Any) -> Markup:
    """JSON that is safe inside a script element."""
    text = json.dumps(jsonable(value), allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _asset(name: str) -> Markup:
    text = (FOLDER / "assets" / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise DataError(f"asset '{name}' would end its own element; take an unmodified copy of it.")
    return Markup(text)


def _with_error(entry: dict[str, float] | None) -> str:
    """Value and error to the error's first digit or 3 decimals, whichever is finer."""
    if entry is None:
        return "n/a"
    value, error = entry["value"], entry["standard_error"]
    decimals = 3 if error <= 0 else max(3, -math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _plain(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def render(
    report: dict[str, Any], figures: dict[str, list[dict[str, Any]]], viewer: dict[str, Any] | None
) -> str:
    """The page.

    Parameters
    ----------
    report : dict
        As in report.json.
    figures : dict of lists
        plotly records by section: ``surfaces``, ``marginals``, ``energy``, ``traces``.
    viewer : dict or None
        As from `view3d.viewer_data`.
    """
    return render_template("report.html", figures, viewer, report=report, verdicts=verdicts(report))


def render_template(
    template: str, figures: dict[str, list[dict[str, Any]]], viewer: dict[str, Any] | None, **context: Any
) -> str:
    """A page of any template of the assets folder: figures and viewer as in `render`, `context` for its text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, with_error=_with_error, plain=_plain)
    drawn = [figure for group in figures.values() for figure in group]
    return environment.get_template(template).render(
        figures=figures,
        viewer=viewer,
        data=embedded_json({"figures": drawn, "viewer": viewer}),
        **{key: _asset(name) for key, name in _ASSETS.items()},
        **context,
    )
