"""Model files of the published form: the contract, the published numbers, the fused twin, and what export accepts."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from openmm_unisim._plugin import operators_are_built
from openmm_unisim.cli.main import app
from openmm_unisim.errors import CheckpointError, ConfigError
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.export.published import (
    PublishedProtocol,
    export_published,
    export_published_networks,
    random_vector_field,
)
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.model.checkpoint import save_weights
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.guidance_kernel import GuidanceKernel
from openmm_unisim.model.published_names import load_published
from openmm_unisim.model.representation import RepresentationModel
from openmm_unisim.system import load_molecule

CONFIG = PublishedConfig(trunk=TrunkConfig(hidden=32, heads=4, layers=1, ffn=24, rbf=16, expand=4))
PARITY = Path(__file__).resolve().parents[1] / "official" / "official_parity.npz"
SIGMA = 0.2 * math.sqrt(0.0083144626 * 300)  # angstrom
NM = 0.1


def networks():
    kernel = GuidanceKernel(CONFIG, torch.Generator().manual_seed(7)).eval()
    return random_vector_field(CONFIG, scale=0.1), kernel


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One set of weights: plain and fused, with guidance and without."""
    folder, paths = tmp_path_factory.mktemp("published"), {}
    for name in ("plain", "fused", "plain guided", "fused guided"):
        field, kernel = networks()
        paths[name] = folder / f"{name}.unisim.pt"
        export_published_networks(
            field, CONFIG, paths[name], kernel=kernel if "guided" in name else None, plain="plain" in name, alpha=2.0
        )  # fmt: skip
    return paths


def arguments(t=0.4, t_next=0.5, copies=2, **changes) -> dict:
    molecule = load_molecule("ACE-ALA-NME")
    generator = torch.Generator().manual_seed(1)
    shape = (copies, len(molecule.positions), 3)
    positions = torch.from_numpy(molecule.positions).float() + 0.005 * torch.randn(shape, generator=generator)
    none = torch.zeros(0)
    given = {
        "positions": positions, "initial_positions": positions + 1.0,
        "atomic_numbers": torch.from_numpy(molecule.atomic_numbers), "bonds": torch.zeros(0, 2, dtype=torch.int64),
        "t": torch.full((copies,), t, dtype=torch.float64), "t_next": torch.full((copies,), t_next).double(),
        "kT": 2.494, "forces": none, "guidance_scale": 0.0, "box_vectors": none,
        "noise": torch.randn(shape, generator=generator),
    }  # fmt: skip
    return {**given, **changes}


def drift_of(module, given: dict) -> torch.Tensor:
    return module.drift(*(given[name] for name in ("positions", "atomic_numbers", "t", "guidance_scale")))


@pytest.mark.parametrize("name", ["plain", "fused", "fused guided"])
def test_the_contract_holds(files, name):
    report = validate_model_file(files[name])
    assert "equivariant under reflection" in report.checks and "unknown element raises" in report.checks
    metadata = report.metadata
    assert (metadata.conditioned_on_initial, metadata.needs_bonds, metadata.cutoff_nm) == (False, False, 0.5)
    assert metadata.default_substeps == 15 and metadata.elements == (1, 6, 7, 8, 16)
    guided = "guided" in name
    assert metadata.guidance == ("learned" if guided else "none")
    assert (metadata.guidance_alpha, metadata.default_guidance_scale) == (
        (2.0, 1.0) if guided else (0.0, 0.0)
    )


@pytest.mark.parametrize("guided", ["", " guided"])
def test_fused_and_plain_files_agree(files, guided):
    if not operators_are_built():
        pytest.skip("the plugin is not built")
    plain, fused = (load_model_file(files[name + guided])[0] for name in ("plain", "fused"))
    assert read_metadata(files["plain" + guided]).operators == 0
    assert read_metadata(files["fused" + guided]).operators > 0
    assert (
        read_metadata(files["plain" + guided]).weights_sha256
        == read_metadata(files["fused" + guided]).weights_sha256
    )
    given = arguments(guidance_scale=1.0)
    expected, found = drift_of(plain, given), drift_of(fused, given)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_a_substep_is_euler_maruyama(files):
    """x + b h + sigma sqrt(h) z, and its density, by hand; h = 0.1."""
    module, given = load_model_file(files["plain"])[0], arguments()
    following, density = module.step(**given)
    mean = given["positions"].double() + 0.1 * drift_of(module, given).double()
    width = NM * SIGMA * math.sqrt(0.1)
    torch.testing.assert_close(following.double(), mean + width * given["noise"], atol=1e-6, rtol=0)
    normal = torch.distributions.Normal(mean, width)
    torch.testing.assert_close(density, normal.log_prob(following.double()).sum([1, 2]), atol=0.05, rtol=1e-4)


def test_the_last_substep_has_no_noise_and_no_density(files):
    module, given = load_model_file(files["plain"])[0], arguments(0.9, 1.0)
    following, density = module.step(**given)
    assert bool(density.isnan().all())
    end = given["positions"] + 0.1 * drift_of(module, given)
    torch.testing.assert_close(following, end, atol=1e-6, rtol=0)
    assert module.time_grid(4).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    with pytest.raises(torch.jit.Error, match="offers 2 to 1000 substeps, not 1"):
        module.time_grid(1)


def test_guidance_follows_the_kernel(files):
    """Linear in its scale; at 1 it is g I/0.5 with g = alpha sigma^2/2."""
    module, given = load_model_file(files["plain guided"])[0], arguments(copies=1)
    off, one, two = (drift_of(module, {**given, "guidance_scale": s}) for s in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two - off, 2 * (one - off), atol=1e-6, rtol=1e-4)
    assert float((one - off).abs().max()) > 1e-4
    unguided = load_model_file(files["plain"])[0]
    torch.testing.assert_close(off, drift_of(unguided, given), atol=0, rtol=0)


