"""`--trust` and `--sha256` of the commands, and `models FILE --trust`."""

import inspect
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim.cli import (
    benchmark,
    benchmark_breakdown,
    benchmark_throughput,
    benchmark_transfer,
    calibrate_guidance,
    hybrid,
    replicas,
    simulate,
    solvent,
)
from openmm_unisim.cli.main import app as program
from openmm_unisim.cli.run_options import vouched
from openmm_unisim.pretrained import trust
from openmm_unisim.pretrained.trust import refusal
from openmm_unisim.provenance import sha256_of_file
from tests.toy_models import write_toy


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model file that another account made."""
    path = write_toy(
        tmp_path / "foreign.unisim.pt", metadata={"license": str(tmp_path), "environment": "vacuum"}
    )
    monkeypatch.setenv(trust.LIST_VARIABLE, str(tmp_path / "list"))
    monkeypatch.setenv(trust.DIGESTS_VARIABLE, "")
    monkeypatch.setattr(trust, "_process", set())
    return path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(program, list(arguments))
    return result.exit_code, " ".join(result.output.split())


def test_models_shows_a_file_without_running_it_and_pins_it_when_told(foreign: Path, tmp_path: Path) -> None:
    digest = sha256_of_file(foreign)
    code, text = run("models", str(foreign))
    assert code == 0 and digest in text and refusal("x", digest)
    code, text = run("models", str(foreign), "--trust", "--sha256", "0" * 64)
    assert code == 2 and "was asked for" in text and refusal("x", digest)
    code, text = run("models", str(foreign), "--trust")
    assert code == 0 and "From now on this account runs files of this content" in text
    trust._process.clear()
    assert refusal("x", digest) == "" and digest in (tmp_path / "list").read_text(encoding="utf-8")


def test_models_trusts_nothing_in_general(foreign: Path) -> None:
    code, text = run("models", "--trust")
    assert code == 2 and "about one file" in text


def test_a_command_refuses_and_says_how(foreign: Path, tmp_path: Path) -> None:
    arguments = ("simulate", "ACE-ALA-NME", "--model", str(foreign), "--output", str(tmp_path / "run"))
    code, text = run(*arguments)
    assert code == 2 and "is a program from elsewhere" in text and "--trust" in text
    code, text = run(*arguments, "--sha256", "0" * 64)
    assert code == 2 and "was asked for" in text
    code, text = run(*arguments, "--trust", "--environment", "sea")  # gets past the model
    assert code == 2 and "Environment 'sea'" in text


def test_what_is_told_to_a_command_reaches_the_processes_that_it_starts(foreign: Path) -> None:
    digest = sha256_of_file(foreign)
    assert vouched(str(foreign), False, None) == str(foreign) and refusal("x", digest)
    vouched(str(foreign), False, digest)
    assert digest in os.environ[trust.DIGESTS_VARIABLE]


def test_every_command_that_takes_a_model_file_takes_trust() -> None:
    commands = [
        simulate.simulate, hybrid.hybrid, replicas.replicas, solvent.solvent, calibrate_guidance.calibrate_guidance,
        benchmark.efficiency, benchmark_breakdown.breakdown, benchmark_throughput.throughput,
        benchmark_transfer.transfer,
    ]  # fmt: skip
    for command in commands:
        assert {"model", "trust", "sha256"} <= set(inspect.signature(command).parameters), command
