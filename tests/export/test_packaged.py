"""AOTInductor packages: the same law as the TorchScript file of the same weights, and named errors."""

import platform
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch

from openmm_unisim.checksum import check_sidecar
from openmm_unisim.errors import ConfigError, ModelFileError, OutputError
from openmm_unisim.export import operator_shapes
from openmm_unisim.export.conditioned import export_conditioned
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.metadata import OPERATORS_VERSION, read_metadata, read_time_grids
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.system import load_molecule


def arguments(sequence: str = "ACE-ALA-NME", copies: int = 3) -> dict:
    """A substep of displaced copies; each at its own time."""
    molecule = load_molecule(sequence)
    generator = torch.Generator().manual_seed(0)
    shape = (copies, *molecule.positions.shape)
    start = torch.from_numpy(molecule.positions).float() + 0.01 * torch.randn(shape, generator=generator)
    t = torch.linspace(0.0, 0.8, copies, dtype=torch.float64)
    return {
        "positions": start + 0.01 * torch.randn(shape, generator=generator), "initial_positions": start,
        "atomic_numbers": torch.from_numpy(molecule.atomic_numbers), "bonds": torch.from_numpy(molecule.bonds),
        "t": t, "t_next": t + 0.1, "kT": 2.494, "forces": torch.zeros(0), "guidance_scale": 0.0,
        "box_vectors": torch.zeros(0), "noise": torch.randn(shape, generator=generator),
    }  # fmt: skip


def check_same_law(scripted, packaged, given: dict) -> None:
    """1e-5 of the step's size, and of the log density."""
    with torch.no_grad():
        following, density = scripted.step(**given)
        found, found_density = packaged.step(**given)
        end = {name: value for name, value in given.items() if name != "noise"} | {
            "next_positions": following
        }
        expected, again = scripted.log_density(**end), packaged.log_density(**end)
    size = (following - given["positions"]).abs().max()
    assert (found - following).abs().max() < 1e-5 * size
    for one, other in ((found_density, density), (again, expected)):
        assert one.dtype == torch.float64 and torch.allclose(one, other, rtol=1e-5, atol=1e-3)


@pytest.fixture(scope="module")
def models(containers):
    return [load_model_file(containers[name])[0] for name in ("torchscript", "package")]


@pytest.mark.parametrize("sequence, copies", [("ACE-ALA-NME", 1), ("ACE-ALA-NME", 3), ("ACE-GLY-GLY-NME", 2)])
def test_the_same_law_whatever_the_sizes(models, sequence, copies):
    check_same_law(*models, arguments(sequence, copies))


def test_copies_of_a_batch_are_those_alone(models):
    given = arguments()
    shared = ("atomic_numbers", "bonds", "kT", "forces", "guidance_scale", "box_vectors")
    alone = {name: value if name in shared else value[1:2] for name, value in given.items()}
    assert torch.allclose(models[1].step(**alone)[0], models[1].step(**given)[0][1:2], atol=1e-6, rtol=0)


def test_strided_arguments_are_read_as_they_are_meant(models):
    given = arguments()
    turned = given["positions"].transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(
        models[1].step(**{**given, "positions": turned})[0], models[1].step(**given)[0]
    ) and not (turned.is_contiguous())


def test_keeps_the_contract(containers):
    assert "unknown element raises" in validate_model_file(containers["package"]).checks


def test_metadata(containers):
    scripted, packaged = (read_metadata(containers[name]) for name in ("torchscript", "package"))
    assert packaged.weights_sha256 == scripted.weights_sha256
    assert (packaged.format_version, packaged.container) == (3, "aotinductor")
    assert (packaged.operators, packaged.processor) == (OPERATORS_VERSION, "x86-64-v3")
    assert scripted.container == "torchscript" and scripted.processor == ""
    check_sidecar(containers["package"])
    with zipfile.ZipFile(containers["package"]) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".cpp")]


def test_time_grids_are_the_same_numbers(containers, models):
    assert sorted(read_time_grids(containers["package"])) == list(range(2, 101))
    for n in (2, 8, 31, 100):
        assert torch.equal(models[1].time_grid(n), models[0].time_grid(n))
    for n in (1, 101, -3):
        with pytest.raises(RuntimeError, match="offers 2 to 100 substeps, not"):
            models[1].time_grid(n)


