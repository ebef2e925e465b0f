"""The rules of docs/architecture.md that a program can check: import direction, file and function length."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_unisim

ROOT = Path(openmm_unisim.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if path.name != "_swig.py")
MAX_FILE, MAX_FUNCTION = 400, 50

# Layer -> what it may import of ours, beside itself. "base" is every module directly in the package.
ALLOWED = {
    "base": set(),
    "interpolant": {"base"},
    "model": {"base", "interpolant"},
    "export": {"base", "interpolant", "model", "pretrained"},
    "data": {"base"},
    "training": {"base", "interpolant", "model", "data", "export"},
    "pretrained": {"base"},
    "simulation": {"base", "interpolant", "pretrained", "export.metadata", "export.loader"},
    "hybrid": {"base", "pretrained", "simulation", "export.metadata"},
    "solvent": {"base", "pretrained", "simulation", "export.metadata", "data.wholeness"},
    "doctor": {"base", "pretrained", "export.metadata"},
    "evaluation": {"base", "data.trajectory_file", "pretrained"},
    # benchmark/speed times the networks and the training step themselves
    "benchmark": {
        "base",
        "interpolant",
        "model",
        "export",
        "data",
        "training",
        "pretrained",
        "simulation",
        "evaluation",
    },
    "cli": {
        "base",
        "interpolant",
        "model",
        "export",
        "data",
        "training",
        "pretrained",
        "simulation",
        "hybrid",
        "evaluation",
        "benchmark",
        "solvent",
        "doctor",
    },
}
# The public API, and the plugin's Python side, sit on top of the base.
TOP = {"__init__", "_plugin", "integrator"}
FORBIDDEN_AT_IMPORT = ("plotly", "mdtraj", "openmm_unisim.training", "openmm_unisim.evaluation")


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Our modules that a file imports, anywhere in it, relative to the package ('' is the package itself)."""
    package = (
        module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    )
    package = [part for part in package if part]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                stem = package[: len(package) - node.level + 1]
                base = ".".join(["openmm_unisim", *stem, *([node.module] if node.module else [])])
            else:
                base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {
            name.removeprefix("openmm_unisim").lstrip(".")
            for name in names
            if name.split(".")[0] == "openmm_unisim"
        }
    return found


def layer_of(module: str) -> str:
    """The layer of a module, or of a name in it."""
    first = module.split(".")[0]
    return first if (ROOT / first / "__init__.py").is_file() and first in ALLOWED else "base"


def allowed(layer: str, imported: str) -> bool:
    target = layer_of(imported)
    if target in (layer, "base") or target in ALLOWED[layer]:
        return True
    return any(imported == name or imported.startswith(name + ".") for name in ALLOWED[layer] if "." in name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path) or "__init__")
def test_imports_point_one_way(path: Path) -> None:
    module = module_name(path)
    layer = layer_of(module)
    if layer == "base" and (module or "__init__").split(".")[0] in TOP:
        wrong = [name for name in imports_of(path) if layer_of(name) in ("training", "cli")]
    else:
        wrong = [name for name in imports_of(path) if not allowed(layer, name)]
    assert not wrong, f"{layer} may not import {sorted(wrong)}"


def test_every_folder_has_a_layer() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(ALLOWED) - {"base"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path) or "__init__")
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert code_lines(node) <= MAX_FUNCTION, f"{node.name} is too long"


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path) or "__init__")
def test_no_pickle_and_no_global_seed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for forbidden in ("import pickle", "torch.manual_seed(", "np.random.seed(", "numpy.random.seed("):
        assert forbidden not in text


def test_text_files_are_utf8_in_any_locale() -> None:
    """Some libraries change the process's locale; `ruff` (PLW1514) sees open(), but no method of an unknown type."""
    root = ROOT.parent
    for folder in ("openmm_unisim", "tests", "benchmarks", "tools"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    if node.func.attr in ("read_text", "write_text"):
                        given = len(node.args) > (node.func.attr == "write_text")
                        assert given or any(key.arg == "encoding" for key in node.keywords), path


def test_importing_the_package_loads_no_training_and_no_plotting() -> None:
    code = "import sys, openmm_unisim; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert not set(result.stdout.split()) & set(FORBIDDEN_AT_IMPORT)


def test_the_checker_sees_relative_and_absolute_imports() -> None:
    assert "errors.ConfigError" in imports_of(ROOT / "units.py")
    assert not allowed("simulation", "model.graph")
    assert allowed("simulation", "export.metadata.read_metadata")
    assert not allowed("evaluation", "export.metadata.read_metadata")
    assert not allowed("model", "export.exporter")
