"""What `make demo` prints at the end."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from openmm_unisim.evaluation.run.report import write_report
from tests.evaluation.runs import jump_rows, reference_run, run_record, write_run

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "print_headline.py"


def test_every_figure_and_the_place_of_the_report(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, reference_run(200), jump_rows(200, np.random.default_rng(1)), run_record(200))
    write_report(folder)
    result = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1].strip() == f"report: {folder / 'report.html'}"
    assert (folder / "report.html").is_file()
