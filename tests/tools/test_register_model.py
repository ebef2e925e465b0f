"""The tool that enters a model into the registry."""

import importlib.util
import json
from pathlib import Path

import pytest

from openmm_unisim.errors import ConfigError, ModelFileError
from openmm_unisim.pretrained.registry import registered_models, resolve_model, resolve_weights
from openmm_unisim.provenance import sha256_of_file

from ..conditioned_models import write_tiny_model

TOOL = Path(__file__).resolve().parents[2] / "tools/register_model.py"


def load_tool():
    specification = importlib.util.spec_from_file_location("register_model", TOOL)
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    return tool


def test_a_model_and_its_weights_are_entered_by_checksum(tmp_path: Path) -> None:
    tool = load_tool()
    model, weights, card = write_tiny_model(tmp_path), tmp_path / "weights.safetensors", tmp_path / "card.md"
    card.write_text("# Model card", encoding="utf-8")
    (tmp_path / "registry.json").write_text("{}", encoding="utf-8")
    tool.main("tiny", str(model), str(card), str(weights), tmp_path)
    entry = json.loads((tmp_path / "registry.json").read_text(encoding="utf-8"))["tiny"]
    assert entry["sha256"] == sha256_of_file(model) and entry["weights"] == "weights.safetensors"
    assert resolve_model("tiny", tmp_path) == model and resolve_weights("tiny", tmp_path) == weights
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ModelFileError, match="the registry says"):
        resolve_weights("tiny", tmp_path)
    with pytest.raises(ModelFileError, match="neither a registered model nor a file or run folder"):
        resolve_weights("large", tmp_path)
    del entry["weights"]
    (tmp_path / "registry.json").write_text(json.dumps({"tiny": entry}), encoding="utf-8")
    with pytest.raises(ModelFileError, match="shipped without weights"):
        resolve_weights("tiny", tmp_path)


def test_earlier_files_of_the_same_weights_are_remembered(tmp_path: Path) -> None:
    tool = load_tool()
    model, weights, card = write_tiny_model(tmp_path), tmp_path / "weights.safetensors", tmp_path / "card.md"
    card.write_text("# Model card", encoding="utf-8")
    old = {"file": model.name, "card": card.name, "sha256": "a" * 64, "weights": weights.name}
    for same in (True, False):
        digest = sha256_of_file(weights) if same else "b" * 64
        (tmp_path / "registry.json").write_text(
            json.dumps({"tiny": {**old, "weights_sha256": digest}}), encoding="utf-8"
        )
        tool.main("tiny", str(model), str(card), str(weights), tmp_path)
        assert registered_models(tmp_path)["tiny"].earlier_sha256 == (("a" * 64,) if same else ())


def test_a_model_without_a_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="has a card"):
        load_tool().main(
            "toy", "toy.unisim.pt", str(tmp_path / "card.md"), str(tmp_path / "weights.safetensors")
        )
