"""Sources of guidance from the command line: a strength is calibrated and stored, and a run uses it."""

import json
from pathlib import Path

import openmm
import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.system import load_molecule
from tests.conditioned_models import write_tiny_live_model
from tests.toy_models import write_toy

TOY = {"environment": "vacuum", "elements": (1, 6, 7, 8), "constraints": "none", "masses": "hydrogen 4 Da"}


def run(*line: str) -> str:
    result = CliRunner().invoke(program, list(line))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def walker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("md")
    run(
        "generate", "ACE-ALA-NME", "--environment", "vacuum", "--nanoseconds", "0.06", "--scramble-time", "1",
        "--platform", "Reference", "--output", str(folder),
    )  # fmt: skip
    return folder / "ACE-A-NME.vacuum.300K.seed1.h5"


@pytest.fixture(scope="module")
def restraint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("force") / "restraint.xml"
    names = [(a.residue.name, a.name) for a in load_molecule("ACE-ALA-NME").topology.atoms()]
    force = openmm.CustomTorsionForce("8*(1-cos(theta+0.35))")
    chain = [names.index(key) for key in (("ALA", "N"), ("ALA", "CA"), ("ALA", "C"), ("NME", "N"))]
    force.addTorsion(*chain, [])
    path.write_text(openmm.XmlSerializer.serialize(force), encoding="utf-8")
    return path


def test_calibrated_for_the_solvent_and_for_a_restraint(walker, restraint, tmp_path) -> None:
    model = write_toy(tmp_path / "toy.unisim.pt", "constant", metadata=TOY, sigma=0.0005)
    for name, given in (
        ("obc2", ("--environment", "obc2")),
        ("pull", ("--force", str(restraint), "--name", "pull")),
    ):
        output = tmp_path / f"{name}.unisim.pt"
        printed = run(
            "calibrate-guidance", str(model), "--data", str(walker), "--output", str(output), *given
        )
        metadata = read_metadata(output)
        assert f"to {name}" in printed and "pairs" in printed
        assert 0.5 <= metadata.guidance_alpha <= 1.0 and metadata.guidance_environment == name
        assert metadata.weights_sha256 == read_metadata(model).weights_sha256
    for source, force, sampled in (
        ("obc2", (), "obc2"),
        ("pull", ("--guidance-force", str(restraint)), "vacuum"),
    ):
        folder = tmp_path / f"run-{source}"
        run(
            "simulate", "ACE-ALA-NME", "--model", str(tmp_path / f"{source}.unisim.pt"), "--output", str(folder),
            "--jumps", "2", "--thermalise", "0.2", "--md-timing", "0", "--no-report", "--platform", "Reference",
            "--guidance-source", "resample", "--resample", "3", *force,
        )  # fmt: skip
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert (
            record["settings"]["environment"] == sampled and record["settings"]["guidance"]["resampled"] == 3
        )
        assert record["identity"]["guidance_source"] == "resample"


def test_clipped_forces_are_reported(tmp_path) -> None:
    model = write_tiny_live_model(tmp_path)
    line = (
        "simulate", "ACE-ALA-NME", "--model", str(model), "--jumps", "2", "--thermalise", "0.2", "--md-timing", "0",
        "--no-report", "--platform", "Reference", "--policy", "keep",
    )  # fmt: skip
    run(*line, "--output", str(tmp_path / "cut"), "--guidance-force-limit", "5")
    record = json.loads((tmp_path / "cut" / "run.json").read_text(encoding="utf-8"))
    assert record["jumps"]["clipped_forces"] > 0 and record["settings"]["environment"] == "obc2"
    table = [row.split(",") for row in (tmp_path / "cut" / "jumps.csv").read_text(encoding="utf-8").split()]
    column = table[0].index("clipped_forces")
    assert sum(int(row[column]) for row in table[1:]) == record["jumps"]["clipped_forces"]
    run(*line, "--output", str(tmp_path / "whole"), "--guidance-source", "none")
    record = json.loads((tmp_path / "whole" / "run.json").read_text(encoding="utf-8"))
    assert "clipped_forces" not in record["jumps"] and record["settings"]["environment"] == "vacuum"


def test_errors(walker, restraint, tmp_path) -> None:
    live, toy = (
        write_tiny_live_model(tmp_path),
        write_toy(tmp_path / "toy.unisim.pt", "constant", metadata=TOY),
    )
    calibrate = (
        "calibrate-guidance",
        str(toy),
        "--data",
        str(walker),
        "--output",
        str(tmp_path / "x.unisim.pt"),
    )
    simulate = ("simulate", "ACE-ALA-NME", "--model", str(live), "--output", str(tmp_path / "run"))
    for line, words in (
        (calibrate, "Name the environment"),
        (("calibrate-guidance", str(live), *calibrate[2:], "--force", str(restraint)), "a kernel to 'obc2'"),
        ((*simulate, "--resample", "4"), "--resample means nothing to the guidance source openmm"),
        ((*simulate, "--guidance-groups", "one"), "must be numbers"),
        ((*simulate, "--guidance-source", "magic"), "is unknown"),
        (("simulate", "ACE-ALA-NME", "--model", str(toy), "--output", str(tmp_path / "r2"), "--guidance-source",
          "openmm"), "doesn't serve"),
    ):  # fmt: skip
        result = CliRunner().invoke(program, list(line))
        assert result.exit_code == 2 and words in " ".join(result.output.split()), (words, result.output)
