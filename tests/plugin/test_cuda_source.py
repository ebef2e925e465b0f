"""The CUDA source of the messages, compiled for the host: its numbers against the CPU kernels, and data races.

No GPU is needed: a block's threads are threads of the host that wait for each other where the GPU's would, and
g++'s checker of races (-fsanitize=thread) sees a missing wait. torch's side of it runs on the host, too, registered
for a device that isn't there. What this can't see is in docs/performance.md.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from openmm_unisim.errors import PluginError

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
LOOPS, PROGRAM = HERE / "launch_on_host.cpp", HERE / "attend_on_host.cpp"
OPERATORS = ROOT / "plugin" / "operators"
if not (OPERATORS / "cuda").is_dir() or shutil.which("g++") is None:
    pytest.skip("needs the source tree and g++", allow_module_level=True)
try:
    from openmm_unisim._plugin import load_operators

    load_operators()
except PluginError:
    pytest.skip("the plugin is not built", allow_module_level=True)

DTYPES = {"float": torch.float32, "double": torch.float64}
RELATIVE = {"float": 1e-5, "double": 1e-12}
SIZES = {
    "n": 5,
    "slots": 11,
    "hidden": 12,
    "heads": 3,
    "features": 7,
}  # two tiles, more channels than threads


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def compile_program(path: Path, loops: Path = LOOPS) -> Path:
    """The program, with the race checker."""
    command = ["g++", "-std=c++20", "-O1", "-fsanitize=thread", f"-I{OPERATORS}", str(loops), str(PROGRAM)]
    subprocess.run([*command, "-o", str(path)], check=True, timeout=300)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return compile_program(tmp_path_factory.mktemp("host") / "attend_on_host")


def problem(type_name: str, width: int, smooth: bool) -> dict[str, torch.Tensor]:
    """Arguments of `attend` and a radial table; one destination without neighbours, NaN in padded slots."""
    n, slots, hidden, features = (SIZES[name] for name in ("n", "slots", "hidden", "features"))
    generator = torch.Generator().manual_seed(width)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(DTYPES[type_name])

    mask = torch.rand(n, slots, generator=generator) < 0.7
    mask[2] = False
    edges, envelope = normal(n, slots, features), normal(n, slots).abs()
    envelope[~mask] = float("nan")
    rows = (3 + width) * hidden
    return {
        "nodes": normal(n, (4 + width) * hidden), "vectors": normal(n, 3, hidden),
        "index": torch.randint(n, (n, slots), generator=generator), "mask": mask, "edges": edges,
        "weight": normal(rows, features), "bias": normal(rows), "arrows": normal(n, slots, 3, width),
        "envelope": envelope, "distance": 6 * normal(n, slots).abs(), "knots": normal(9, 2, rows),
        "gy": normal(n, hidden), "gbig": normal(n, 3, hidden), "smooth": torch.tensor(smooth),
    }  # fmt: skip


SHAPE = (0.17, 1.0, 0.1)  # spacing, decay and slope of the table: distances run beyond its end


def run(program: Path, folder: Path, x: dict, type_name: str, table: str, threads: int) -> torch.Tensor:
    """Everything that the program computes, one number after another."""
    knots = x["knots"].bfloat16().view(torch.int16) if table == "half" else x["knots"]
    sizes = [SIZES[name] for name in ("n", "slots", "hidden", "heads")]
    sizes += [x["arrows"].size(3), SIZES["features"], int(x["smooth"]), len(knots)]
    arrays = [torch.tensor(sizes), torch.tensor(SHAPE, dtype=DTYPES[type_name]), x["index"], x["mask"], x["nodes"],
              x["vectors"], x["arrows"], x["envelope"], x["edges"], x["weight"].T, x["bias"], x["distance"], knots,
              *([x["gy"], x["gbig"]] if table == "linear" else [])]  # fmt: skip
    given, found = folder / "given", folder / "found"
    given.write_bytes(b"".join(a.contiguous().numpy().tobytes() for a in arrays))
    command = [str(program), type_name, table, str(threads), str(given), str(found)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "unexpected memory mapping" in result.stderr:
        pytest.skip("this kernel spreads addresses more than g++'s race checker can follow")
    assert result.returncode == 0, result.stderr[:2000]
    dtype = np.float32 if type_name == "float" else np.float64
    return torch.from_numpy(np.fromfile(found, dtype))


def split(numbers: torch.Tensor, like: list[torch.Tensor]) -> list[torch.Tensor]:
    assert len(numbers) == sum(x.numel() for x in like)
    return [part.view_as(x) for part, x in zip(numbers.split([x.numel() for x in like]), like)]


def assert_close(found: torch.Tensor, expected: torch.Tensor, type_name: str) -> None:
    assert bool(found.isfinite().all())
    assert float((found - expected).abs().max() / expected.abs().max()) < RELATIVE[type_name]


@pytest.mark.parametrize("type_name", DTYPES)
@pytest.mark.parametrize("width, smooth, threads", [(1, False, 1), (2, True, 6), (3, True, 5)])
def test_linear_filters_and_derivatives(program, tmp_path, width, smooth, threads, type_name) -> None:
    x = problem(type_name, width, smooth)
    names = ("nodes", "vectors", "index", "mask", "edges", "weight", "bias", "arrows", "envelope")
    operators = torch.ops.openmm_unisim
    given = [x[name] for name in names]
    y, big = operators.attend(*given, SIZES["heads"], smooth)
    expected = operators.attend_backward(x["gy"], x["gbig"], *given, SIZES["heads"], smooth)
    filters = torch.empty(SIZES["n"] * SIZES["slots"], x["weight"].size(0))
    like = [y, big, x["nodes"], x["vectors"], filters, x["arrows"], x["envelope"]]
    found = split(run(program, tmp_path, x, type_name, "linear", threads), like)
    assert_close(found[0], y, type_name)
    assert_close(found[1], big, type_name)
    nodes, vectors, edges, weight, bias, arrows, envelope = expected
    for one, other in zip(found[2:4] + found[5:], (nodes, vectors, arrows, envelope)):
        assert_close(one, other, type_name)
    # What the host wrapper makes of the filters' gradients.
    seen = x["edges"].flatten(0, 1)
    assert_close((found[4] @ x["weight"]).view_as(edges), edges, type_name)
    assert_close(found[4].T @ seen, weight, type_name)
    assert_close(found[4].sum(0), bias, type_name)


@pytest.mark.parametrize("type_name, table", [("float", "radial"), ("double", "radial"), ("float", "half")])
def test_tabulated_filters(program, tmp_path, type_name, table) -> None:
    x = problem(type_name, 2, True)
    knots = x["knots"].bfloat16() if table == "half" else x["knots"]
    y, big = torch.ops.openmm_unisim.attend_radial(
        x["nodes"], x["vectors"], x["index"], x["mask"], x["distance"], knots, x["arrows"], x["envelope"],
        SIZES["heads"], True, *SHAPE,
    )  # fmt: skip
    found = split(run(program, tmp_path, x, type_name, table, 4), [y, big])
    assert_close(found[0], y, type_name)
    assert_close(found[1], big, type_name)


def test_an_index_outside_the_atoms_is_refused(program, tmp_path) -> None:
    x = problem("float", 1, False)
    x["index"][x["mask"]] = SIZES["n"]
    with pytest.raises(AssertionError, match="an index lies outside the atoms"):
        run(program, tmp_path, x, "float", "linear", 2)


def test_the_checker_sees_a_missing_wait(tmp_path) -> None:
    """The same loops with threads that don't wait for each other."""
    broken = tmp_path / "broken.cpp"
    broken.write_text(
        LOOPS.read_text(encoding="utf-8").replace("meeting->arrive_and_wait();", "", 1), encoding="utf-8"
    )
    path = compile_program(tmp_path / "broken", broken)
    with pytest.raises(AssertionError, match="data race"):
        run(path, tmp_path, problem("float", 2, True), "float", "linear", 6)


