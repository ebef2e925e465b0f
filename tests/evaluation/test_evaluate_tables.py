"""benchmarks/tables.py: documents from results files, idempotent, and stale ones are found."""

import importlib.util
import json
from pathlib import Path

import pytest

from openmm_unisim.pretrained.registry import registered_models
from tests.evaluation.evaluations import evaluated

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tables.py"
_SPEC = importlib.util.spec_from_file_location("benchmarks_tables", SCRIPT)
assert _SPEC is not None and _SPEC.loader is not None
tables = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tables)

PROVENANCE = {"commit": "0123456789abcdef+dirty", "machine": "a machine"}
ROWS = {"columns": ["n", "JS"], "rows": [["a | b", 0.123456], ["c", None]], "provenance": PROVENANCE}


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "substeps.json").write_text(json.dumps(ROWS), encoding="utf-8")
    return folder


def document(path: Path, *names: str) -> Path:
    blocks = [f"## {name}\n\n<!-- table:{name} -->\nold\n<!-- end -->\n" for name in names]
    path.write_text("# Results\n\n" + "\n".join(blocks) + "\nText after.\n", encoding="utf-8")
    return path


def run(results: Path, *arguments: object) -> int:
    return tables.main([*map(str, arguments), "--results", str(results)])


def test_rows_with_their_source_and_the_text_around_is_kept(results, tmp_path):
    doc = document(tmp_path / "doc.md", "substeps")
    assert run(results, doc) == 0
    text = doc.read_text(encoding="utf-8")
    assert "| n | JS |\n| :-- | --: |\n| a \\| b | 0.1235 |\n| c | n/a |" in text
    assert "`benchmarks/results/substeps.json`, commit `0123456789+dirty`, a machine." in text
    assert "old" not in text and text.endswith("Text after.\n") and text.startswith("# Results\n")


