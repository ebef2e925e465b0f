"""What may occur in one place only: torch in C++, TorchScript in Python (docs/decisions/0002)."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CPP_SOURCES = sorted(path for suffix in ("*.h", "*.cpp") for path in (ROOT / "plugin").rglob(suffix))
PYTHON_SOURCES = sorted((ROOT / "openmm_unisim").rglob("*.py"))
MAX_LINES = 400
HARMLESS = {"torch.jit.is_scripting"}


def torchscript_calls(path: Path) -> set[str]:
    """Functions of torch.jit that a file calls or decorates with."""
    nodes = ast.walk(ast.parse(path.read_text()))
    names = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("torch.jit.")} - HARMLESS


def test_torch_is_included_in_one_cpp_file():
    assert CPP_SOURCES
    including = [path.name for path in CPP_SOURCES if "#include <torch/" in path.read_text()]
    assert including == ["UniSimModel.cpp"]


def test_cpp_files_are_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in CPP_SOURCES}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


def test_torchscript_stays_in_export():
    calls = {str(path.relative_to(ROOT)): torchscript_calls(path) for path in PYTHON_SOURCES}
    outside = {name: found for name, found in calls.items() if found and "/export/" not in name}
    assert not outside
    assert any(calls.values())
