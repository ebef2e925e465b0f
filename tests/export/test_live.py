"""Model files guided by OpenMM's forces: what they add to the end point, and that they keep the contract."""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from openmm_unisim.errors import ConfigError, ModelFileError
from openmm_unisim.export.change import change_metadata
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.export.live import LiveJump
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.metadata import GUIDANCE_SOURCES, read_metadata
from openmm_unisim.export.scripted import ConditionedJump
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.geometry import remove_rigid_motion
from openmm_unisim.interpolant.live_guidance import told_share
from openmm_unisim.model.spread import SpreadHead

from ..conditioned_models import CONFIG, tiny_field, write_tiny_live_model
from .test_guided import arguments

LEARNED, OPENMM, RESIDUAL = (GUIDANCE_SOURCES.index(s) for s in ("learned", "openmm", "openmm+residual"))
ALPHA = 0.8


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    write_tiny_live_model(folder)
    export_conditioned(folder / "vacuum.safetensors", folder / "base.unisim.pt", substeps=8)
    return folder


@cache
def loaded(path: Path):
    return load_model_file(path)[0]


def forces() -> torch.Tensor:
    return 300.0 * torch.randn((1, 22, 3), generator=torch.Generator().manual_seed(4))


def drift(module, source: int, scale: float = 1.0, given: torch.Tensor | None = None, t: float = 0.2):
    state = arguments(t, t + 0.1)
    chosen = {
        name: state[name] for name in ("positions", "initial_positions", "atomic_numbers", "bonds", "t", "kT")
    }
    wanted = forces() if given is None else given
    with torch.no_grad():
        return module.drift(
            **chosen, forces=wanted, guidance_alpha=ALPHA, guidance_source=source, guidance_scale=scale
        )


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kernel", [False, True])
def test_keeps_the_contract(tmp_path, plain, kernel):
    metadata = validate_model_file(write_tiny_live_model(tmp_path, kernel, plain)).metadata
    assert metadata.guidance == "openmm" and metadata.forces_required and metadata.guidance_alpha == ALPHA
    assert metadata.guidance_sources == (("learned", "openmm", "openmm+residual") if kernel else ("openmm",))
    assert "resample" in metadata.served_sources and "none" in metadata.served_sources
    assert (metadata.operators == 0) == plain


