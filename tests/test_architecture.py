"""Rules of docs/architecture.md that code can check: direction of imports, sizes, forbidden calls."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "openmm_unisim"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "_swig.py")
CPP_SOURCES = sorted(path for suffix in ("*.h", "*.cpp") for path in (ROOT / "plugin").rglob(suffix))
SCRIPTS = sorted(path for name in ("tests", "tools", "benchmarks") for path in (ROOT / name).rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50  # without the docstring

# What each part of the package may import of the others; modules that are in no part form the base.
BASE = "base"
PUBLIC = "public"  # openmm_unisim/__init__.py, which re-exports
MAY_IMPORT = {
    BASE: set(),
    "interpolant": {BASE},
    "model": {BASE, "interpolant"},
    "data": {BASE},
    "training": {BASE, "interpolant", "model", "data"},
    "export": {BASE, "interpolant", "model"},
    "pretrained": {BASE, "export"},
    "simulation": {BASE, "export", "pretrained"},
    "evaluation": {BASE, "data"},
    "cli": {BASE, "data", "evaluation", "export", "pretrained", "simulation", "training"},
}
# Modules and calls that would run code from a file or hide state; see docs/decisions/0003.
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "joblib", "shelve"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "torch.manual_seed", "np.random.seed"}


def part_of(module: str) -> str:
    """Part that a dotted module name of the package belongs to."""
    names = module.split(".")
    if len(names) == 1:
        return PUBLIC
    return names[1] if names[1] in MAY_IMPORT else BASE


def module_name(path: Path) -> str:
    """Dotted name of a source file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports, wherever in the file it does so."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, node.module] if node.module else base)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def called_names(path: Path) -> set[str]:
    """Source text of what a file calls, such as `torch.load`."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}


def long_functions(path: Path) -> Iterator[str]:
    """Functions of a file that are longer than the rule allows."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > MAX_FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}, {lines} lines"


def test_sources_are_found():
    assert len(SOURCES) > 20


def test_imports_point_one_way():
    wrong = []
    for path in SOURCES:
        part = part_of(module_name(path))
        if part == PUBLIC:
            continue
        for name in imported_modules(path):
            target = part_of(name)
            if name.startswith("openmm_unisim.") and target not in MAY_IMPORT[part] | {part}:
                wrong.append(f"{module_name(path)} imports {name}, but {part} may not import {target}")
    assert not wrong, "\n".join(wrong)


def test_the_public_module_imports_neither_training_nor_the_command_line_nor_plotting():
    names = imported_modules(PACKAGE / "__init__.py")
    parts = {part_of(name) for name in names if name.startswith("openmm_unisim.")}
    assert not parts & {"training", "cli", "evaluation"}


def test_files_are_short():
    files = [*SOURCES, *CPP_SOURCES, *SCRIPTS]
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files}
    assert not {str(path): lines for path, lines in lengths.items() if lines > MAX_FILE_LINES}


def test_functions_are_short():
    wrong = [text for path in SOURCES for text in long_functions(path)]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_unpickled_and_no_global_seed_is_set():
    wrong = []
    for path in SOURCES:
        found = FORBIDDEN_IMPORTS & {name.split(".")[0] for name in imported_modules(path)}
        found |= FORBIDDEN_CALLS & called_names(path)
        wrong += [f"{module_name(path)}: {name}" for name in sorted(found)]
    assert not wrong, "\n".join(wrong)


def test_torchscript_stays_in_export():
    allowed = {"torch.jit.is_scripting"}
    wrong = {
        module_name(path): calls
        for path in SOURCES
        if part_of(module_name(path)) != "export"
        and (calls := {name for name in called_names(path) if name.startswith("torch.jit.")} - allowed)
    }
    assert not wrong


def test_torch_is_included_in_one_cpp_file():
    including = [path.name for path in CPP_SOURCES if "#include <torch/" in path.read_text()]
    assert including == ["UniSimModel.cpp"]
