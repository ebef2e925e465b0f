"""`openmm-unisim replicas`: what it prints, and what it refuses in one sentence."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from tests.cli.test_simulate import METADATA
from tests.toy_models import write_toy


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So rough that some jumps break the molecule."""
    path = tmp_path_factory.mktemp("model") / "toy.unisim.pt"
    return write_toy(path, "constant", metadata=METADATA, sigma=0.012)


def invoke(model: Path, output: Path, *more: str):
    line = ["replicas", "ACE-ALA-NME", "--model", str(model), "--output", str(output), "--thermalise", "0.1"]
    return CliRunner().invoke(program, [*line, "--replicas", "2", *more])


def test_a_run_and_its_continuation(model, tmp_path):
    first = invoke(model, tmp_path / "run", "--jumps", "5")
    assert first.exit_code == 0 and "2 copies, 5 jumps of 1 ps each" in first.output
    second = invoke(model, tmp_path / "run", "--jumps", "20", "--checkpoint-interval", "10")
    assert second.exit_code == 0, second.output
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    accepted = sum(copy["accepted"] for copy in record["replicas"])
    broken = sum(copy["broken"] for copy in record["replicas"])
    assert accepted + broken == 40 and broken > 0
    assert f"{accepted} of 40 jumps accepted" in second.output and f"broken {broken}" in second.output


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--replicas", "0"], "replicas = 0 must be at least 1"),
        (["--parts", "3"], "can't be split into 3 parts"),
        (["--acceptance", "metropolis", "--refine"], "exclude each other"),
        (["--workers", "0"], "workers = 0 must be at least 1"),
    ],
)
def test_one_sentence(model, tmp_path, options, sentence):
    result = invoke(model, tmp_path / "run", *options)
    assert result.exit_code == 2 and sentence in " ".join(result.stderr.split())
