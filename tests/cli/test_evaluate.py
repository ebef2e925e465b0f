"""`openmm-unisim evaluate` as a user runs it; every fault is one sentence, exit status 2."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from tests.evaluation.evaluations import positions, write_files, write_npz

FAST = ["--repeats", "3", "--environment", "none"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_files(tmp_path_factory.mktemp("files"))


def line(files: dict[str, Path], **changes: Path) -> list[str]:
    return [text for name, path in (files | changes).items() for text in (f"--{name}", str(path))]


def test_tables_and_files(files: dict[str, Path], tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("e.json", "e.html", "e.md")]
    options = [
        text for path in outputs for text in (f"--{path.suffix[1:].replace('md', 'markdown')}", str(path))
    ]
    result = CliRunner(env={"COLUMNS": "160"}).invoke(
        program, ["evaluate", *line(files), "--repeats", "3", "--wall-seconds-model", "5", *options]
    )
    assert result.exit_code == 0, result.output
    for text in (
        "Metrics of the paper",
        "TIC-2D",
        "n/a (",
        "MD floor",
        "Kinetics",
        "Drift",
        "±",
        "ESS/s of TIC0",
    ):
        assert text in result.stdout
    for path in outputs:
        assert f"Wrote {path}" in result.stdout and path.stat().st_size > 1000
    record = json.loads(outputs[0].read_text(encoding="utf-8"))
    assert record["mode"] == "strict" and record["settings"]["model_wall_seconds"] == 5.0
    assert set(record["inputs"]) == {"topology", "reference", "model"}


def test_mode_paper_and_a_basin_file(files: dict[str, Path], tmp_path: Path) -> None:
    interval = {"residue": 0, "torsion": "psi", "low_degrees": -120, "high_degrees": 50}
    basins = tmp_path / "basins.json"
    basins.write_text(
        json.dumps({"name": "mine", "basins": [{"name": "low", "regions": [[interval]]}], "default": "high"}),
        encoding="utf-8",
    )
    output = tmp_path / "e.json"
    options = ["--mode", "paper", "--basins", str(basins), "--json", str(output)]
    result = CliRunner().invoke(program, ["evaluate", *line(files), *FAST, *options])
    assert result.exit_code == 0, result.output
    record = json.loads(output.read_text(encoding="utf-8"))
    keys = [metric["key"] for section in record["sections"] for metric in section["metrics"]]
    assert record["mode"] == "paper" and record["settings"]["basins"] == "mine"
    assert {"free_energy[low]", "free_energy[high]", "stay[low]"} <= set(keys)


def test_warnings_go_to_stderr(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "no_time.npz"
    np.savez(path, positions=positions(3000, 3600))
    result = CliRunner().invoke(program, ["evaluate", *line(files, model=path), *FAST])
    assert result.exit_code == 0
    assert (
        "Warning:" in result.stderr and "--model-spacing" in result.stderr and "Warning" not in result.stdout
    )


def complaint(*arguments: str) -> str:
    result = CliRunner().invoke(program, ["evaluate", *arguments])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    sentence = result.stderr.strip().splitlines()[-1]
    assert sentence.startswith("Error: ") and "Traceback" not in result.stderr
    return sentence.removeprefix("Error: ")


def test_files_that_cannot_be_used(files: dict[str, Path], tmp_path: Path) -> None:
    absent = tmp_path / "absent.xtc"
    broken = tmp_path / "broken.xtc"
    broken.write_bytes(b"nothing of a trajectory")
    other = write_npz(tmp_path / "other.npz", np.zeros((100, 7, 3), dtype=np.float32), 1.0)
    few = write_npz(tmp_path / "few.npz", positions(0, 20), 1.0)
    holed = positions(0, 100)
    holed[3] = np.nan
    nan = write_npz(tmp_path / "nan.npz", holed, 10.0)
    for changes, cause in (
        ({"model": absent}, "doesn't exist"),
        ({"reference": absent}, "doesn't exist"),
        ({"topology": absent}, "doesn't exist"),
        ({"model": broken}, "can't be read as a trajectory"),
        ({"topology": broken}, "PDB"),
        ({"model": other}, "22 atoms"),
        ({"model": few}, "20 finite frames"),
        ({"reference": few}, "20 finite frames"),
        ({"reference": nan}, "NaN coordinates"),
    ):
        assert cause in complaint(*line(files, **changes), *FAST), (changes, cause)


@pytest.mark.parametrize("option", ["--json", "--html", "--markdown"])
def test_an_input_is_not_overwritten(files: dict[str, Path], option: str) -> None:
    before = files["model"].read_bytes()
    assert "it holds something else" in complaint(*line(files), *FAST, option, str(files["model"]))
    assert files["model"].read_bytes() == before


def test_settings_that_cannot_be_used(files: dict[str, Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"name": "x", "basins": []}', encoding="utf-8")
    foreign = tmp_path / "foreign.json"
    interval = {"residue": "GLY 9", "torsion": "phi", "low_degrees": 0, "high_degrees": 90}
    foreign.write_text(
        json.dumps({"name": "x", "basins": [{"name": "a", "regions": [[interval]]}]}), encoding="utf-8"
    )
    for options, cause in (
        (["--mode", "lenient"], "mode 'lenient' is unknown"),
        (["--environment", "water"], "environment 'water' is unknown"),
        (["--basins", str(tmp_path / "no.json")], "can't be read"),
        (["--basins", str(bad)], "basins"),
        (["--basins", str(foreign)], "GLY 9"),
        (["--json", str(tmp_path)], "it is a folder"),
        (["--html", str(tmp_path / "no" / "e.html")], "there is no folder"),
        (["--temperature", "-3"], "temperature_K"),
        (["--windows", "2"], "2 windows"),
        (["--seed", "-1"], "seed = -1"),
        (["--repeats", "1"], "repeats"),
        (["--model-spacing", "0"], "model_spacing_ps = 0"),
        (["--second-model", "x.xtc"], "give both"),
        (["--tica-lag", "13"], "tica_lag = 13"),
        (["--platform", "Abacus", "--environment", "obc2"], "Abacus"),
    ):
        assert cause in complaint(*line(files), *FAST, *options), options


def test_options_that_are_missing_are_named() -> None:
    result = CliRunner().invoke(program, ["evaluate"])
    assert result.exit_code == 2 and "--topology" in result.stderr
