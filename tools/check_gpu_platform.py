"""Check the library for OpenMM's CUDA or HIP platform without a GPU: every name resolves, and it registers itself.

OpenMM's own library is taken from its wheel of the installed version (2 MB, fetched without what it requires), and the
driver, FFT and run-time compiler from stubs whose every function returns the error “no device”. What this can't show is
a run: device code is compiled when a Context is made, and there is none.

    python tools/check_gpu_platform.py CUDA|HIP [FOLDER]        the folder keeps the wheel and the stubs
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

PLUGINS = Path("OpenMM.libs/lib/plugins")
WHEELS = {"CUDA": "openmm-cuda-13", "HIP": "openmm-hip-6"}
STUBBED = {  # library: names that it is asked for
    "CUDA": {"libcuda.so.1": "cu[A-Z]", "libcufft.so.12": "cufft", "libnvrtc.so.13": "nvrtc"},
    "HIP": {"libamdhip64.so.6": "hip[A-Z]", "libhiprtc.so.6": "hiprtc"},
}
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE, hipErrorNoDevice
CHECK = """
import ctypes, os, sys
import openmm
from openmm_unisim import load_plugin, plugin_load_failures
name, theirs, ours = sys.argv[1:]
openmm.Platform.loadPluginLibrary(theirs)
load_plugin()
assert plugin_load_failures() == {}, plugin_load_failures()
ctypes.CDLL(ours, mode=os.RTLD_NOW)  # every name of the library is resolved here
platform = openmm.Platform.getPlatformByName(name)
assert platform.supportsKernels(["MoveUniSimData"])
system = openmm.System()
system.addParticle(1.0)
try:
    openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
except openmm.OpenMMException as error:
    print("registered on", name + "; a Context says:", str(error).splitlines()[0])
else:
    raise SystemExit("a Context was made by stubs")
"""


def run(*command: str, **settings) -> str:
    """Output of a command that must succeed."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    if answer.returncode != 0:
        raise SystemExit(f"`{' '.join(command[:4])} ...` failed:\n{answer.stdout}{answer.stderr}")
    return answer.stdout


def fetch_wheel(name: str, folder: Path) -> Path:
    """OpenMM's library of the installed version, from PyPI unless the folder has it."""
    library = folder / "wheel" / PLUGINS / f"libOpenMM{name}.so"
    if not library.is_file():
        wanted = f"{WHEELS[name]}=={version('openmm')}"
        target = ("--target", str(folder / "wheel"))
        run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", *target, wanted)
    return library


def make_stubs(name: str, library: Path, folder: Path) -> Path:
    """Libraries with every function that OpenMM's library takes from the vendor's, of the versions that it asks for."""
    stubs = folder / f"stubs-{name}"
    stubs.mkdir(parents=True, exist_ok=True)
    wanted = run("nm", "-D", "--undefined-only", str(library))
    for soname, start in STUBBED[name].items():
        by_version = defaultdict(list)
        for function, tag in re.findall(rf"\b({start}\w+)(?:@(\S+))?$", wanted, re.MULTILINE):
            by_version[tag].append(function)
        functions = sorted(f for found in by_version.values() for f in found)
        if not functions:
            raise SystemExit(f"{library} takes nothing from {soname}; adapt {__file__} to this version.")
        source, script = stubs / f"{soname}.c", stubs / f"{soname}.map"
        source.write_text("".join(map(_stub, functions)), encoding="utf-8")
        nodes = [f"{tag} {{ global: {'; '.join(found)}; }};\n" for tag, found in sorted(by_version.items())]
        script.write_text("".join(nodes), encoding="utf-8")
        run("gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", f"-Wl,--version-script={script}",
            "-o", str(stubs / soname), str(source))  # fmt: skip
    return stubs


def _stub(function: str) -> str:
    if function.endswith(("ErrorString", "ErrorName")):
        return f'const char* {function}(void) {{ return "no device"; }}\n'
    return f"int {function}(void) {{ return {NO_DEVICE}; }}\n"


def check(name: str, folder: Path) -> str:
    """What the check found, in a line; anything wrong ends the process."""
    import openmm_unisim

    ours = Path(openmm_unisim.__file__).parent / "lib" / "plugins" / f"libOpenMMUniSim{name}.so"
    if not ours.is_file():
        raise SystemExit(f"{ours} was not built: CMake found no headers, or UNISIM_{name} is OFF.")
    theirs = fetch_wheel(name, folder)
    paths = [str(make_stubs(name, theirs, folder)), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    return run(sys.executable, "-c", CHECK, name, str(theirs), str(ours), env=environment).strip()


def main() -> None:
    """With a folder of the caller's, or one that goes away."""
    if len(sys.argv) < 2 or sys.argv[1] not in WHEELS:
        sys.exit(__doc__)
    if len(sys.argv) > 2:
        print(check(sys.argv[1], Path(sys.argv[2]).resolve()))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(check(sys.argv[1], Path(folder)))


if __name__ == "__main__":
    main()