def test_nan_in_gives_nan_out(models):
    given = arguments()
    given["positions"][1, 3] = float("nan")
    following, density = models[1].step(**given)
    assert bool(following[[0, 2]].isfinite().all()) and bool(following[1].isnan().any())
    assert density.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"positions": torch.zeros(3, 22, 3).double()}, "positions is torch.float64"),
        ({"positions": torch.zeros(3, 21, 3)}, "atomic_numbers is torch.int64 of shape"),
        ({"noise": torch.zeros(3, 20, 3)}, "noise is torch.float32 of shape"),
        ({"t": torch.zeros(2).double()}, "t is torch.float64 of shape"),
        ({"forces": torch.zeros(3, 22, 3)}, "takes no forces"),
        ({"bonds": torch.tensor([[0, 22]])}, "A bond names an atom outside 0..21"),
        ({"atomic_numbers": torch.full((22,), 16)}, "Atomic number 16 did not occur"),
        ({"positions": torch.zeros(22, 3)}, "not .n_copies, n_atoms, 3."),
    ],
)
def test_arguments_are_checked_before_machine_code_sees_them(models, change, message):
    with pytest.raises(RuntimeError, match=message):
        models[1].step(**{**arguments(), **change})


def rewritten(source: Path, target: Path, changes: dict[str, bytes]) -> Path:
    """A copy of an archive in which entries that end in a key have other content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            found = [data for end, data in changes.items() if info.filename.endswith(end)]
            new.writestr(info.filename, found[0] if found else old.read(info))
    return target


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"/processor": b"x86-64-v9"}, "machine code for the processor x86-64-v9"),
        ({"/torch_version": b"2.99.0"}, "was compiled for torch 2.99.0"),
        ({".so": b"no library"}, "can't load model file .*export it again"),
        ({"/format_version": b"5"}, "reads formats up to 4"),
        ({"/container": b"torchscript"}, "container torchscript doesn't go with processor"),
    ],
)
def test_packages_that_cannot_run_here(containers, tmp_path, changes, message):
    path = rewritten(containers["package"], tmp_path / "other.unisim.pt2", changes)
    with pytest.raises(ModelFileError, match=message) as error:
        load_model_file(path, trusted=True)
    assert "\n" not in str(error.value)


def test_truncated_foreign_renamed_and_changed_files(containers, tmp_path):
    content = containers["package"].read_bytes()
    for name, data, message in (
        ("short.unisim.pt2", content[:-3000], "truncated"),
        ("other.unisim.pt2", b"not a package", "no zip archive"),
        ("renamed.unisim.pt", content, "holds the container aotinductor, which its suffix doesn't say"),
        ("flipped.unisim.pt2", content[:400_000] + b"?" + content[400_001:], "damaged"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelFileError, match=message):
            load_model_file(tmp_path / name)
    with pytest.raises(ModelFileError, match="was asked for"):
        load_model_file(containers["package"], sha256="0" * 64)
    (tmp_path / "short.unisim.pt2").write_bytes(content)
    (tmp_path / "short.unisim.pt2.sha256").write_text("0" * 64 + "  short.unisim.pt2\n", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"SHA-256 .*says 000"):
        load_model_file(tmp_path / "short.unisim.pt2")


def test_nothing_is_left_on_disk(containers, tmp_path, monkeypatch):
    """The library is mapped when its folder is removed, so a killed process leaves nothing either."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model, _ = load_model_file(containers["package"])
    assert not list(tmp_path.iterdir())
    assert bool(model.step(**arguments())[0].isfinite().all())


def test_only_the_cpu_is_compiled_for(containers):
    with pytest.raises(ModelFileError, match="compiled for the CPU, not for cuda"):
        load_model_file(containers["package"], device="cuda")


def test_where_no_package_can_be_made(containers, tmp_path, monkeypatch):
    path = tmp_path / "x.unisim.pt2"
    with monkeypatch.context() as context, pytest.raises(ConfigError, match="compiled for x86-64 only"):
        context.setattr(platform, "machine", lambda: "aarch64")
        export_conditioned(containers["weights"], path)

    def no_compiler(*args: object, **settings: object) -> None:
        raise FileNotFoundError("no C++ compiler")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", no_compiler)
    with pytest.raises(OutputError, match=r"can't be compiled .*no C.. compiler.*unisim.pt file"):
        export_conditioned(containers["weights"], path)
    assert not list(tmp_path.iterdir())


def test_every_operator_has_shapes(containers):
    """An operator that is added must be described here, too, before packages can call it."""
    names = {
        name.split("::")[1].split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("openmm_unisim::")
    }
    described = {name for name in names if callable(getattr(operator_shapes, name, None))}
    training = {"attend", "dense", "embed_pairs", "pair_layer", "pair_sum"}  # they have shapes of their own
    training |= {"near_pairs", *(f"{name}_backward" for name in training)}
    assert names - described == training and len(described) >= 10


@pytest.mark.slow
def test_a_package_without_operators(containers, tmp_path):
    """Two minutes of compiling."""
    path = tmp_path / "plain.unisim.pt2"
    export_conditioned(containers["weights"], path, substeps=8, plain=True)
    assert read_metadata(path).operators == 0
    validate_model_file(path)
    check_same_law(
        load_model_file(containers["torchscript"])[0], load_model_file(path)[0], arguments("ACE-GLY-NME")
    )
