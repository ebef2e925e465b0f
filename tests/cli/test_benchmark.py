"""`openmm-unisim benchmark` from the command line: two tiny benchmarks, and the sentences of its errors."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app

TINY = ["--platforms", "Reference", "--thermalise", "0.5"]


def test_both_commands_end_to_end(tmp_path: Path) -> None:
    """The MD that `md` found is what `efficiency` runs; one call of the second command continues the first."""
    md, result = tmp_path / "md.json", tmp_path / "efficiency.json"
    run = CliRunner().invoke(app, [
        "benchmark", "md", "ACE-ALA-NME", *TINY, "--seconds", "0.3", "--repeats", "2", "--repeat-seconds", "0.05",
        "--time-steps", "2,4", "--frame-spacing", "0.1", "--json", str(md),
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "ns/day" in run.stdout and "Checks of the fastest" in run.stdout
    found = json.loads(md.read_text(encoding="utf-8"))
    assert found["fastest"]["platform"] == "Reference" and found["fastest"]["time_step_fs"] in (2.0, 4.0)
    assert found["provenance"]["commit"] and len(found["candidates"]) == 2

    run = CliRunner().invoke(app, [
        "benchmark", "efficiency", "ala2", "ACE-ALA-NME", *TINY, "--seeds", "2", "--jumps", "10", "--md", str(md),
        "--seconds-per-side", "0.2", "--json", str(result),
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "Effective samples per second" in run.stdout and "JS distance" in run.stdout
    record = json.loads(result.read_text(encoding="utf-8"))
    assert [(r["side"], r["seed"]) for r in record["runs"]] == [
        ("unisim", 1),
        ("md", 1),
        ("unisim", 2),
        ("md", 2),
    ]
    assert all(r["n_frames"] == 10 for r in record["runs"] if r["side"] == "unisim")
    assert record["md"]["time_step_fs"] == found["fastest"]["time_step_fs"]
    assert record["summary"]["judge"].startswith("300 ns MD") and record["provenance"][0]["versions"]["torch"]


@pytest.mark.parametrize(
    "line, words",
    [
        ("md ACE-ALA-NME --platforms Quantum", "no OpenMM platform 'Quantum'"),
        ("md nowhere.pdb", "neither a file nor a capped sequence"),
        ("md ACE-ALA-NME --environment water", "choose one of vacuum, obc2"),
        ("md ACE-ALA-NME --threads one", "no list of numbers"),
        ("md ACE-ALA-NME --time-steps 0", "must be numbers of fs"),
        ("md ACE-ALA-NME --seconds -1", "must be a positive number"),
        ("md ACE-ALA-NME --reference nowhere.xtc", "no file 'nowhere.xtc'"),
        ("md ACE-ALA-NME --json /nowhere/x.json", "no folder '/nowhere'"),
        ("md ACE-ALA-NME --json /", "it is a folder"),
        ("efficiency no-such-name ACE-ALA-NME", "no-such-name is neither a registered model"),
        ("efficiency ala2 ACE-ALA-NME --platforms Quantum", "no OpenMM platform 'Quantum'"),
        ("efficiency ala2 ACE-ALA-NME --environment vacuum", "samples environment 'obc2'"),
        ("efficiency ala2 ACE-ALA-NME --seeds 1", "gives no error bar"),
        ("efficiency ala2 ACE-ALA-NME --threads 0", "at least 1"),
        ("efficiency ala2 ACE-ALA-NME --md nowhere.json", "no file 'nowhere.json'"),
    ],
)
def test_errors_are_sentences(line: str, words: str) -> None:
    run = CliRunner().invoke(app, ["benchmark", *line.split()])
    assert run.exit_code == 2, run.output
    sentence = run.stderr.strip()
    assert sentence.startswith("Error: ") and words in sentence and "\n" not in sentence


def test_a_file_of_another_kind_is_not_overwritten(tmp_path: Path) -> None:
    keep = tmp_path / "keep.xtc"
    keep.write_bytes(b"\x00\x00\x07\xcb of a trajectory")
    run = CliRunner().invoke(app, ["benchmark", "md", "ACE-ALA-NME", "--json", str(keep)])
    assert run.exit_code == 2 and "it holds something else" in run.stderr
    assert keep.read_bytes().startswith(b"\x00\x00\x07\xcb")


def test_the_models_own_error_comes_out_of_the_worker(tmp_path: Path) -> None:
    line = f"efficiency ala2 ACE-ALA-NME --temperature 500 --platforms Reference --json {tmp_path / 'x.json'}"
    run = CliRunner().invoke(app, ["benchmark", *line.split()])
    assert run.exit_code == 2 and "500 K is outside" in run.stderr
