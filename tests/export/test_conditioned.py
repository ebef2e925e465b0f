"""The conditioned field as a model file."""

from pathlib import Path

import pytest
import torch

from openmm_unisim.errors import CheckpointError, ConfigError
from openmm_unisim.export.conditioned import export_conditioned, load_conditioned, save_conditioned
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
from openmm_unisim.model.spread import SpreadHead
from openmm_unisim.system import load_molecule

from ..conditioned_models import PROTOCOL

CONFIG = ConditionedConfig(
    hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8, filters=5, refine_layers=1,
    refine_rbf=9,
)  # fmt: skip


def tiny_field(config: ConditionedConfig) -> ConditionedField:
    """A field in which no part is silent: filter and refinement start as zero."""
    field = ConditionedField(config, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(4)
    for parameter in [field.refinement.head.second.weight, *(f.second.weight for f in field.filters)]:
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return field


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    field = tiny_field(CONFIG)
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    save_conditioned(path, field, spread, CONFIG, 20.0, PROTOCOL, {"data": {}})
    return path


@pytest.fixture(scope="module", params=["group-wise", "isotropic"])
def model_file(request, weights, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / f"{request.param}.unisim.pt"
    export_conditioned(weights, path, substeps=8, covariance=request.param)
    return path


def test_keeps_the_contract(model_file):
    validate_model_file(model_file)


def test_so_does_what_the_ablations_switch_off(tmp_path):
    config = CONFIG.model_copy(update={"conditioned": False, "expand": 1})
    spread = SpreadHead(config.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    save_conditioned(
        tmp_path / "w.safetensors", tiny_field(config), spread, config, 20.0, PROTOCOL, {"data": {}}
    )
    export_conditioned(tmp_path / "w.safetensors", tmp_path / "blind.unisim.pt", substeps=8)
    validate_model_file(tmp_path / "blind.unisim.pt")
    assert not load_conditioned(tmp_path / "w.safetensors")[0].conditioned


def test_scripted_equals_eager(weights, model_file):
    """The frozen file and the module it was made of give the same substep."""
    from openmm_unisim.export.scripted import ConditionedJump

    field, spread, extra = load_conditioned(weights)
    group_wise = "isotropic" not in model_file.name
    eager = ConditionedJump(field, spread, extra["lag_time"], 2.5, group_wise, torch.tensor([1, 6, 7, 8]))
    molecule = load_molecule("ACE-ALA-NME")
    x0 = torch.from_numpy(molecule.positions).float().unsqueeze(0)
    generator = torch.Generator().manual_seed(0)
    x = x0 + 0.01 * torch.randn(x0.shape, generator=generator)
    numbers, bonds = torch.from_numpy(molecule.atomic_numbers), torch.from_numpy(molecule.bonds)
    none, noise = torch.zeros(0), torch.randn(x0.shape, generator=generator)
    t, t_next = torch.tensor([0.2], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    arguments = (x, x0, numbers, bonds, t, t_next, 2.494, none, 0.0, none, noise)
    scripted = load_model_file(model_file)[0]
    with torch.no_grad():
        expected, density = eager.step(*arguments)
        found, found_density = scripted.step(*arguments)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(found_density, density, atol=1e-2)


def export_of(tmp_path, lag_times=20.0, record=None, lag_time=None, **protocol):
    field = tiny_field(CONFIG)
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    path = tmp_path / "w.safetensors"
    save_conditioned(path, field, spread, CONFIG, lag_times, PROTOCOL | protocol, record or {"data": {}})
    return export_conditioned(path, tmp_path / "m.unisim.pt", substeps=8, lag_time=lag_time)


def test_of_several_lags_one_is_chosen(tmp_path):
    with pytest.raises(ConfigError, match=r"serves the lags 10, 20, 50 ps.*--lag-time"):
        export_of(tmp_path, (10.0, 20.0, 50.0))
    assert export_of(tmp_path, (10.0, 20.0, 50.0), lag_time=50.0).lag_time_ps == 50.0
    with pytest.raises(ConfigError, match="wasn't trained for a lag of 30 ps; choose one of 10, 20"):
        export_of(tmp_path, (10.0, 20.0), lag_time=30.0)


def test_metadata_of_many_molecules_say_what_they_are(tmp_path):
    names = ["ACE-A-NME", "ACE-VFW-NME", "butane"]
    found = export_of(
        tmp_path, molecules=names, name="3 molecules", nanoseconds=1234.5678, constraints="h-bonds"
    )
    expected = "3 molecules (2 capped peptides of 1 to 3 residues; 1 other), obc2, 300 K, 1235 ns"
    assert found.training_data == expected and found.constraints == "h-bonds"


def test_metadata_of_one_molecule_name_its_formula(tmp_path):
    found = export_of(
        tmp_path, record={"data": {"a": "", "b": ""}}, atomic_numbers=[6, 1, 1, 1, 1], hydrogen_mass_Da=1.008
    )
    assert found.training_data == "ACE-A-NME, formula CH4, obc2, 300 K, 2 walkers"
    assert found.masses == "hydrogen 1.008 Da" and found.elements == (1, 6)


def test_errors(weights, tmp_path):
    with pytest.raises(ConfigError, match="group-wise"):
        export_conditioned(weights, tmp_path / "x.pt", covariance="magic")
    with pytest.raises(CheckpointError):
        export_conditioned(Path(__file__), tmp_path / "x.pt")
