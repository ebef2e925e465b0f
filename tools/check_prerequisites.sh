#!/usr/bin/env bash
# Checks what `make` needs from the machine before it starts, and names what is missing, all at once.
# usage: tools/check_prerequisites.sh PYTHON        (PYTHON as the Makefile calls it, e.g. python3.11)
set -uo pipefail

python=${1:?usage: tools/check_prerequisites.sh PYTHON}
packages=()

missing() { # message, Debian package
    echo "missing: $1 (Debian package: $2)" >&2
    packages+=("$2")
}

command -v make >/dev/null || missing "make, which runs the project's commands" make

if ! command -v g++ >/dev/null; then
    missing "g++, the C++ compiler that builds the OpenMM plugin" g++
elif [ "$(g++ -dumpversion | cut -d. -f1)" -lt 11 ]; then
    missing "a C++20 compiler: g++ 11 or newer, this one is $(g++ -dumpversion)" g++
fi

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
if [ "$version" != 3.11 ]; then
    missing "Python 3.11, for which the packages are pinned: '$python' is ${version:-not there}" python3.11
    packages+=(python3.11-venv python3.11-dev)
else
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing "the venv and ensurepip modules of $python, which make .venv" python3.11-venv
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    [ -f "$header" ] || missing "$header, which the SWIG module is compiled with" python3.11-dev
fi

[ -f /usr/include/CL/cl.h ] || echo "optional: without OpenCL's headers no kernels for OpenMM's OpenCL platform are" \
    "built (Debian packages: opencl-headers ocl-icd-opencl-dev; pocl-opencl-icd runs it on a processor)" >&2

if [ ${#packages[@]} -gt 0 ]; then
    echo "On Debian or Ubuntu install what is missing with: sudo apt-get install ${packages[*]}" >&2
    exit 1
fi
