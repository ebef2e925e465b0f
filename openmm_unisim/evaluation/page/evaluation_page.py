"""The evaluation as one self-contained HTML page, with the styles, scripts and 3-D view of the report."""

from typing import Any

import numpy as np

from ..comparison import Comparison
from ..metrics.basins import BasinSet
from ..sections import SectionArrays
from .figures import evaluation_figures
from .html import render_template
from .metric_text import filled_columns, metric_row, summarise_section
from .view3d import viewer_data

MODE_NOTES = {
    "paper": "Mode paper: definitions, bins and pseudo-counts of the UniSim paper.",
    "strict": "Mode strict: no sample is dropped, every figure stands beside its error bar and its MD floor.",
}


def evaluation_page(
    record: dict[str, Any], comparison: Comparison, arrays: SectionArrays, basins: BasinSet | None
) -> str:
    """The page.

    Parameters
    ----------
    record : dict
        As from `evaluate`, with `inputs`.
    comparison : Comparison
    arrays : SectionArrays
        As from `make_sections`.
    basins : BasinSet or None
    """
    sections = []
    for section in record["sections"]:
        rows = [metric_row(metric) for metric in section["metrics"]]
        sections.append({**section, "rows": rows, "columns": filled_columns(rows)})
    summaries = [summarise_section(section) for section in record["sections"]]
    spacing = comparison.model_spacing_ps
    times = (1.0 if spacing is None else spacing) * np.arange(1, len(comparison.model_series) + 1)
    return render_template(
        "evaluation.html",
        evaluation_figures(record, comparison, arrays, basins),
        viewer_data(comparison.model_series, comparison.topology, times),
        record=record,
        sections=sections,
        summaries=[summary for summary in summaries if summary.graded],
        mode_note=MODE_NOTES[record["mode"]],
    )
