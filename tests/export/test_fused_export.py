"""Model files with fused operators: the same law as plain ones, and one clear error where the operators are absent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import openmm_unisim._plugin as plugin
from openmm_unisim.errors import PluginError
from openmm_unisim.export.conditioned import export_conditioned, save_conditioned
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.metadata import OPERATORS_VERSION, read_metadata
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.model.conditioned import TIME_CENTRES
from openmm_unisim.model.spread import SpreadHead
from openmm_unisim.system import load_molecule

from ..model.elsewhere import Elsewhere
from .test_conditioned import CONFIG, PROTOCOL, tiny_field

if not plugin.operators_are_built():
    pytest.skip("the plugin is not built", allow_module_level=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The same weights as a plain and as a fused model file."""
    folder = tmp_path_factory.mktemp("fused")
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    save_conditioned(
        folder / "w.safetensors", tiny_field(CONFIG), spread, CONFIG, 20.0, PROTOCOL, {"data": {}}
    )
    paths = {}
    for name in ("plain", "fused"):
        paths[name] = folder / f"{name}.unisim.pt"
        export_conditioned(folder / "w.safetensors", paths[name], substeps=8, plain=name == "plain")
    return paths


def arguments(copies: int = 2) -> dict:
    molecule = load_molecule("ACE-ALA-NME")
    generator = torch.Generator().manual_seed(0)
    start = torch.from_numpy(molecule.positions).float() + 0.01 * torch.randn(
        copies, 22, 3, generator=generator
    )
    now = start + 0.01 * torch.randn(start.shape, generator=generator)
    return {
        "positions": now, "initial_positions": start, "atomic_numbers": torch.from_numpy(molecule.atomic_numbers),
        "bonds": torch.from_numpy(molecule.bonds), "t": torch.tensor([0.0, 0.6], dtype=torch.float64),
        "t_next": torch.tensor([0.01, 0.7], dtype=torch.float64), "kT": 2.494, "forces": torch.zeros(0),
        "guidance_scale": 0.0, "box_vectors": torch.zeros(0), "noise": torch.randn(start.shape, generator=generator),
    }  # fmt: skip


def test_the_same_substep_for_the_same_noise(files):
    given = arguments()
    with torch.no_grad():
        plain = load_model_file(files["plain"])[0].step(**given)
        fused = load_model_file(files["fused"])[0].step(**given)
    size = (plain[0] - given["positions"]).abs().max()
    assert (fused[0] - plain[0]).abs().max() < 1e-5 * size
    assert torch.allclose(fused[1], plain[1], rtol=1e-5, atol=1e-3)


def test_the_same_substep_on_a_device_without_kernels_of_ours(files):
    """The whole scripted file; only the operators' forms for any device run."""
    given = arguments()
    with torch.no_grad():
        module = load_model_file(files["fused"])[0]
        expected = module.step(**given)
        with Elsewhere() as mode:
            found = module.step(**given)
    assert {"attention_layer", "attend", "embed_edges", "step_factor", "full_table"} <= mode.seen
    size = (expected[0] - given["positions"]).abs().max()
    assert (found[0] - expected[0]).abs().max() < 1e-5 * size
    assert torch.allclose(found[1], expected[1], rtol=1e-5, atol=1e-3)


def test_the_same_drift(files):
    given = {
        name: arguments()[name] for name in ("positions", "initial_positions", "atomic_numbers", "bonds", "t")
    }
    with torch.no_grad():
        plain, fused = (load_model_file(files[name])[0].drift(**given) for name in ("plain", "fused"))
    assert (fused - plain).abs().max() < 2e-5 * plain.abs().max()


def test_the_fused_file_keeps_the_contract(files):
    validate_model_file(files["fused"])


def test_nan_in_gives_nan_out(files):
    given = arguments()
    given["positions"][1, 3] = float("nan")
    with torch.no_grad():
        following, density = load_model_file(files["fused"])[0].step(**given)
    assert bool(following[0].isfinite().all()) and bool(following[1].isnan().any())
    assert bool(density[0].isfinite()) and bool(density[1].isnan())


def test_metadata_says_what_is_needed(files):
    plain, fused = (read_metadata(files[name]) for name in ("plain", "fused"))
    assert (plain.operators, plain.format_version) == (0, 1)
    assert (fused.operators, fused.format_version) == (OPERATORS_VERSION, 2)
    assert fused.weights_sha256 == plain.weights_sha256


def test_weights_are_stored_at_most_twice(files, tmp_path):
    """Packed for small molecules, and as they are for pairs of larger ones; once in a model of one small molecule."""
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    both = {**PROTOCOL, "molecules": ["ACE-A-NME", "ACE-AAA-NME"]}
    save_conditioned(tmp_path / "w.safetensors", tiny_field(CONFIG), spread, CONFIG, 20.0, both, {"data": {}})
    export_conditioned(tmp_path / "w.safetensors", tmp_path / "two.unisim.pt", substeps=8)
    plain, one, two = (
        path.stat().st_size for path in (files["plain"], files["fused"], tmp_path / "two.unisim.pt")
    )
    assert one < 1.3 * plain and 1.5 * plain < two < 2.3 * plain


def test_absent_operators_are_one_clear_error(files, monkeypatch, tmp_path):
    """The loader says what to do; the plain file still loads, and exports are plain."""
    (tmp_path / "build_info.json").write_text(json.dumps({"torch": torch.__version__}), encoding="utf-8")
    monkeypatch.setattr(plugin, "_LIBRARIES", tmp_path)
    plugin.load_operators.cache_clear()
    with pytest.raises(PluginError, match=r"fused operators can't be loaded.*build it again"):
        load_model_file(files["fused"])
    load_model_file(files["plain"])
    export_conditioned(files["plain"].parent / "w.safetensors", tmp_path / "again.unisim.pt")
    assert read_metadata(tmp_path / "again.unisim.pt").operators == 0


def test_a_fresh_process_changes_metadata(files, tmp_path):
    code = (
        "import sys; from pathlib import Path; from openmm_unisim.export.change import change_metadata;"
        "print(change_metadata(Path(sys.argv[1]), Path(sys.argv[2]), {'license': 'CC0'}).license)"
    )
    command = [sys.executable, "-c", code, files["fused"], tmp_path / "changed.unisim.pt"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout.strip() == "CC0", result.stderr


def test_a_fresh_process_loads_the_operators_itself(files):
    code = (
        "import sys, torch; from openmm_unisim.export.loader import load_model_file;"
        "print(load_model_file(sys.argv[1])[0].time_grid(8).shape)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(files["fused"])],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "9" in result.stdout
