"""One body of tests for every platform, as OpenMM's own: what they show is the table of docs/compatibility.md."""

from pathlib import Path

import pytest

from tests.plugin.systems import platform_names
from tests.toy_models import write_toy

# OpenCL in mixed precision stands for the others in the default run: compiling its kernels takes seconds a Context.
QUICK = platform_names("Reference", "CPU", "OpenCL-mixed")
SLOW = platform_names("OpenCL-single", "OpenCL-double", "CUDA-single", "CUDA-mixed", "CUDA-double")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat a test that takes `platform`, and doesn't choose it itself, on every one that is here."""
    chosen = any("platform" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "platform" in metafunc.fixturenames and not chosen:
        metafunc.parametrize(
            "platform", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
        )


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files of analytic toys, by name."""
    folder = tmp_path_factory.mktemp("toys")
    variants = {
        "ou": dict(kind="ou"),
        "guided": dict(kind="guided"),
        "shift": dict(kind="constant"),
        "gentle": dict(kind="constant", velocity=(0.002, -0.001, 0.001), sigma=0.0005),
        "leaving": dict(kind="ou", a=2.0, s=0.001, sigma=0.001),  # molecules part
        "nan": dict(kind="nan", k=3),
        "periodic": dict(kind="ou", metadata={"periodic": True}),
    }
    return {name: write_toy(folder / f"{name}.unisim.pt", **settings) for name, settings in variants.items()}
