"""The library of CUDA kernels: built where there is nvcc, linked strictly, and no trouble where there is no driver."""

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_unisim._plugin as plugin

LIBRARY = Path(plugin.__file__).parent / "lib" / plugin.CUDA_OPERATORS
FAT_BINARY = struct.pack("<IH", 0xBA55ED50, 1)  # magic number and version
if not plugin.operators_are_built():
    pytest.skip("the plugin is not built", allow_module_level=True)


@pytest.fixture(scope="module")
def library() -> Path:
    """The compiled library."""
    if not LIBRARY.is_file():
        if shutil.which("nvcc") is None:
            pytest.skip("nvcc is absent: CUDA kernels were not compiled")
        pytest.fail(
            "nvcc is here and the CUDA kernels were not compiled; build again without UNISIM_CUDA=OFF"
        )
    return LIBRARY


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_it_needs_no_cuda_library(library) -> None:
    """One library for every CUDA build of torch: its runtime is inside, the driver is found when it is used."""
    needed = [
        line.split("[")[1].rstrip("]")
        for line in output("readelf", "-d", str(library)).splitlines()
        if "NEEDED" in line
    ]
    assert any(name.startswith("libtorch") for name in needed)
    assert not [name for name in needed if "cuda" in name or "cudart" in name]


def test_it_shows_and_wants_no_names_of_cuda(library) -> None:
    """The runtime inside must not mix with the one that a CUDA torch brings."""
    names = [line.split()[-1] for line in output("nm", "-D", str(library)).splitlines()]
    assert not [name for name in names if name.startswith(("cuda", "__cuda", "cu"))]


def architectures(library: Path) -> set[tuple[str, int]]:
    """Kind and architecture of each piece of device code: a fat binary is a header, then pieces that begin with kind,
    size of header, size, …, architecture."""
    content, found = library.read_bytes(), set()
    for start in (match.start() for match in re.finditer(re.escape(FAT_BINARY), content)):
        header, size = struct.unpack_from("<HQ", content, start + 6)
        piece, end = start + header, start + header + size
        while piece < end:
            kind, _, own, length = struct.unpack_from("<HHIQ", content, piece)
            found.add(({1: "ptx", 2: "machine code"}[kind], struct.unpack_from("<I", content, piece + 28)[0]))
            piece += own + length
    return found


def test_it_holds_code_for_the_named_architectures(library) -> None:
    assert architectures(library) >= {("machine code", 80), ("machine code", 90), ("ptx", 90)}


def test_it_loads_without_a_driver_and_the_cpu_goes_on(library) -> None:
    code = f"""
import torch
from openmm_unisim._plugin import load_operators, plugin_load_failures
load_operators()
loaded = "libOpenMMUniSimOperatorsCUDA" in open("/proc/self/maps").read()
assert loaded == torch.cuda.is_available()
torch.ops.load_library({str(library)!r})
table = torch._C._dispatch_dump_table("openmm_unisim::attend")
assert "CudaOperators.cpp" in next(line for line in table.splitlines() if line.startswith("CUDA:"))
with torch.no_grad():
    panels = torch.ones(1, 3, 32)
    assert torch.ops.openmm_unisim.linear(torch.ones(2, 3), panels, torch.zeros(4)).sum() == 24
print("loaded", plugin_load_failures())
"""
    assert output(sys.executable, "-c", code).strip() == "loaded {}"


def test_an_absent_library_is_recorded_and_no_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(plugin, "_LIBRARIES", tmp_path)
    monkeypatch.setattr(plugin, "_failures", {})
    plugin._load_cuda_operators()
    assert list(plugin.plugin_load_failures()) == [plugin.CUDA_OPERATORS]
    assert "No such file" in plugin.plugin_load_failures()[plugin.CUDA_OPERATORS]


@pytest.mark.parametrize(
    "capability, reason", [((7, 0), "is needed, and a device has"), (None, "driver is gone")]
)
def test_an_old_or_failing_device_is_recorded_and_no_error(monkeypatch, capability, reason) -> None:
    import torch

    def answer(device: int) -> tuple[int, int]:
        if capability is None:
            raise RuntimeError("the driver is gone")
        return capability

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", answer)
    monkeypatch.setattr(plugin, "_failures", {})
    plugin._load_cuda_operators()
    assert reason in plugin.plugin_load_failures()[plugin.CUDA_OPERATORS]
