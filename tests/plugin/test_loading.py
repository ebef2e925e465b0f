"""The plugin's loader: what it says when the plugin is absent or was built against something else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_unisim._plugin as plugin
from openmm_unisim import PluginError, load_plugin, plugin_load_failures

BUILD_INFO = Path(plugin.__file__).parent / "lib" / "build_info.json"


@pytest.fixture
def lib(tmp_path, monkeypatch) -> Path:
    """An empty folder in the place of the libraries."""
    monkeypatch.setattr(plugin, "_LIBRARIES", tmp_path)
    return tmp_path


def load_again() -> None:
    plugin.load_plugin.__wrapped__()


def test_everything_is_loaded() -> None:
    assert load_plugin() is load_plugin()
    assert plugin_load_failures() == {}


def test_absent_plugin(lib) -> None:
    with pytest.raises(
        PluginError, match=r"absent .* build it again with `pip install --no-build-isolation \."
    ):
        load_again()


@pytest.mark.parametrize("name", ["torch", "openmm"])
def test_another_version_than_the_one_built_against(lib, name: str) -> None:
    info = json.loads(BUILD_INFO.read_text(encoding="utf-8"))
    info[name] = "1.99.0"
    (lib / "build_info.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(PluginError, match=rf"built against {name} 1\.99\.0, and {name} .* is installed"):
        load_again()


def test_a_platform_library_that_cannot_be_loaded_is_recorded(lib, monkeypatch) -> None:
    (lib / "build_info.json").write_text(BUILD_INFO.read_text(encoding="utf-8"), encoding="utf-8")
    (lib / "plugins").mkdir()
    (lib / "plugins" / "libBroken.so").write_bytes(b"no library")
    monkeypatch.setattr(plugin, "_failures", {})
    load_again()
    assert list(plugin_load_failures()) == ["libBroken.so"]


def test_package_works_without_the_plugin() -> None:
    code = """
import openmm_unisim._plugin as plugin, pathlib
plugin._LIBRARIES = pathlib.Path("/nowhere")
import openmm_unisim, openmm_unisim.system, openmm_unisim.export.metadata
try:
    openmm_unisim.UniSimIntegrator
except openmm_unisim.PluginError as error:
    print("PluginError", error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert answer.stdout.startswith("PluginError The compiled plugin is absent")
