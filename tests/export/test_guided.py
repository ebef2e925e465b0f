"""A conditioned model file with a learned guidance kernel."""

from functools import cache
from pathlib import Path

import pytest
import torch

from openmm_unisim.errors import ModelFileError
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.system import load_molecule

from ..conditioned_models import write_tiny_guided_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("guided")
    write_tiny_guided_model(folder)
    export_conditioned(folder / "weights.safetensors", folder / "base.unisim.pt", substeps=8)
    return folder


@cache
def loaded(path: Path):
    return load_model_file(path)[0]


def arguments(t: float = 0.2, t_next: float = 0.3):
    molecule = load_molecule("ACE-ALA-NME")
    x0 = torch.from_numpy(molecule.positions).float().unsqueeze(0)
    x = x0 + 0.01 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    time, following = (torch.tensor([value], dtype=torch.float64) for value in (t, t_next))
    none = torch.zeros(0)
    return {
        "positions": x, "initial_positions": x0, "atomic_numbers": torch.from_numpy(molecule.atomic_numbers),
        "bonds": torch.from_numpy(molecule.bonds), "t": time, "t_next": following, "kT": 2.494, "forces": none,
        "box_vectors": none,
    }  # fmt: skip


def step(path: Path, scale: float, t: float = 0.2, t_next: float = 0.3):
    given = arguments(t, t_next)
    noise = torch.randn(given["positions"].shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return loaded(path).step(**given, guidance_scale=scale, noise=noise)


@pytest.mark.parametrize("plain", [False, True])
def test_keeps_the_contract(folder, tmp_path, plain):
    path = folder / "guided.unisim.pt"
    if plain:
        path = write_tiny_guided_model(tmp_path, plain=True)
        assert read_metadata(path).operators == 0
    report = validate_model_file(path)
    metadata = report.metadata
    assert (metadata.guidance, metadata.guidance_alpha, metadata.default_guidance_scale) == (
        "learned",
        0.8,
        1.0,
    )
    assert metadata.environment == "obc2" and metadata.guidance_environment == "vacuum"
    assert metadata.sampled_environment() == "vacuum" and metadata.sampled_environment(0.0) == "obc2"
    plain = read_metadata(folder / "base.unisim.pt")
    assert plain.guidance == "none" and plain.sampled_environment() == "obc2"
    assert plain.weights_sha256 != metadata.weights_sha256


@pytest.mark.parametrize("t, t_next", [(0.0, 0.01), (0.2, 0.3), (0.97, 1.0)])
def test_at_scale_zero_it_is_the_unguided_file_bit_for_bit(folder, t, t_next):
    guided, base = (
        step(folder / "guided.unisim.pt", 0.0, t, t_next),
        step(folder / "base.unisim.pt", 0.0, t, t_next),
    )
    assert torch.equal(guided[0], base[0]) and torch.equal(guided[1], base[1])


def test_the_mean_moves_in_proportion_to_the_scale(folder):
    given = arguments()
    module = loaded(folder / "guided.unisim.pt")
    given = {name: given[name] for name in ("positions", "initial_positions", "atomic_numbers", "bonds", "t")}
    with torch.no_grad():
        drifts = {scale: module.drift(**given, guidance_scale=scale) for scale in (0.0, 0.5, 1.0, 2.0)}
    change = drifts[1.0] - drifts[0.0]
    assert float(change.abs().max()) > 1e-4
    for scale in (0.5, 2.0):
        torch.testing.assert_close(drifts[scale], drifts[0.0] + scale * change, rtol=0, atol=1e-5)


def test_density_follows_the_guided_law(folder):
    module = loaded(folder / "guided.unisim.pt")
    following, density = step(folder / "guided.unisim.pt", 0.7)
    with torch.no_grad():
        same = module.log_density(following, **arguments(), guidance_scale=0.7)
        other = module.log_density(following, **arguments(), guidance_scale=0.0)
    torch.testing.assert_close(same, density, rtol=0, atol=1e-2)
    assert abs(float(other - density)) > 0.1


def test_packages_have_no_guidance(folder):
    with pytest.raises(ModelFileError, match="without guidance"):
        export_conditioned(
            folder / "weights.safetensors", folder / "x.unisim.pt2", guidance=folder / "kernel.safetensors"
        )
