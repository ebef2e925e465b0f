"""Names, paths and checksums of model files."""

import json

import pytest

from openmm_unisim.errors import ModelFileError
from openmm_unisim.pretrained.registry import available_models, registered_models, resolve_model
from openmm_unisim.provenance import sha256_of_file
from tests.toy_models import write_toy


@pytest.fixture
def folder(tmp_path):
    """A registry with one model, `toy`."""
    path = write_toy(tmp_path / "toy.unisim.pt")
    entry = {"file": path.name, "sha256": sha256_of_file(path), "card": "toy.md"}
    (tmp_path / "registry.json").write_text(json.dumps({"toy": entry}), encoding="utf-8")
    return tmp_path


def rewrite(folder, **changes):
    registry = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    registry["toy"].update(changes)
    (folder / "registry.json").write_text(json.dumps(registry), encoding="utf-8")


def test_the_shipped_registry_is_sound():
    for name, model in registered_models().items():
        assert resolve_model(name) == model.path and model.card.is_file()


def test_a_name_resolves(folder):
    assert available_models(folder) == ["toy"]
    assert resolve_model("toy", folder) == folder / "toy.unisim.pt"


def test_a_path_resolves_with_and_without_sidecar(folder):
    path = folder / "toy.unisim.pt"
    assert resolve_model(path) == path == resolve_model(str(path))
    (folder / "toy.unisim.pt.sha256").unlink()
    assert resolve_model(path) == path


def test_unknown_names_list_the_known(folder):
    with pytest.raises(ModelFileError, match=r"neither a registered model nor a file.*: toy\."):
        resolve_model("alanine", folder)
    with pytest.raises(ModelFileError, match="not a file"):
        resolve_model(folder, folder)


def test_changed_content_is_noticed(folder):
    path = folder / "toy.unisim.pt"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelFileError, match=r"the registry says .* install"):
        resolve_model("toy", folder)
    with pytest.raises(ModelFileError, match=r"toy.unisim.pt.sha256 says"):
        resolve_model(path, folder)


@pytest.mark.parametrize("text", ["", "no digest here", "abc"])
def test_a_broken_sidecar_is_named(folder, text):
    (folder / "toy.unisim.pt.sha256").write_text(text, encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"sha256 holds no SHA-256"):
        resolve_model(folder / "toy.unisim.pt", folder)


def test_a_missing_shipped_file_is_named(folder):
    (folder / "toy.unisim.pt").unlink()
    with pytest.raises(ModelFileError, match="is missing; install"):
        resolve_model("toy", folder)


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"file": "../x.pt"}, "no path inside"),
        ({"card": "/etc/x"}, "no path"),
        ({"sha256": "12"}, "64 hex"),
    ],
)
def test_a_broken_entry_is_named(folder, changes, text):
    rewrite(folder, **changes)
    with pytest.raises(ModelFileError, match=text):
        resolve_model("toy", folder)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"toy": {"file": "x"}}', '{"toy": 1}'])
def test_a_broken_registry_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "registry.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"registry.json can't be used"):
        available_models(tmp_path)
