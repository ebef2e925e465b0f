"""What may occur in one place only: torch in C++, TorchScript in Python (docs/decisions/0002)."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CPP_SOURCES = sorted(path for suffix in ("*.h", "*.cpp", "*.cu") for path in (ROOT / "plugin").rglob(suffix))
PYTHON_SOURCES = sorted((ROOT / "openmm_unisim").rglob("*.py"))
MAX_LINES = 400
HARMLESS = {"torch.jit.is_scripting"}


def torchscript_calls(path: Path) -> set[str]:
    """Functions of torch.jit that a file calls or decorates with."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("torch.jit.")} - HARMLESS


def test_torch_is_included_by_the_operators_and_by_the_model_and_its_containers():
    """These, and two headers of their own, which nothing else includes."""
    assert CPP_SOURCES
    headers = {"UniSimStepArguments.h", "UniSimTorchScope.h"}
    marks = ("#include <torch/", "#include <ATen/", *(f'#include "internal/{name}"' for name in headers))
    including = [
        path for path in CPP_SOURCES if any(mark in path.read_text(encoding="utf-8") for mark in marks)
    ]
    outside = {path.name for path in including if "operators" not in path.parts}
    containers = {"UniSimContainer.h", "UniSimScriptedModel.cpp", "UniSimPackagedModel.cpp"}
    assert outside == {"UniSimModel.cpp"} | containers | headers
    for folder, names in (("kernels", []), ("cuda", ["CudaOperators.cpp"])):
        assert [path.name for path in including if path.parent.name == folder] == names


def test_loops_compiled_for_several_instruction_sets_include_nothing_of_others():
    """What they include must be theirs: an inline function of a library could be kept as its AVX-512 copy."""
    for path in (ROOT / "plugin" / "operators" / "kernels").iterdir():
        included = {
            line.split()[1]
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#include")
        }
        allowed = {"<cstdint>", "<immintrin.h>"}  # intrinsics are inlined always
        assert all(name.startswith('"') or name in allowed for name in included), path


def test_cpp_files_are_short():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in CPP_SOURCES}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unpickling(path: Path) -> set[str]:
    """What a file imports or calls that would run a pickle."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module} if (node.module or "").split(".")[0] in UNPICKLERS else set()
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called.endswith(("pickle.load", "pickle.loads", "torch.load", "read_pickle")):
                found.add(called)
            if called in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
                found.add(called)
            if called.endswith(("yaml.load", "yaml.unsafe_load", "yaml.full_load")):
                found.add(called)
    return found


def test_nothing_unpickles():
    tools = [*(ROOT / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert not {path: found for path in [*PYTHON_SOURCES, *tools] if (found := unpickling(path))}


def test_what_unpickles_is_seen(tmp_path):
    for line in (
        "import pickle", "from pickle import loads", "import torch; torch.load('x', weights_only=True)",
        "import numpy as np; np.load('x', allow_pickle=True)", "import yaml; yaml.load('x')", "import joblib",
    ):  # fmt: skip
        (tmp_path / "x.py").write_text(line, encoding="utf-8")
        assert unpickling(tmp_path / "x.py"), line
    (tmp_path / "x.py").write_text(
        "import numpy as np; np.load('x'); np.load('y', allow_pickle=False)", encoding="utf-8"
    )
    assert not unpickling(tmp_path / "x.py")


def test_torchscript_stays_in_export():
    calls = {str(path.relative_to(ROOT)): torchscript_calls(path) for path in PYTHON_SOURCES}
    outside = {name: found for name, found in calls.items() if found and "/export/" not in name}
    assert not outside
    assert any(calls.values())