def test_unguided_steps_are_the_base_files_bit_for_bit(folder):
    base, live = loaded(folder / "base.unisim.pt"), loaded(folder / "live.unisim.pt")
    for t, t_next in ((0.0, 0.01), (0.2, 0.3), (0.97, 1.0)):
        state = arguments(t, t_next)
        noise = torch.randn(state["positions"].shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = base.step(**state, guidance_scale=0.0, noise=noise)
            for source, scale in ((OPENMM, 0.0), (0, 1.0)):
                told = {"guidance_scale": scale, "guidance_alpha": ALPHA, "guidance_source": source}
                found = live.step(**state, **told, noise=noise)
                assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_the_change_is_the_gradient_of_the_energy_at_the_end_point(folder):
    """Directional differences of -alpha eps(xhat_1(x_t)) against what a step adds, up to rigid motion."""
    module, t, gradient = loaded(folder / "live.unisim.pt"), 0.2, forces()
    change = (
        (drift(module, OPENMM, t=t) - drift(module, OPENMM, 0.0, t=t)).double() * 10 * (1 - t)
    )  # angstrom
    state = arguments(t, t + 0.1)
    kT, sigma = state["kT"], CONFIG.sigma

    def log_tilt(positions: torch.Tensor) -> float:
        told = {"guidance_scale": 1.0, "guidance_alpha": ALPHA, "guidance_source": OPENMM}
        with torch.no_grad():
            end = module.guidance_points(**(state | {"positions": positions}), **told)
        return float(ALPHA * (gradient.double() * end.double()).sum() / kT)

    step = 2e-3  # nm
    for seed in range(4):
        # P keeps what is symmetric to it: look along directions without rigid motion
        free = torch.randn((1, 22, 3), generator=torch.Generator().manual_seed(seed))
        x0 = state["initial_positions"]
        direction = (remove_rigid_motion(x0 + free, x0) - x0) / 10
        slope = (
            log_tilt(state["positions"] + step * direction) - log_tilt(state["positions"] - step * direction)
        ) / (20 * step)
        expected = sigma**2 * (1 - t) * slope  # of delta along the direction, angstrom
        assert float((change * direction.double()).sum()) == pytest.approx(expected, rel=0.02, abs=1e-4)


def test_strength_is_linear_and_the_density_counts_it(folder):
    module = loaded(folder / "live.unisim.pt")
    plain = drift(module, OPENMM, 0.0)
    change = drift(module, OPENMM, 1.0) - plain
    torch.testing.assert_close(drift(module, OPENMM, 2.0), plain + 2 * change, rtol=0, atol=2e-5)
    state = arguments() | {"forces": forces()}
    noise = torch.randn(state["positions"].shape, generator=torch.Generator().manual_seed(1))
    told = {"guidance_alpha": ALPHA, "guidance_source": OPENMM}
    with torch.no_grad():
        following, density = module.step(**state, **told, guidance_scale=1.0, noise=noise)
        same = module.log_density(following, **state, **told, guidance_scale=1.0)
        other = module.log_density(following, **state, **told, guidance_scale=0.0)
    torch.testing.assert_close(same, density, rtol=0, atol=1e-2)
    assert abs(float(other - density)) > 0.1


@pytest.mark.parametrize("t", [0.0, 0.05, 0.9])
def test_the_residual_form_hands_over_from_the_kernel_to_the_forces(folder, t):
    module = loaded(folder / "live.unisim.pt")
    plain = drift(module, OPENMM, 0.0, t=t)
    live, learned, both = (drift(module, source, t=t) - plain for source in (OPENMM, LEARNED, RESIDUAL))
    share = float(told_share(torch.tensor([t]), CONFIG.sigma, CONFIG.displacement))
    torch.testing.assert_close(both, share * live + (1 - share) * learned, rtol=0, atol=2e-5)


def test_errors(folder, tmp_path):
    module = loaded(folder / "live.unisim.pt")
    with pytest.raises(torch.jit.Error, match="none were given"):
        drift(module, OPENMM, given=torch.zeros(0))
    with pytest.raises(torch.jit.Error, match="no guidance source 7"):
        drift(module, 7)
    with pytest.raises(torch.jit.Error, match="no kernel"):
        drift(loaded(write_tiny_live_model(tmp_path, kernel=False)), LEARNED)
    weights = folder / "vacuum.safetensors"
    with pytest.raises(ConfigError, match="needs a kernel"):
        export_conditioned(weights, tmp_path / "x.unisim.pt", source="openmm+residual")
    with pytest.raises(ConfigError, match="unknown"):
        export_conditioned(weights, tmp_path / "x.unisim.pt", source="magic")
    with pytest.raises(ModelFileError, match="hold float32 models without guidance"):
        export_conditioned(weights, tmp_path / "x.unisim.pt2", source="openmm")


def test_metadata_can_be_changed_without_touching_the_module(folder, tmp_path):
    path = tmp_path / "changed.unisim.pt"
    change_metadata(folder / "live.unisim.pt", path, {"guidance_alpha": 0.6})
    before, after = read_metadata(folder / "live.unisim.pt"), read_metadata(path)
    assert after.guidance_alpha == 0.6 and after.weights_sha256 == before.weights_sha256
    for source in (OPENMM, RESIDUAL):
        assert torch.equal(drift(loaded(path), source), drift(loaded(folder / "live.unisim.pt"), source))


class GaussianField(nn.Module):
    """The exact field of end points with independent Gaussian displacements of width `displacement`."""

    sigma, displacement = CONFIG.sigma, 0.5

    def describe(self, z_index, adjacency, distance):
        return z_index, distance

    def predict(self, x, x0, t, lag_time, z_index, distance, place, reference):
        bridge = self.sigma**2 * (1 - t).view(-1, 1, 1)
        return x0 + self.displacement**2 * (x - x0) / (bridge + self.displacement**2 * t.view(-1, 1, 1))


def test_a_gaussian_end_point_moves_as_computed():
    """Linear eps: delta = -alpha s b V, without its rigid part, from nm and kJ/mol in and out."""
    spread = SpreadHead(CONFIG.place_width, 9, generator=torch.Generator().manual_seed(0))
    jump = ConditionedJump(tiny_field(1), spread, 20.0, 2.5, False, torch.tensor([1, 6, 7, 8]))
    jump.field = GaussianField()
    module, scale = LiveJump(jump, GaussianField()), 1.3
    for t in (0.3, 0.95):
        state = arguments(t, t + 0.01)
        change = (drift(module, OPENMM, scale, t=t) - drift(module, OPENMM, 0.0, t=t)) * (1 - t)  # nm
        bridge, wide = (CONFIG.sigma / 10) ** 2 * (1 - t), (GaussianField.displacement / 10) ** 2
        variance = bridge * wide / (bridge + t * wide)  # nm^2
        expected = ALPHA * scale * variance * forces() / state["kT"]
        x0 = state["initial_positions"]
        expected = remove_rigid_motion(x0 + expected, x0) - x0
        torch.testing.assert_close(change, expected, rtol=2e-3, atol=2e-6)
