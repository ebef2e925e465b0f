"""Model files whose last means are corrected by forces: the contract, and what is refused."""

from pathlib import Path

import pytest
import torch

from openmm_unisim.errors import ConfigError, ModelFileError
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.export.loader import MODEL_ERRORS, load_model_file
from openmm_unisim.export.metadata import ModelMetadata, read_metadata
from openmm_unisim.export.validate import validate_model_file

from ..conditioned_models import CONFIG, write_tiny_model
from .test_guided import arguments

THRESHOLD = 0.01  # nm; sigma sqrt(1-t) of the last substeps of eight
EARLY, LATE = (0.2, 0.3), (1.0 - (0.05 / CONFIG.sigma) ** 2, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("means")
    write_tiny_model(folder)
    for name, plain in (("fused", False), ("plain", True)):
        export_conditioned(
            folder / "weights.safetensors", folder / f"{name}.unisim.pt", substeps=8, plain=plain,
            force_means=THRESHOLD,
        )  # fmt: skip
    return folder


def state_at(times: tuple[float, float]) -> dict:
    return {**arguments(*times), "guidance_scale": 0.0}


def forces() -> torch.Tensor:
    return 300.0 * torch.randn((1, 22, 3), generator=torch.Generator().manual_seed(4))


def step(module, state: dict, **more) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return module.step(**{**state, "noise": torch.zeros_like(state["positions"]), **more})


@pytest.mark.parametrize("name", ["fused", "plain"])
def test_keeps_the_contract(folder, name):
    metadata = validate_model_file(folder / f"{name}.unisim.pt").metadata
    assert metadata.force_means_nm == THRESHOLD and metadata.format_version == 4
    assert metadata.served_sources == ("none",) and not metadata.forces_required
    assert read_metadata(folder / "tiny.unisim.pt").force_means_nm == 0.0


def test_early_substeps_are_the_base_files_and_ask_for_nothing(folder):
    base = load_model_file(folder / "tiny.unisim.pt")[0]
    module = load_model_file(folder / "fused.unisim.pt")[0]
    state = state_at(EARLY)
    assert module.guidance_points(**state).numel() == 0
    for found, expected in zip(step(module, state), step(base, state)):
        assert torch.equal(found, expected)


def test_late_substeps_follow_the_forces_and_both_forms_agree(folder):
    state, ends = state_at(LATE), {}
    for name in ("fused", "plain"):
        module = load_model_file(folder / f"{name}.unisim.pt")[0]
        with torch.no_grad():
            points = module.guidance_points(**state)
        assert points.shape == state["positions"].shape and bool(points.isfinite().all())
        still, pulled = (step(module, state, forces=f)[0] for f in (0.0 * forces(), forces()))
        ends[name] = pulled
        change = 10 * (pulled - still)
        assert 1e-4 < float(change.abs().max()) <= 2 * 10 * THRESHOLD
        assert float((change * forces()).sum()) > 0.0
        with pytest.raises(MODEL_ERRORS, match="wanted at guidance_points"):
            step(module, state)
    assert float((ends["fused"] - ends["plain"]).abs().max()) < 2e-6


def test_a_batch_of_early_and_late_substeps_asks_for_the_late_ones(folder):
    """As the reversed path is evaluated: NaN marks a copy that wants no forces."""
    module = load_model_file(folder / "fused.unisim.pt")[0]
    early, late = state_at(EARLY), state_at(LATE)
    arrays = ("positions", "initial_positions", "t", "t_next")
    both = {**early, **{name: torch.cat([early[name], late[name]]) for name in arrays}}
    with torch.no_grad():
        points, alone = module.guidance_points(**both), module.guidance_points(**late)
    assert bool(points[0].isnan().all()) and float((points[1] - alone[0]).abs().max()) < 1e-6
    given = torch.cat([torch.zeros_like(forces()), forces()])
    together = step(module, both, forces=given)[0]
    apart = torch.cat([step(module, early)[0], step(module, late, forces=forces())[0]])
    assert float((together - apart).abs().max()) < 1e-6


def test_what_cannot_be_combined_is_refused(folder):
    weights, output = folder / "weights.safetensors", folder / "other.unisim.pt"
    for settings, words in (
        ({"covariance": "isotropic"}, "need the group-wise covariance"),
        ({"source": "openmm"}, "guidance source openmm exclude each other"),
        ({"source": "resample"}, "guidance source resample exclude each other"),
    ):
        with pytest.raises(ConfigError, match=words):
            export_conditioned(weights, output, force_means=0.005, **settings)
    with pytest.raises(ConfigError, match="is no width"):
        export_conditioned(weights, output, force_means=-1.0)
    with pytest.raises(ModelFileError, match="can't have force means"):
        export_conditioned(weights, folder / "other.unisim.pt2", force_means=0.005)
    known = read_metadata(folder / "fused.unisim.pt").model_dump()
    with pytest.raises(ValueError, match="can't be combined"):
        ModelMetadata.model_validate({**known, "guidance": "openmm", "guidance_alpha": 1.0})
