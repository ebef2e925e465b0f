"""Print the figures that decide, and where the report is: `python tools/print_headline.py RUN_FOLDER`."""

import json
import sys
from pathlib import Path

from openmm_unisim.evaluation.page.verdicts import verdicts


def headline(folder: Path) -> str:
    """One line a figure: its name, value, what to compare it with, and the grade that the report gives it."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    tiles = verdicts(report)
    width = max(len(tile.label) for tile in tiles)
    lines = [
        f"  {tile.label:<{width}}  {tile.value}  ({tile.detail})"
        + ("" if tile.grade == "none" else f" [{tile.grade}]")
        for tile in tiles
    ]
    return "\n".join([*lines, f"  report: {(folder / 'report.html').resolve()}"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(headline(Path(sys.argv[1])))
