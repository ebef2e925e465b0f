"""benchmarks/learning_curves.py and make_ablations.py: logs to a table and a picture, one base to its ablations."""

import importlib.util
import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

from openmm_unisim.errors import DataError
from openmm_unisim.model.conditioned import ConditionedConfig
from openmm_unisim.training.config import VectorFieldConfig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


curves, ablations = script("learning_curves"), script("make_ablations")


def log(folder: Path, entries: list[dict]) -> Path:
    folder.mkdir()
    (folder / "log.jsonl").write_text(
        "".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8"
    )
    return folder


def test_runs_stand_side_by_side_at_the_last_step_of_all(tmp_path):
    one = log(tmp_path / "one", [{"step": 10, "valid": 0.9, "steps_per_s": 2.0}, {"step": 15, "loss": 1.0},
                                 {"step": 20, "valid": 0.5, "late": 0.1}, {"step": 20, "valid": 0.4, "late": 0.2},
                                 {"step": 30, "valid": 0.3}])  # fmt: skip
    other = log(tmp_path / "other", [{"step": 10, "valid": 1.0}, {"step": 20, "valid": 0.7}])
    record = curves.make_record([("one", one), ("a < b", other)], ["valid", "late"], "Title")
    assert record["columns"][1:3] == ["valid at step 20", "late at step 20"]
    assert record["rows"] == [["one", 0.4, 0.2, "30", 0.3, 2.0], ["a < b", 0.7, None, "20", 0.7, None]]
    picture = curves.draw(curves_of(record), "valid", record["title"])
    root = ElementTree.fromstring(picture)
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 2] and "a &lt; b" in picture


def curves_of(record: dict) -> dict:
    return {
        name: {key: [math.nan if v is None else v for v in values] for key, values in curve.items()}
        for name, curve in record["curves"].items()
    }


def test_logs_that_cannot_be_compared(tmp_path):
    one = log(tmp_path / "one", [{"step": 10, "valid": 0.9}])
    other = log(tmp_path / "other", [{"step": 20, "valid": 0.9}])
    with pytest.raises(DataError, match="no validation at one step"):
        curves.make_record([("one", one), ("other", other)], ["valid"], "")
    with pytest.raises(DataError, match="never has 'early'"):
        curves.make_record([("one", one)], ["early"], "")
    with pytest.raises(DataError, match="can't be read as a training log"):
        curves.make_record([("one", tmp_path / "nowhere")], ["valid"], "")


def test_ablations_differ_in_one_thing_each():
    base = VectorFieldConfig(steps=9000, start_from="weights", model=ConditionedConfig(filters=8))
    found = ablations.variants(base, 500, "pretrained")
    full = found["full"].model_dump()
    assert full["steps"] == 500 and full["start_from"] == ""
    for name, change in {"no-x0": {"conditioned": False}, "no-expansion": {"expand": 1}}.items():
        assert found[name].model_dump() == full | {"model": full["model"] | change}
    assert found["pretrained"].model_dump() == full | {"start_from": "pretrained"}
    assert VectorFieldConfig.model_validate(json.loads(json.dumps(full))) == found["full"]
