"""README's example runs as printed, with fewer steps; its commands exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STRUCTURE = ROOT / "openmm_unisim" / "pretrained" / "reference" / "ala2_obc2.pdb"


def test_the_drop_in_script_runs(tmp_path):
    script = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert script.count("simulation.step(1000)") == 1
    script = script.replace("simulation.step(1000)", "simulation.step(10)").replace("100))", "10))")
    (tmp_path / "demo-output").mkdir()
    shutil.copy(STRUCTURE, tmp_path / "demo-output" / "topology.pdb")
    environment = {
        name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"
    }  # as users have it
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "trajectory.xtc").stat().st_size > 0
    assert (tmp_path / "checkpoint.chk").stat().st_size > 0
    last = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")
    assert (last[0], float(last[1])) == ("10", 200.0)  # step, time in ps: 10 jumps of 20 ps


def test_every_command_of_the_table_exists():
    commands = re.findall(r"^\| `openmm-unisim ([a-z -]+)`", README, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        program = [sys.executable, "-m", "openmm_unisim.cli.main", *command.split(), "--help"]
        result = subprocess.run(program, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, f"{command}: {result.stderr}"


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