SMALL_CHUNKS = "CHUNK_NUMBERS = 500"  # two destinations of 3 slots and 72 channels at once
KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.MTIA)  # a device that is nowhere


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> None:
    """CudaOperators.cpp with the loops for the host, a stream of nobody, and small chunks."""
    folder = tmp_path_factory.mktemp("operators")
    source, library = folder / "operators.cpp", folder / "operators.so"
    text = (OPERATORS / "cuda" / "CudaOperators.cpp").read_text(encoding="utf-8")
    for old, new in (
        ("torchSide.getStreamNativeHandle(torchSide.getStream(x.device()))", "nullptr"),
        ("CHUNK_NUMBERS = 1 << 24", SMALL_CHUNKS),
        ("openmm_unisim, CUDA, library", "openmm_unisim, MTIA, library"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")
    folder = Path(torch.__file__).parent
    headers = [f"-isystem{folder / 'include'}", f"-isystem{folder / 'include/torch/csrc/api/include'}"]
    libraries = [f"-L{folder / 'lib'}", "-ltorch_cpu", "-lc10"]  # in the process already
    command = [
        "g++",
        "-std=c++20",
        "-O0",
        "-shared",
        "-fPIC",
        f"-I{OPERATORS}",
        f"-I{OPERATORS / 'cuda'}",
        *headers,
    ]
    subprocess.run(
        [*command, str(source), str(LOOPS), "-o", str(library), *libraries], check=True, timeout=300
    )
    torch.ops.load_library(library)


@pytest.mark.parametrize("type_name", DTYPES)
def test_what_torch_sees_of_the_kernels(registered, type_name) -> None:
    """Values and derivatives through the wrapper that CUDA gets, chunk by chunk; arrays that aren't contiguous."""
    x = problem(type_name, 2, True)
    names = ("nodes", "vectors", "index", "mask", "edges", "weight", "bias", "arrows", "envelope")
    given = [x[name] for name in names]
    given[0] = given[0].T.contiguous().T
    operators, heads = torch.ops.openmm_unisim, SIZES["heads"]
    expected = [*operators.attend(*given, heads, True)]
    expected += operators.attend_backward(x["gy"], x["gbig"], *given, heads, True)
    found = [*operators.attend.default.redispatch(KEYS, *given, heads, True)]
    gradient = operators.attend_backward.default
    found += gradient.redispatch(KEYS, x["gy"], x["gbig"], *given, heads, True)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, type_name)


@pytest.mark.parametrize("type_name, half", [("float", False), ("double", False), ("float", True)])
def test_what_torch_sees_of_tabulated_filters(registered, type_name, half) -> None:
    x = problem(type_name, 1, False)
    knots = x["knots"].bfloat16() if half else x["knots"]
    names = ("nodes", "vectors", "index", "mask", "distance")
    given = [*(x[name] for name in names), knots, x["arrows"], x["envelope"], SIZES["heads"], False, *SHAPE]
    operator = torch.ops.openmm_unisim.attend_radial
    for one, other in zip(operator.default.redispatch(KEYS, *given), operator(*given), strict=True):
        assert_close(one, other, type_name)


def test_wrong_arguments_are_refused(registered) -> None:
    x = problem("float", 1, False)
    names = ("nodes", "vectors", "index", "mask", "edges", "weight", "bias", "arrows", "envelope")
    given = [x[name] for name in names]
    operator = torch.ops.openmm_unisim.attend.default
    with pytest.raises(RuntimeError, match="one floating-point type"):
        operator.redispatch(KEYS, given[0], given[1].double(), *given[2:], SIZES["heads"], False)
    with pytest.raises(RuntimeError, match="arrays on meta and cpu; move all of them to one device"):
        operator.redispatch(KEYS, *given[:8], given[8].to("meta"), SIZES["heads"], False)
    with pytest.raises(RuntimeError, match="multiple of the heads"):
        operator.redispatch(KEYS, *given, 5, False)
