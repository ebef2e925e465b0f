"""Shared test set-up."""

import atexit
import locale
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault(
    "OPENMM_DEFAULT_PLATFORM", "Reference"
)  # with PoCL present an unnamed Context takes OpenCL

# Model files that tests write are trusted in the tests, and in nothing else of this account.
_own_folder = tempfile.mkdtemp(prefix="openmm_unisim_tests_")
atexit.register(shutil.rmtree, _own_folder, ignore_errors=True)
os.environ["OPENMM_UNISIM_TRUSTED_MODELS"] = str(Path(_own_folder, "trusted_models"))

import torch  # noqa: E402

pytest_plugins = ["tests.compatibility"]
torch.set_num_threads(
    1
)  # two spinning threads on a busy two-core machine are a hundred times slower than one


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers of pytest-xdist get whole files, and tests/platforms whole: its last test looks at all others."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            name = "platforms" if item.path.parent.name == "platforms" else item.nodeid.partition("::")[0]
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(autouse=True)
def same_locale() -> Iterator[None]:
    """PoCL sets the process's locale to C where it compiles some kernels, and then text is ASCII."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    if locale.setlocale(locale.LC_CTYPE) != before:
        locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small untrained weights, and a model file of each container made of them; compiling takes half a minute."""
    from openmm_unisim._plugin import operators_are_built
    from openmm_unisim.export.conditioned import export_conditioned, save_conditioned
    from openmm_unisim.model.conditioned import TIME_CENTRES
    from openmm_unisim.model.spread import SpreadHead
    from tests.export.test_conditioned import CONFIG, PROTOCOL, tiny_field

    if not operators_are_built():
        pytest.skip("the plugin is not built")
    folder = tmp_path_factory.mktemp("containers")
    files = {
        name: folder / f"tiny{suffix}"
        for name, suffix in {
            "weights": ".safetensors",
            "torchscript": ".unisim.pt",
            "package": ".unisim.pt2",
        }.items()
    }
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    save_conditioned(files["weights"], tiny_field(CONFIG), spread, CONFIG, 20.0, PROTOCOL, {"data": {}})
    for name in ("torchscript", "package"):
        export_conditioned(files["weights"], files[name], substeps=8)
    return files