@pytest.mark.parametrize("plain", [True, False])
def test_the_published_numbers(tmp_path, plain):
    """Drift and guided drift that the authors' code gave (tests/official), through the model file."""
    with np.load(PARITY, allow_pickle=False) as stored:
        record = {name: stored[name] for name in stored.files}
    weights = {k.removeprefix("weights."): torch.from_numpy(v) for k, v in record.items() if "weights." in k}
    sizes = json.loads(str(record["config"]))
    models = load_published(
        weights, sizes["heads"], sizes["cutoff"], sizes["cutoff_H"], sizes["vel_scale"], sizes["iff_scale"]
    )
    numbers, molecule = (
        torch.from_numpy(record["io.atomic_numbers"]),
        torch.from_numpy(record["io.molecule_index"]),
    )
    protocol = PublishedProtocol(atomic_numbers=tuple(numbers.unique().tolist()))
    path, alpha = tmp_path / "official.unisim.pt", 2 * 0.1 / sizes["sigma_angstrom"] ** 2
    export_published_networks(
        models.vector_field, models.config, path, kernel=models.guidance_kernel, protocol=protocol, alpha=alpha,
        plain=plain,
    )  # fmt: skip
    module = load_model_file(path)[0]
    for index, t in enumerate((0.0, 0.37, 0.9)):
        for k in range(int(molecule.max()) + 1):
            own = molecule == k
            x = torch.from_numpy(record["io.positions_angstrom"])[own].unsqueeze(0) * NM
            time = torch.tensor([t], dtype=torch.float64)
            for name, scale in (("drift_unguided", 0.0), ("guided_drift_strength_0p1", 1.0)):
                recorded = torch.from_numpy(record[f"io.t{index}.{name}"])
                found = module.drift(x, numbers[own], time, scale)[0] / NM
                assert float((found - recorded[own]).abs().max() / recorded.abs().max()) < 1e-4


def test_the_command_chooses_by_the_kind_of_file(tmp_path):
    field, kernel = networks()
    save_weights(tmp_path / "f.safetensors", field, "vector_field", CONFIG, {"protocol": {"lag_time": 10.0}})
    save_weights(tmp_path / "k.safetensors", kernel, "guidance_kernel", CONFIG)
    line = ["export", str(tmp_path / "f.safetensors"), "--output", str(tmp_path / "m.unisim.pt"), "--plain"]
    assert "lag 10 ps, 15 substeps" in CliRunner().invoke(app, line).stdout
    guided = [*line, "--guidance", str(tmp_path / "k.safetensors"), "--lag-time", "50", "--substeps", "9"]
    assert "lag 50 ps, 9 substeps" in CliRunner().invoke(app, guided).stdout
    assert read_metadata(tmp_path / "m.unisim.pt").guidance == "learned"
    for option, words in (
        (["--covariance", "isotropic"], "no --covariance"), (["--alpha", "1"], "no guidance kernel"),
        (["--guidance", str(tmp_path / "f.safetensors")], "no guidance kernel"), (["--substeps", "1"], "at least 2"),
    ):  # fmt: skip
        error = CliRunner().invoke(app, [*line, *option])
        assert error.exit_code != 0
        assert words in error.output or words in str(error.exception)


def published_state(guided: bool) -> dict[str, torch.Tensor]:
    """The authors' state dict as recorded for parity: a guided model, or its vector field alone."""
    with np.load(PARITY, allow_pickle=False) as stored:
        state = {
            n.removeprefix("weights."): torch.from_numpy(stored[n]) for n in stored.files if "weights." in n
        }
    if guided:
        return state
    return {n.removeprefix("base."): tensor for n, tensor in state.items() if n.startswith("base.")}


@pytest.mark.parametrize("guided", [False, True])
def test_a_published_state_dict_is_accepted(tmp_path, guided):
    path = tmp_path / "official.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in published_state(guided).items()}, path)
    metadata = export_published(path, tmp_path / "o.unisim.pt", plain=True)
    assert metadata.lag_time_ps == 100.0 and metadata.guidance == ("learned" if guided else "none")
    assert metadata.training_data == "PepMD as published"


def test_files_that_make_no_jumps_are_refused(tmp_path):
    representation = RepresentationModel(CONFIG)
    save_weights(tmp_path / "r.safetensors", representation, "representation", CONFIG)
    with pytest.raises(CheckpointError, match="'representation', which makes no jumps"):
        export_published(tmp_path / "r.safetensors", tmp_path / "o.pt")
    encoder = {
        name.removeprefix("encoder."): tensor
        for name, tensor in published_state(False).items()
        if name.startswith("encoder.")
    }
    save_file({name: tensor.contiguous() for name, tensor in encoder.items()}, tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match="representation model, which makes no jumps"):
        export_published(tmp_path / "e.safetensors", tmp_path / "o.pt")
    field, _ = networks()
    with pytest.raises(ConfigError, match="alpha = -1 is negative"):
        export_published_networks(field, CONFIG, tmp_path / "o.pt", alpha=-1)
    save_weights(tmp_path / "f.safetensors", field, "vector_field", CONFIG, {"protocol": {"lag": 1}})
    with pytest.raises(CheckpointError, match="unknown entry 'lag'"):
        export_published(tmp_path / "f.safetensors", tmp_path / "o.pt")
