"""The check before anything is built: one line for each thing that is missing, naming the Debian package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check_prerequisites.sh"


def run(python: str, path: str | None = None) -> subprocess.CompletedProcess:
    """Run the check for a Python, with another PATH if told."""
    environment = dict(os.environ, PATH=path or os.environ["PATH"])
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, str(SCRIPT), python], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder to be the PATH, with the script's own helper only."""
    (tmp_path / "cut").symlink_to(shutil.which("cut") or "")
    return tmp_path


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_this_machine_passes():
    result = run(sys.executable)
    assert (result.returncode, result.stderr) == (0, "")


def test_everything_missing_is_named_at_once(bare_path):
    result = run("python3.11", str(bare_path))
    assert result.returncode == 1
    for package in ("make", "g++", "python3.11"):
        assert f"(Debian package: {package})" in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.endswith("apt-get install make g++ python3.11 python3.11-venv python3.11-dev")


def test_an_old_compiler_is_named_with_its_version(bare_path):
    executable(bare_path / "make", "")
    executable(bare_path / "g++", "echo 9")
    result = run(sys.executable, str(bare_path))
    assert result.returncode == 1
    assert "g++ 11 or newer, this one is 9" in result.stderr


def test_another_python_version_is_named(bare_path):
    executable(bare_path / "python3.11", "echo 3.9")
    result = run("python3.11", str(bare_path))
    assert "'python3.11' is 3.9" in result.stderr


def test_missing_venv_and_headers_are_named(bare_path):
    executable(bare_path / "make", "")
    executable(bare_path / "g++", "echo 12")
    text = 'case "$2" in *version_info*) echo 3.11;; *ensurepip*) exit 1;; *) echo /nowhere;; esac'
    executable(bare_path / "python3.11", text)
    result = run("python3.11", str(bare_path))
    assert "python3.11-venv" in result.stderr
    assert "/nowhere/Python.h" in result.stderr
    assert result.stderr.strip().endswith("apt-get install python3.11-venv python3.11-dev")
