"""`openmm-unisim solvent`: a tiny run, its folder, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app
from openmm_unisim.errors import ConfigError
from openmm_unisim.solvent.preparation import solvate
from openmm_unisim.solvent.run import SolventSettings, run_solvent
from openmm_unisim.system import load_molecule

SMALL = [
    "--edge",
    "2.0",
    "--md-steps",
    "2",
    "--switching",
    "0.004",
    "--equilibration",
    "0.01",
    "--frame-interval",
    "2",
]


@pytest.mark.slow
def test_the_command_runs_resumes_and_says_whether_it_is_exact(tmp_path: Path) -> None:
    command = ["solvent", "ACE-ALA-NME", "--model", "ala2", "--output", str(tmp_path / "run"), *SMALL]
    result = CliRunner().invoke(app, [*command, "--cycles", "1"])
    assert result.exit_code == 0 and "(exact)" in result.output
    result = CliRunner().invoke(app, [*command, "--cycles", "2", "--resume"])
    assert result.exit_code == 0
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert record["exact"] and record["cycles"] == 2 and record["counts"]["proposed"] == 2
    assert len((tmp_path / "run/moves.csv").read_text(encoding="utf-8").splitlines()) == 3
    for name in ("topology.pdb", "trajectory.xtc", "md.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    result = CliRunner().invoke(app, [*command, "--cycles", "2"])
    assert result.exit_code != 0 and "--resume" in result.stderr
    result = CliRunner().invoke(app, [*command, "--cycles", "3", "--resume", "--pressure", "2"])
    assert result.exit_code != 0 and "pressure" in result.stderr


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for changes in ({"cycles": 0}, {"screen": "gas"}, {"equilibration": -1.0}):
        with pytest.raises(ConfigError):
            run_solvent(SolventSettings("ACE-ALA-NME", "ala2", tmp_path / "run", **changes))
    with pytest.raises(ConfigError, match="too small"):
        solvate(load_molecule("ACE-ALA-NME"), 1.7)