@pytest.mark.parametrize("where", ["model_sha256", "identity", "provenance"])
def test_results_of_other_weights_are_labelled(results, tmp_path, where):
    sha = registered_models()["ala2"].sha256
    for name, digest in (("now", sha), ("then", "0" * 64)):
        hashes = {"model_sha256": digest, "identity": {"model": digest}, "provenance": {"weights": digest}}
        record = {"columns": ["a"], "rows": [["b"]], where: hashes[where]}
        (results / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    assert "other weights" not in tables.make_table("now", None, results)
    assert "other weights" in tables.make_table("then", None, results)


def test_writing_twice_changes_nothing_and_check_finds_stale_tables(results, tmp_path, capsys):
    doc = document(tmp_path / "doc.md", "substeps")
    before = doc.read_text(encoding="utf-8")
    assert run(results, doc, "--check") == 1
    assert doc.read_text(encoding="utf-8") == before and "stale" in capsys.readouterr().out
    run(results, doc)
    once = doc.read_text(encoding="utf-8")
    assert run(results, doc) == 0 and doc.read_text(encoding="utf-8") == once
    assert run(results, doc, "--check") == 0
    (results / "substeps.json").write_text(json.dumps(ROWS | {"rows": [["d", 2.0]]}), encoding="utf-8")
    assert run(results, doc, "--check") == 1


@pytest.mark.parametrize(
    ("names", "change", "cause"),
    [
        (["absent"], None, "no results"),
        (["substeps"], "{", "no JSON"),
        (["substeps"], "[1]", "is an object"),
        (["substeps"], '{"x": 1}', "no rows"),
        (["substeps"], json.dumps(ROWS | {"rows": [["only one"]]}), "1 cells"),
    ],
)
def test_faults_are_named(results, tmp_path, capsys, names, change, cause):
    if change is not None:
        (results / "substeps.json").write_text(change, encoding="utf-8")
    assert run(results, document(tmp_path / "doc.md", *names)) == 2
    assert cause in capsys.readouterr().err


def test_a_marker_without_its_end_is_named(results, tmp_path, capsys):
    doc = tmp_path / "doc.md"
    doc.write_text("<!-- table:substeps -->\nno end\n", encoding="utf-8")
    assert run(results, doc) == 2
    assert "1 table markers, 0 ends" in capsys.readouterr().err


def test_a_marker_in_a_sentence_is_text(results, tmp_path):
    doc = tmp_path / "doc.md"
    doc.write_text("Between `<!-- table:NAME -->` and `<!-- end -->` stands a table.\n", encoding="utf-8")
    assert run(results, doc, "--check") == 0


def test_tables_of_the_documentation_are_up_to_date():
    assert tables.main(["--check"]) == 0


def test_an_evaluation_in_both_modes_side_by_side(results, tmp_path):
    for mode in ("paper", "strict"):
        evaluated(tmp_path, mode=mode, environment="none", repeats=3, json_path=results / f"ala2.{mode}.json")
    doc = document(tmp_path / "doc.md", "ala2:structure", "ala2:torsions", "ala2")
    assert run(results, doc) == 0
    first, second, whole = doc.read_text(encoding="utf-8").split("## ")[1:]
    assert "| figure | paper | MD floor | strict | MD floor | reference | outside |" in first
    assert "TIC-2D" in first and "JS distance of" not in first
    assert "| figure | model | MD floor |" in second and "TIC-2D" not in second
    for title in ("TIC-2D", "JS distance of ψ, ALA 2", "Implied timescale 1", "Free energy of alphaR"):
        assert title in whole
    assert run(results, doc, "--check") == 0


def test_two_modes_of_different_files_are_refused(results, tmp_path, capsys):
    for mode, shift in (("paper", 0.0), ("strict", 40.0)):
        evaluated(
            tmp_path, psi_shift=shift, mode=mode, environment="none", repeats=2,
            json_path=results / f"ala2.{mode}.json",
        )  # fmt: skip
    assert run(results, document(tmp_path / "doc.md", "ala2")) == 2
    assert "different files" in capsys.readouterr().err


def efficiency() -> dict:
    mean = {"value": 5.5, "low": 4.0, "high": 7.0, "n": 5}
    ratio = mean | {"value": 0.5, "low": 0.4, "high": 0.6}
    distance = {"unisim": 0.2, "md": 0.1, "floor": 0.12, "floor_std": 0.01}
    summary = {
        "rates": {"ess_per_s": "sampling"},
        "observables": {
            "slowest": {"ess_per_s": {"unisim": mean, "md": mean, "ratio": ratio}},
            "sin_psi[ALA 2]": {"reason": "md, seed 2: too short"},
        },
        "times_s": {"unisim": {"start": 1.0, "first_jumps": 2.0}, "md": {"start": 1.5}},
        "rejections": {"jumps": 1000, "accepted": 990, "rejected": 10, "broken": 7},
        "distances": [{"label": "ALA 2", "phi": distance, "psi": distance, "phi_psi": {"unisim": 0.3}}],
        "bias": [
            {"label": "ALA 2", "unisim": 0.4, "unisim_error": 0.01, "md": 0.41, "md_error": 0.02,
             "reference": 0.4, "reference_error": 0.005}
        ],
    }  # fmt: skip
    return {"benchmark": "efficiency", "summary": summary, "provenance": [PROVENANCE, PROVENANCE]}


def test_an_efficiency_file(results, tmp_path, capsys):
    path = results / "eff.json"
    path.write_text(json.dumps(efficiency()), encoding="utf-8")
    doc = document(tmp_path / "doc.md", "eff", "eff:speed")
    assert run(results, doc) == 0
    whole, speed = doc.read_text(encoding="utf-8").split("## ")[1:]
    assert "| slowest | sampling | 5.5 (4 to 7) | 5.5 (4 to 7) | 0.5 (0.4 to 0.6) |" in whole
    assert "n/a (md, seed 2: too short)" in whole
    assert "| JS distance of φ, ALA 2 | 0.2 | 0.1 | 0.120 ± 0.010 |  |" in whole
    assert "| JS distance of (φ, ψ), ALA 2 | 0.3 | n/a | n/a |  |" in whole
    assert "| population of alpha, ALA 2 | 0.400 ± 0.010 | 0.410 ± 0.020 |  | 0.4000 ± 0.0050 |" in whole
    assert "| first jumps | 2 | n/a |" in whole and "10 of 1,000 jumps rejected, 7 broken." in whole
    assert "slowest" in speed and "population" not in speed
    assert run(results, document(tmp_path / "doc.md", "eff:nothing")) == 2
    assert "nothing" in capsys.readouterr().err
    path.write_text(json.dumps(efficiency() | {"summary": None}), encoding="utf-8")
    assert run(results, document(tmp_path / "doc.md", "eff")) == 2


def test_a_file_of_benchmark_md(results, tmp_path):
    candidate = {
        "engine": "Reference",
        "time_step_fs": 4.0,
        "ns_per_day": 12796.4,
        "status": "fastest",
        "reason": "",
    }
    failed = candidate | {"time_step_fs": 5.0, "ns_per_day": None, "status": "failed", "reason": "NaN"}
    record = {"benchmark": "md", "candidates": [candidate, failed], "provenance": PROVENANCE}
    (results / "md.json").write_text(json.dumps(record), encoding="utf-8")
    doc = document(tmp_path / "doc.md", "md")
    assert run(results, doc) == 0
    assert "| Reference, 4 fs | 12,796 | fastest |" in doc.read_text(encoding="utf-8")
    assert "| Reference, 5 fs | n/a | failed: NaN |" in doc.read_text(encoding="utf-8")
