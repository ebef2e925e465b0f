"""Writing and loading model files."""

import hashlib
import os
import struct
import subprocess
import warnings
import zipfile

import pytest
import torch

from openmm_unisim.errors import ModelFileError, OutputError
from openmm_unisim.export.exporter import CONTRACT_METHODS, save_model_file, weights_sha256
from openmm_unisim.export.loader import argument_names, load_model_file
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.provenance import sha256_of_file
from tests.toy_models import KINDS, ConstantDrift, OrnsteinUhlenbeck, toy_metadata, write_toy


def step_arguments(dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    x0, noise, move = torch.randn(3, 2, 2, 3, generator=generator, dtype=dtype)
    times = torch.tensor([0.25, 0.25], dtype=torch.float64)
    return dict(
        positions=x0 + 0.01 * move, initial_positions=x0, atomic_numbers=torch.tensor([6, 1]),
        bonds=torch.zeros(0, 2, dtype=torch.int64), t=times, t_next=times + 0.25, kT=2.5, forces=move,
        guidance_scale=0.5, box_vectors=torch.zeros(0, dtype=dtype), noise=noise,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nan"])
def test_eager_scripted_and_frozen_agree(tmp_path, kind, dtype):
    eager = KINDS[kind](dtype=dtype)
    scripted = torch.jit.script(KINDS[kind](dtype=dtype).eval())
    frozen, _ = load_model_file(write_toy(tmp_path / "toy.unisim.pt", kind, dtype))
    results = [module.step(**step_arguments(dtype)) for module in (eager, scripted, frozen)]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    for positions, density in results[1:]:
        torch.testing.assert_close(positions, results[0][0], rtol=0, atol=tolerance)
        torch.testing.assert_close(density, results[0][1], rtol=1e-6, atol=0, equal_nan=True)


def test_a_frozen_file_keeps_every_method_that_the_module_has(tmp_path):
    module, _ = load_model_file(write_toy(tmp_path / "a.unisim.pt", "ou"))
    assert all(hasattr(module, name) for name in CONTRACT_METHODS)
    assert argument_names(module.time_grid) == ["n"] == argument_names(OrnsteinUhlenbeck().time_grid)
    module, _ = load_model_file(write_toy(tmp_path / "b.unisim.pt", "constant"))
    assert not hasattr(module, "drift")


def test_metadata_of_the_export_itself_are_filled_in(tmp_path):
    path, module = tmp_path / "toy.unisim.pt", ConstantDrift()
    written = save_model_file(module, toy_metadata("constant"), path)
    assert written == read_metadata(path)
    assert written.weights_sha256 == weights_sha256(module) and written.torch_version == torch.__version__
    assert written.source_commit


def test_the_sidecar_is_what_sha256sum_reads(tmp_path):
    path = write_toy(tmp_path / "toy.unisim.pt")
    assert (tmp_path / "toy.unisim.pt.sha256").read_text(
        encoding="utf-8"
    ) == f"{sha256_of_file(path)}  toy.unisim.pt\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "toy.unisim.pt.sha256"], cwd=tmp_path, check=True)


def test_the_weights_hash_is_defined_by_names_types_shapes_and_values():
    first = torch.nn.ParameterDict({"a": torch.zeros(2, 3), "b": torch.ones(1)})
    other_order = torch.nn.ParameterDict({"b": torch.ones(1), "a": torch.zeros(2, 3)})
    assert weights_sha256(first) == weights_sha256(other_order)
    content = b"a\0torch.float32\x002,3\0" + bytes(24) + b"b\0torch.float32\x001\0" + struct.pack("<f", 1.0)
    assert weights_sha256(first) == hashlib.sha256(content).hexdigest()
    changed = [
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "c": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.ones(1).double()},
        {"a": torch.zeros(2, 3), "b": torch.ones(1) * 2},
    ]
    hashes = {weights_sha256(torch.nn.ParameterDict(values)) for values in [dict(first), *changed]}
    assert len(hashes) == 5


def test_nothing_warns(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model_file(write_toy(tmp_path / "toy.unisim.pt"))


def test_only_the_file_and_its_sidecar_are_left(tmp_path):
    for _ in range(2):
        write_toy(tmp_path / "toy.unisim.pt")
    assert sorted(os.listdir(tmp_path)) == ["toy.unisim.pt", "toy.unisim.pt.sha256"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match=r"can't be written.*choose a folder"):
        write_toy(tmp_path / "absent" / "toy.unisim.pt")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_toy(tmp_path / "toy.unisim.pt")
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_toy(path, a=0.1)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["toy.unisim.pt", "toy.unisim.pt.sha256"]


def test_a_wrong_checksum_stops_the_loading(tmp_path):
    path = write_toy(tmp_path / "toy.unisim.pt")
    load_model_file(path, sha256=sha256_of_file(path))
    with pytest.raises(ModelFileError, match=r"and 0000.* was asked for"):
        load_model_file(path, sha256="0" * 64)
    path.with_name(path.name + ".sha256").write_text("0" * 64 + "  toy.unisim.pt\n", encoding="utf-8")
    with pytest.raises(ModelFileError, match="fetch or export both again"):
        load_model_file(path)


def test_metadata_without_a_model(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        for key, value in toy_metadata().to_strings().items():
            archive.writestr(f"archive/extra/{key}", value)
    with pytest.raises(
        ModelFileError, match=r"torch .* can't load model file .* export it again with this torch"
    ):
        load_model_file(tmp_path / "x", trusted=True)
