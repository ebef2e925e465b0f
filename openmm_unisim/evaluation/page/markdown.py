"""An evaluation as Markdown: one table a section, and the tables that the documentation is made of."""

from collections.abc import Sequence
from typing import Any

from .metric_text import filled_columns, metric_row, summarise_section


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; first column to the left, the others to the right. A bar in a cell is escaped."""
    rules = [":--"] + ["--:"] * (len(columns) - 1)
    lines = [[_cell(text) for text in columns], rules, *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def evaluation_markdown(record: dict[str, Any]) -> str:
    """The whole evaluation.

    Parameters
    ----------
    record : dict
        As from `evaluate`.
    """
    model, reference = record["model"], record["reference"]
    parts = [
        f"# Evaluation of {record['molecule']['sequence']}",
        f"{model['frames']:,} frames of the model ({_spacing(model)}) against {reference['frames']:,} frames of MD "
        f"({_spacing(reference)}); mode {record['mode']}. The floor is what MD of as many frames scores, z the "
        "difference from the reference over both errors: figures beyond floor + 2 std or 2 z are bold.",
        *(f"**Note.** {text}" for text in record["warnings"]),
    ]
    for section in record["sections"]:
        summary = summarise_section(section)
        parts.append(f"## {section['title']}")
        parts.append(section["note"])
        if summary.graded:
            parts.append(f"{summary.within} of {summary.graded} figures are within MD's own noise.")
        parts.append(section_table(section))
    parts.append("## Provenance")
    parts.append(_provenance(record))
    return "\n\n".join(part for part in parts if part) + "\n"


def section_table(section: dict[str, Any]) -> str:
    """Every figure of a section; those beyond the floor are bold."""
    rows = [metric_row(metric) for metric in section["metrics"]]
    shown = filled_columns(rows)
    cells = [
        (
            row.label,
            f"**{row.value}**" if row.verdict == "beyond" else row.value,
            *(getattr(row, name) for name in shown),
        )
        for row in rows
    ]
    return markdown_table(("figure", "model", *shown.values()), cells)


def _spacing(side: dict[str, Any]) -> str:
    return "spacing unknown" if side["spacing_ps"] is None else f"every {side['spacing_ps']:g} ps"


def _provenance(record: dict[str, Any]) -> str:
    source = record["provenance"]
    lines = [
        f"{name} `{entry['file']}`, SHA-256 `{entry['sha256']}`" for name, entry in record["inputs"].items()
    ]
    lines += [
        f"command `{source['command']}`",
        f"commit `{source['commit']}`, {source['machine']}, seed {record['resampling']['seed']}",
        ", ".join(f"{name} {version}" for name, version in source["versions"].items()),
    ]
    return "\n".join(f"- {line}" for line in lines)
