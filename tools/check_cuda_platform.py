"""Check the library for OpenMM's CUDA platform without a GPU: every name resolves, and it registers itself.

OpenMM's own CUDA library is taken from the wheel openmm-cuda-13 of the installed version (2 MB, fetched without what
it requires), and the driver, cuFFT and NVRTC from stubs whose every function returns CUDA_ERROR_NO_DEVICE. What this
can't show is a run: device code is compiled by NVRTC when a Context is made, and there is none.

    python tools/check_cuda_platform.py [FOLDER]        the folder keeps the wheel and the stubs
"""

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PLUGINS = Path("OpenMM.libs/lib/plugins")
CHECK = """
import ctypes, os, sys
import openmm
from openmm_unisim import load_plugin, plugin_load_failures
theirs, ours = sys.argv[1:]
openmm.Platform.loadPluginLibrary(theirs)
load_plugin()
assert plugin_load_failures() == {}, plugin_load_failures()
ctypes.CDLL(ours, mode=os.RTLD_NOW)  # every name of the library is resolved here
platform = openmm.Platform.getPlatformByName("CUDA")
assert platform.supportsKernels(["MoveUniSimData"])
system = openmm.System()
system.addParticle(1.0)
try:
    openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
except openmm.OpenMMException as error:
    print("registered on CUDA; a Context says:", str(error).splitlines()[0])
else:
    raise SystemExit("a Context on CUDA was made by stubs")
"""


def run(*command: str, **settings) -> str:
    """Output of a command that must succeed."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    if answer.returncode != 0:
        raise SystemExit(f"`{' '.join(command[:4])} ...` failed:\n{answer.stdout}{answer.stderr}")
    return answer.stdout


def fetch_wheel(folder: Path) -> Path:
    """OpenMM's CUDA library of the installed version, from PyPI unless the folder has it."""
    library = folder / "wheel" / PLUGINS / "libOpenMMCUDA.so"
    if not library.is_file():
        wanted = f"openmm-cuda-13=={version('openmm')}"
        run(
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(folder / "wheel"),
            wanted,
        )
    return library


def make_stubs(library: Path, folder: Path) -> Path:
    """Libraries with every function that the library takes from CUDA's."""
    stubs = folder / "stubs"
    stubs.mkdir(parents=True, exist_ok=True)
    names = run("nm", "-D", "--undefined-only", str(library))
    for soname, pattern in (
        ("libcuda.so.1", r"\b(cu[A-Z]\w+)$"),
        ("libcufft.so.12", r"\b(cufft\w+)@libcufft\.so\.12"),
        ("libnvrtc.so.13", r"\b(nvrtc\w+)@libnvrtc\.so\.13"),
    ):
        functions = sorted(set(re.findall(pattern, names, re.MULTILINE)))
        if not functions:
            raise SystemExit(f"{library} takes nothing from {soname}; adapt {__file__} to this version.")
        source = stubs / f"{soname}.c"
        source.write_text(
            "".join(f"int {name}(void) {{ return 100; }}\n" for name in functions), encoding="utf-8"
        )
        script = stubs / f"{soname}.map"
        script.write_text(
            f"{soname} {{ global: *; }};\n" if soname != "libcuda.so.1" else "{ global: *; };\n",
            encoding="utf-8",
        )
        run("gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", f"-Wl,--version-script={script}",
            "-o", str(stubs / soname), str(source))  # fmt: skip
    return stubs


def check(folder: Path) -> str:
    """What the check found, in a line; anything wrong ends the process."""
    import openmm_unisim

    ours = Path(openmm_unisim.__file__).parent / "lib" / "plugins" / "libOpenMMUniSimCUDA.so"
    if not ours.is_file():
        raise SystemExit(f"{ours} was not built: CMake found no cuda.h, or UNISIM_CUDA is OFF.")
    theirs = fetch_wheel(folder)
    paths = [str(make_stubs(theirs, folder)), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    return run(sys.executable, "-c", CHECK, str(theirs), str(ours), env=environment).strip()


def main() -> None:
    """With a folder of the caller's, or one that goes away."""
    if len(sys.argv) > 1:
        print(check(Path(sys.argv[1]).resolve()))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(check(Path(folder)))


if __name__ == "__main__":
    main()
