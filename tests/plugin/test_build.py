"""setup.py: what it finds, and what it says when something is absent."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "setup.py").is_file():
    pytest.skip("needs the source tree", allow_module_level=True)


@pytest.fixture
def script() -> ModuleType:
    """setup.py as a module; nothing is built."""
    spec = importlib.util.spec_from_file_location("unisim_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_program(folder: Path, name: str, output: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{output}'\n", encoding="utf-8")
    path.chmod(0o755)


def test_finds_torch_and_openmm_of_this_interpreter(script) -> None:
    import openmm
    import torch

    wheels = script.find_wheels()
    assert wheels["torch"]["version"] == torch.__version__
    assert wheels["openmm"]["version"] == openmm.__version__
    assert Path(wheels["torch"]["folder"]) == Path(torch.__file__).parent
    assert script.minor_pin("torch", "2.13.0+cpu") == "torch==2.13.*"


@pytest.mark.parametrize("absent, present", [("torch", "openmm"), ("openmm", "torch")])
def test_absent_torch_or_openmm(script, monkeypatch, absent: str, present: str) -> None:
    found = json.dumps({present: {"version": "1.0", "folder": "/"}})
    monkeypatch.setattr(script, "PROBE", f"print({found!r})")
    with pytest.raises(
        SystemExit, match=rf"has no {absent}; run `pip install {absent}==.*--no-build-isolation"
    ):
        script.find_wheels()


def test_old_swig(script, monkeypatch, tmp_path) -> None:
    fake_program(tmp_path, "swig", "SWIG Version 4.1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SystemExit, match=r"swig 4\.4 or newer is needed, found .*swig \(4\.1\)"):
        script.find_swig()


def test_old_swig_before_a_new_one_on_the_path(script, monkeypatch, tmp_path) -> None:
    folders = [tmp_path / "system", tmp_path / "venv"]
    for folder, version in zip(folders, ("4.1.0", "4.5.1")):
        folder.mkdir()
        fake_program(folder, "swig", f"SWIG Version {version}")
    monkeypatch.setenv("PATH", ":".join(map(str, folders)))
    assert script.find_swig() == str(folders[1] / "swig")


def test_absent_and_old_compiler(script, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"C\+\+ compiler 'g\+\+' is absent"):
        script.check_compiler()
    fake_program(tmp_path, "g++", "9")
    with pytest.raises(SystemExit, match=r"g\+\+ has version 9; .* need g\+\+ 11 or newer"):
        script.check_compiler()


def test_every_file_of_the_package_that_is_not_python_is_packed(script) -> None:
    """Data files that git knows lie where package_data looks."""
    listing = subprocess.run(
        ["git", "ls-files", "openmm_unisim"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("needs a git checkout")
    folders = (
        "openmm_unisim/pretrained/",
        "openmm_unisim/data/molecules/",
        "openmm_unisim/hybrid/protocols/",
        "openmm_unisim/evaluation/page/assets/",
    )
    others = [name for name in listing.stdout.split() if not name.endswith((".py", "py.typed"))]
    assert [name for name in others if not name.startswith(folders)] == []


def test_what_is_imported_is_required(script, monkeypatch) -> None:
    """Every third-party package that ours imports is among the requirements of the built package."""
    captured: dict = {}
    monkeypatch.setattr(script, "setup", lambda **settings: captured.update(settings))
    script.main()
    needed = [*captured["install_requires"], *captured["extras_require"]["data"]]
    required = {re.split(r"[=<>]", text)[0].lower() for text in needed}
    imported = set()
    for path in (ROOT / "openmm_unisim").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    third_party = {name.lower() for name in imported - set(sys.stdlib_module_names)} - {"openmm_unisim"}
    brought_along = {"click": "typer", "markupsafe": "jinja2", "yaml": "pyyaml"}
    assert {brought_along.get(name, name) for name in third_party} <= required
