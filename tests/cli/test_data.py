"""`openmm-unisim data` and `parameterise` from end to end, on a molecule of eight atoms."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim.cli.main import app
from openmm_unisim.data.manifest import Manifest
from openmm_unisim.data.pairs import PairSource

ROOT = Path(__file__).parents[2]
PARAMETERS = ["--parameters", str(ROOT / "data" / "parameters")]
pytest.importorskip("rdkit", reason="RDKit (extra 'data') isn't installed")


def call(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_run_check_and_archive(tmp_path):
    plan, folder = tmp_path / "plan.json", tmp_path / "raw"
    part = {"molecules": ["ethane", "butanol"], "environment": "vacuum", "nanoseconds": 0.04, "walkers": 1}
    labels = {"molecules": ["ethane"], "frames": {"gaff2-vacuum": 64}}
    plan.write_text(json.dumps({"trajectories": [part], "labels": [labels]}), encoding="utf-8")
    ran = call("data", "run", plan, "--output", folder, *PARAMETERS)
    assert ran.exit_code == 0, ran.output
    assert "2 done, 0 to go on with, 0 failed" in ran.output  # butanol is valid, not train
    assert not list(folder.glob("butanol*"))
    more = call(
        "data", "label", "ethane", "--source", "mmff94", "--frames", 10, "--output", folder, *PARAMETERS
    )
    assert more.exit_code == 0, more.output
    checked = call("data", "check", folder, "--manifest", tmp_path / "book.json", *PARAMETERS)
    assert checked.exit_code == 0 and checked.output.count("passed") == 2
    book = json.loads((tmp_path / "book.json").read_text(encoding="utf-8"))["files"]
    assert book["raw/labels/ethane.labels.h5"]["labelled"] == {"gaff2-vacuum": 64, "mmff94": 10}
    kept = call("data", "archive", folder, "--output", tmp_path / "archive")
    assert kept.exit_code == 0, kept.output
    source = PairSource.load([tmp_path / "archive" / "ethane.vacuum.300K.h5"])
    assert source.frame_spacing == 5.0 and source.walkers[0].shape == (8, 8, 3)
    manifest = tmp_path / "archive" / "manifest.json"
    entry = json.loads(manifest.read_text(encoding="utf-8"))["files"]["ethane.vacuum.300K.h5"]
    assert entry["checks"]["passed"] and entry["checks"]["worst_bond_deviation_nm"] > 0
    assert entry["walkers"]["ethane.vacuum.300K.seed1.h5"]["passed"]
    again = call("data", "check", tmp_path / "archive", "--manifest", manifest, *PARAMETERS)
    assert again.exit_code == 0 and "'train, vacuum, 300 K': 0.04" in again.output.replace("\n", "")
    assert json.loads(manifest.read_text(encoding="utf-8"))["files"]["ethane.vacuum.300K.h5"] == entry


def test_an_archive_of_nothing_is_refused(tmp_path):
    absent = call("data", "archive", tmp_path / "absent", "--output", tmp_path / "archive")
    assert absent.exit_code == 2 and "openmm-unisim data check" in absent.output
    Manifest(tmp_path / "manifest.json").write()
    empty = call("data", "archive", tmp_path, "--output", tmp_path / "archive")
    assert empty.exit_code == 2 and "no complete trajectory of split 'train'" in empty.output


def test_the_plan_of_the_repository_is_valid_and_train_only():
    from openmm_unisim.data.molecule_list import require_split
    from openmm_unisim.data.plan import DataPlan

    plan = DataPlan.load(ROOT / "data" / "plan.json")
    for part in (*plan.trajectories, *plan.labels):
        require_split(part.molecules)
    assert plan.estimate["core_hours"] <= 10.0 and plan.estimate["archive_mb_at_5_ps"] <= 80.0


def test_plan_is_written(tmp_path):
    made = call(
        "data", "plan", "--output", tmp_path / "p.json", "--kind", "small-molecule", "--hours", 1, *PARAMETERS
    )
    assert made.exit_code == 0 and (tmp_path / "p.json").is_file()
    assert "32 molecules, vacuum" in made.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["data", "run", "absent.json"], "can't be read"),
        (["data", "label", "caffeine"], "neither molecule list"),
        (["data", "label", "ethane", "--source", "dft"], "unknown"),
        (["data", "plan", "--split", "training"], "no split"),
        (["data", "check", "absent.h5"], "no file 'absent.h5'"),
        (["parameterise", "caffeine"], "--name"),
        (["parameterise", "C1CC", "--name", "x"], "no SMILES"),
        (["parameterise", "all", "--name", "x"], "one SMILES"),
    ],
)
def test_errors_are_one_sentence(arguments, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2 and reason in result.output and "Traceback" not in result.output
