"""Guidance as a user makes and uses it: walkers from the other environment, a kernel, a model file, a run."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.data import trajectory_file
from openmm_unisim.export.conditioned import save_conditioned
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.model.conditioned import TIME_CENTRES
from openmm_unisim.model.spread import SpreadHead
from tests.conditioned_models import CONFIG, PROTOCOL, tiny_field


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What training sets for its whole process is kept from the other tests."""
    monkeypatch.setattr("openmm_unisim.memory.keep_freed_memory", lambda: True)
    yield
    torch.set_flush_denormal(False)


def run(*line: str) -> str:
    result = CliRunner().invoke(program, list(line))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_from_walkers_to_a_guided_run(tmp_path: Path, undisturbed: None) -> None:
    short = ("--scramble-time", "1", "--platform", "Reference", "--output", str(tmp_path))
    run("generate", "ACE-ALA-NME", "--environment", "obc2", "--nanoseconds", "0.01", *short)
    donor = tmp_path / "ACE-A-NME.obc2.300K.seed1.h5"
    run(
        "generate", "ACE-ALA-NME", "--environment", "vacuum", "--nanoseconds", "0.04", "--start-from", str(donor),
        "--segment", "4", "--store-starts", "--equilibration-time", "0", *short,
    )  # fmt: skip
    walker = tmp_path / "ACE-A-NME.vacuum.300K.restarts.seed1.h5"
    first = trajectory_file.read(walker).positions[::4]
    frames = trajectory_file.read(donor).positions
    assert max(np.abs(frames - x).max((1, 2)).min() for x in first) < 2e-4

    weights = tmp_path / "base.safetensors"
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    protocol = PROTOCOL | {"environment": "vacuum"}
    save_conditioned(weights, tiny_field(2), spread, CONFIG, 2.0, protocol, {"data": {}})
    settings = {
        "kind": "guidance",
        "base": str(weights),
        "train_files": [str(walker)],
        "steps": 4,
        "batch": 4,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    printed = run("train", "guidance", str(tmp_path / "config.json"), "--output", str(tmp_path / "run"))
    assert "4 steps, to obc2, alpha" in printed and "pairs" in printed

    (tmp_path / "run" / "kernel.safetensors").unlink()
    printed = run("train", "guidance", str(tmp_path / "config.json"), "--output", str(tmp_path / "run"))
    assert "nothing to do" in printed and (tmp_path / "run" / "kernel.safetensors").is_file()

    model = tmp_path / "guided.unisim.pt"
    kernel = tmp_path / "run" / "kernel.safetensors"
    printed = run(
        "export", str(weights), "--guidance", str(kernel), "--output", str(model), "--substeps", "4"
    )
    assert "guided to obc2" in printed and read_metadata(model).guidance == "learned"

    for scale, environment in (("0.5", "obc2"), ("0", "vacuum")):
        folder = tmp_path / f"jumps{scale}"
        run(
            "simulate", "ACE-ALA-NME", "--model", str(model), "--output", str(folder), "--jumps", "2",
            "--thermalise", "0.2", "--md-timing", "0", "--no-report", "--platform", "Reference",
            "--guidance-scale", scale,
        )  # fmt: skip
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert record["settings"]["environment"] == environment
        assert any("kinetics don't" in warning for warning in record["warnings"]) == (scale != "0")
