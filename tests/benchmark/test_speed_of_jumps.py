"""`benchmark breakdown` and `benchmark throughput` with a small model: what they record, not how fast it is."""

import json

import pytest
import torch
from typer.testing import CliRunner

from openmm_unisim import ConfigError
from openmm_unisim.benchmark.speed.breakdown import PARTS, BreakdownSettings, measure_breakdown
from openmm_unisim.benchmark.speed.jump_setup import platforms_here, prepare
from openmm_unisim.benchmark.speed.operator_profile import OUTSIDE, profile_operators
from openmm_unisim.benchmark.speed.side_by_side import compare
from openmm_unisim.benchmark.speed.substep import substep_call
from openmm_unisim.benchmark.speed.throughput import ThroughputSettings, measure_throughput
from openmm_unisim.cli.main import app
from openmm_unisim.export.loader import load_model_file
from tests.conditioned_models import write_tiny_model

MOLECULE = "ACE-ALA-NME"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("speed")))


def quiet(text: str) -> None:
    """Reports nothing."""


def test_compare_gives_medians_with_their_range() -> None:
    figures = compare({"a": lambda: None, "b": lambda: sum(range(20000))}, 5, 1)
    for entry in figures.values():
        for name in ("milliseconds", "wall_milliseconds"):
            assert 0 <= entry[f"{name}_lowest"] <= entry[name] <= entry[f"{name}_highest"]
    assert figures["a"]["times_faster"] == 1


def test_breakdown_splits_a_jump_and_puts_md_beside_it(model) -> None:
    threads = torch.get_num_threads()
    settings = BreakdownSettings(
        model, MOLECULE, ("Reference",), 2, jumps=2, repeats=5, md_seconds=0.02, thermalise_ps=0.05
    )
    result = measure_breakdown(settings, quiet)
    jump = result["jumps"]["Reference"]
    assert jump["model_calls"] == result["substeps"] == 2
    assert jump["force_evaluations"] == 0
    whole = sum(jump[f"{part}_milliseconds_lowest"] for part in PARTS)
    assert whole <= jump["whole_milliseconds_highest"]
    assert jump["nominal_ns_per_day"] == pytest.approx(20.0 / jump["whole_milliseconds"] * 86400.0)
    assert result["nominal_ratio_to_md"] == pytest.approx(
        jump["nominal_ns_per_day"] / result["md"]["Reference"]["ns_per_day"]
    )
    profile = result["inside_model"]["profile"]
    assert sum(entry["milliseconds"] for entry in profile["groups"].values()) == pytest.approx(
        profile["milliseconds"]
    )
    assert profile["groups"]["attention layers"]["calls"] == 2  # trunk and refinement, one layer each
    assert result["provenance"]["torch_threads"] == 1
    assert torch.get_num_threads() == threads


def test_throughput_sets_twin_files_and_openmm_side_by_side(model) -> None:
    settings = ThroughputSettings(
        model, MOLECULE, (1, 3), (1,), ("Reference",), None, 2, 5, thermalise_ps=0.05
    )
    rows = measure_throughput(settings, quiet)["rows"]
    batches = ["eager twin", "model file", "plain file", "fused file"]
    assert [(row["what"], row["copies"]) for row in rows] == [
        ("OpenMM, Reference", 1), *((name, copies) for copies in (1, 3) for name in batches)
    ]  # fmt: skip
    for row in rows:
        assert row["samples_per_s"] == pytest.approx(1000 / row["wall_milliseconds_per_copy"])
        assert row["jumps_per_s_and_copy"] == pytest.approx(row["samples_per_s"] / row["copies"])
        assert row["nominal_ns_per_day"] == pytest.approx(86.4 * 20.0 * row["samples_per_s"])
    assert rows[1]["times_cheaper"] == 1


def test_what_is_timed_is_a_whole_batch(model) -> None:
    """That copies don't influence each other is tested with the contract."""
    setup = prepare(model, MOLECULE, 0, 0.0)
    module, _ = load_model_file(model)
    ends = [substep_call(module, setup, copies)()[0] for copies in (1, 3)]
    assert ends[0].shape == (1, 22, 3) and ends[1].shape == (3, 22, 3)
    assert torch.isfinite(ends[1]).all()


def test_profile_counts_operators_of_one_call() -> None:
    def call() -> torch.Tensor:
        return torch.ones(50, 50) @ torch.ones(50, 50)

    profile = profile_operators(call, 5)
    assert profile["operators"]["aten::mm"]["calls"] == 1
    assert {"linear layers", "small operators of torch", OUTSIDE} == set(profile["groups"])
    assert sum(entry["share"] for entry in profile["groups"].values()) == pytest.approx(1.0)


def test_nothing_to_time_is_an_error(model) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        measure_breakdown(BreakdownSettings(model, MOLECULE, repeats=0), quiet)
    with pytest.raises(ConfigError, match="at least 1"):
        measure_throughput(ThroughputSettings(model, MOLECULE, copies=()), quiet)
    with pytest.raises(ConfigError, match="at least 1"):
        measure_throughput(ThroughputSettings(model, MOLECULE, threads=(0,)), quiet)


def test_platforms_default_to_those_of_this_machine() -> None:
    assert platforms_here(("Reference",)) == ("Reference",)
    assert platforms_here(())[0] == "Reference"


@pytest.mark.parametrize("command", ["breakdown", "throughput"])
def test_commands_write_their_record_and_a_table(model, tmp_path, command: str) -> None:
    path = tmp_path / "figures.json"
    options = ["--platforms", "Reference", "--substeps", "2", "--repeats", "5", "--thermalise", "0.05"]
    extra = ["--copies", "1,2"] if command == "throughput" else ["--jumps", "1", "--md-seconds", "0.02"]
    result = CliRunner().invoke(
        app, ["benchmark", command, model, MOLECULE, *options, *extra, "--json", str(path)]
    )
    assert result.exit_code == 0, result.output
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["benchmark"] == command and record["format"] == 1
    assert record["molecule"] == {"name": "ACE-A-NME", "n_atoms": 22}
    assert "22 atoms" in result.output
