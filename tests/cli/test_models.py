"""`openmm-unisim models`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.pretrained import registry
from openmm_unisim.provenance import sha256_of_file
from tests.toy_models import write_toy


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of one model in place of the shipped one."""
    path = write_toy(tmp_path / "toy.unisim.pt", metadata={"lag_time_ps": 12.5, "environment": "obc2"})
    entry = {"file": path.name, "sha256": sha256_of_file(path), "card": "card.md"}
    (tmp_path / "registry.json").write_text(json.dumps({"toy": entry}), encoding="utf-8")
    listed, resolved = registry.registered_models, registry.resolve_model
    monkeypatch.setattr(registry, "registered_models", lambda folder=tmp_path: listed(folder))
    monkeypatch.setattr(registry, "resolve_model", lambda name, folder=tmp_path: resolved(name, folder))
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(program, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_shows_what_each_model_is_for(folder: Path) -> None:
    text = run()
    size = (folder / "toy.unisim.pt").stat().st_size
    for word in (
        "toy",
        "12.5 ps",
        "300",
        "obc2",
        "none (closed form)",
        f"{size / 1e6:.1f}",
    ):
        assert word in text


def test_one_model_in_full(folder: Path) -> None:
    text = run("toy")
    assert (
        "default_guidance_scale" in text
        and "12.5" in text
        and sha256_of_file(folder / "toy.unisim.pt") in text
    )


def test_an_empty_registry_says_so(folder: Path) -> None:
    (folder / "registry.json").write_text("{}", encoding="utf-8")
    assert "No weights are shipped yet" in run()


def test_a_file_that_was_changed_is_refused(folder: Path) -> None:
    with open(folder / "toy.unisim.pt", "ab") as stream:
        stream.write(b"x")
    result = CliRunner().invoke(program, ["models"])
    assert result.exit_code == 2 and "SHA-256" in result.stderr


def test_the_shipped_registry_can_be_listed() -> None:
    assert "ACE-A-NME, formula C6H12N2O2" in " ".join(run().split())
