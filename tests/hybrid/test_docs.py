"""The script of docs/hybrid.md runs as printed, with fewer cycles."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    script = re.search(
        r"```python\n(.*?)```", (ROOT / "docs/hybrid.md").read_text(encoding="utf-8"), re.DOTALL
    )[1]
    assert script.count("hybrid.step(100)") == 1 and script.count("mdSteps=500") == 1
    script = script.replace("hybrid.step(100)", "hybrid.step(2)").replace("mdSteps=500", "mdSteps=10")
    (tmp_path / "demo-output").mkdir()
    shutil.copy(
        ROOT / "openmm_unisim/pretrained/reference/ala2_obc2.pdb", tmp_path / "demo-output/topology.pdb"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "cycles=2" in result.stdout and result.stdout.strip().endswith("True")
    assert len((tmp_path / "cycles.csv").read_text(encoding="utf-8").splitlines()) == 3
