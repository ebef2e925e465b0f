"""benchmarks/score_trajectory.py from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from .runs import reference_run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "score_trajectory.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=_environment(),
    )


def _environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_copies_are_scored_together_with_provenance(tmp_path):
    positions = reference_run(600)
    np.savez(tmp_path / "run.npz", positions=positions.reshape(3, 200, 22, 3))
    done = run(tmp_path / "run.npz", "--skip", 10, "--pieces", 3, "--json", tmp_path / "score.json")
    assert done.returncode == 0, done.stderr
    score = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))
    assert score["n_frames"] == 570
    assert score["model"]["stay_alpha"]["windows"] + score["model"]["stay_beta"]["windows"] == 3 * 189
    assert score["validity"]["explosions"] == 0
    pieces = score["pieces"]
    assert pieces["n_frames"] == 189 and len(pieces["js_phi_psi"]) == 3
    assert min(pieces["js_phi_psi"]) > score["js"]["phi_psi"]  # a shorter run scores worse
    assert score["provenance"]["seed"] == 0 and len(score["provenance"]["trajectories"]) == 1
    assert "MD floor" in done.stdout


def test_a_missing_file_is_one_sentence(tmp_path):
    done = run(tmp_path / "absent.npz")
    assert done.returncode == 2 and "doesn't exist" in done.stderr and "Traceback" not in done.stderr


def test_a_lag_the_reference_lacks_is_refused(tmp_path):
    np.savez(tmp_path / "run.npz", positions=reference_run(30))
    done = run(tmp_path / "run.npz", "--lag-time", 7)
    assert done.returncode != 0 and "isn't a multiple" in done.stderr
