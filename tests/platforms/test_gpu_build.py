"""CUDA and HIP on a machine without a GPU

The kernels for OpenMM's CUDA and HIP platforms compile, every name resolves, the factory registers, and nothing breaks.
"""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import openmm
import pytest

import openmm_unisim._plugin as plugin

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = Path(plugin.__file__).parent / "lib" / "plugins"
DEVICE_CODE = ROOT / "plugin" / "platforms" / "common" / "kernels" / "moveUniSimData.cc"
TOOL = ROOT / "tools" / "check_gpu_platform.py"
# what OpenMM puts before device code on CUDA, as far as it is used here
PRELUDE = """
#define KERNEL extern "C" __global__
#define GLOBAL
#define RESTRICT __restrict__
#define GLOBAL_ID (blockIdx.x*blockDim.x+threadIdx.x)
#define GLOBAL_SIZE (blockDim.x*gridDim.x)
#define NUM_ATOMS 100
#define PADDED_NUM_ATOMS 128
#define NUM_PARTICLES 7
typedef long long mm_long;
"""
TYPES = "typedef {0} real; typedef {0}4 real4; typedef {1} mixed; typedef {1}4 mixed4;\n"
MAKERS = "#define make_real4 make_{0}4\n#define make_mixed4 make_{1}4\n"
PRECISIONS = {"single": ("float", "float"), "mixed": ("float", "double"), "double": ("double", "double")}
if not TOOL.is_file():
    pytest.skip("needs the source tree", allow_module_level=True)


BUILD = pytest.mark.parametrize("platform", ["CUDA build"])


BOTH = pytest.mark.parametrize("platform", ["CUDA build", "HIP build"])
HEADERS = {"CUDA": Path("/usr/local/cuda/include/cuda.h"), "HIP": Path("/usr/include/hip/hip_runtime.h")}


@pytest.fixture
def library(platform: str) -> Path:
    """The compiled library."""
    name = platform.removesuffix(" build")
    path = LIBRARIES / f"libOpenMMUniSim{name}.so"
    if not path.is_file():
        if HEADERS[name].is_file():
            pytest.fail(f"{HEADERS[name]} is here and the library was not compiled; build again")
        pytest.skip(f"{name}'s headers are absent: kernels for OpenMM's {name} platform were not compiled")
    return path


@pytest.fixture
def tool() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check_gpu_platform", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@BOTH
@pytest.mark.feature("linked with OpenMM's own library: every name resolves, the factory registers")
def test_every_name_resolves_and_the_factory_registers(platform, library, tool, tmp_path) -> None:
    name = platform.removesuffix(" build")
    try:
        tool.fetch_wheel(name, tmp_path)
    except SystemExit as error:
        pytest.skip(f"the wheel {tool.WHEELS[name]} can't be had: {str(error).splitlines()[-1]}")
    assert f"registered on {name}; a Context says: " in tool.check(name, tmp_path)


@BOTH
@pytest.mark.feature("loaded where OpenMM has no such platform or no driver: the other platforms go on")
def test_it_loads_where_openmm_has_no_such_platform(platform, library) -> None:
    name = platform.removesuffix(" build")
    plugin.load_plugin()
    there = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    assert library.name not in plugin.plugin_load_failures()
    assert str(library.name) in Path("/proc/self/maps").read_text(encoding="utf-8")
    if name not in there:
        with pytest.raises(openmm.OpenMMException, match=f"no registered Platform called .{name}"):
            openmm.Platform.getPlatformByName(name)


@BUILD
@pytest.mark.feature("device code compiled by nvcc in single, mixed and double precision")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_device_code_is_cuda(platform: str, precision: str, tmp_path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is absent")
    types = PRECISIONS[precision]
    mixed = "#define USE_MIXED_PRECISION\n" if precision == "mixed" else ""
    source = tmp_path / "code.cu"
    source.write_text(
        PRELUDE
        + mixed
        + TYPES.format(*types)
        + MAKERS.format(*types)
        + DEVICE_CODE.read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    subprocess.run(["nvcc", "-ptx", "-o", str(tmp_path / "code.ptx"), str(source)], check=True, timeout=120)
    names = (tmp_path / "code.ptx").read_text(encoding="utf-8")
    for kernel in ("save", "restore", "gather", "scatter"):
        assert f".entry {kernel}Positions" in names
