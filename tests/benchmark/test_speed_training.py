"""`benchmark training` at a size for tests: what it reports, and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from openmm_unisim._plugin import operators_are_built
from openmm_unisim.benchmark.speed import training
from openmm_unisim.benchmark.speed.matrix_products import step_products
from openmm_unisim.cli.main import app
from openmm_unisim.errors import ConfigError
from openmm_unisim.model.conditioned import ConditionedConfig

SMALL = {"hidden": 40, "heads": 4, "layers": 1, "ffn": 16, "refine_layers": 1}


@pytest.mark.skipif(not operators_are_built(), reason="the plugin is not built")
def test_the_command_reports_paths_parts_products_and_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ALA2_SIZE", SMALL)
    monkeypatch.setattr(training, "FRAMES", 12)
    path = tmp_path / "training.json"
    arguments = ["--molecules", "ACE-ALA-NME", "--batch", "2", "--repeats", "1", "--json", str(path)]
    result = CliRunner().invoke(app, ["benchmark", "training", *arguments])
    assert result.exit_code == 0, result.output
    assert "22 atoms" in result.output and "2 threads" in result.output
    record = json.loads(path.read_text(encoding="utf-8"))
    figures = record["molecules"]["ACE-ALA-NME"]
    assert list(figures["paths"]) == [training.TWIN, training.OPERATORS, "operators, cutoff 8"]
    assert figures["paths"][training.TWIN]["times_faster"] == 1
    assert set(figures["parts"][training.OPERATORS]) == {"data", "forward", "backward", "optimiser"}
    assert all(value > 0 for value in figures["parts"][training.OPERATORS].values())
    assert 0.9 < figures["share_of_pairs_within_cutoff"] <= 1
    assert figures["products"]["gflop"] > 0 and set(figures["threads"]) == {"1 thread", "2 threads"}
    assert record["provenance"]["commit"] and record["benchmark"] == "training"


def test_settings_that_measure_nothing_are_refused():
    for wrong in ({"molecules": ()}, {"batch": 0}, {"repeats": 0}, {"cutoff": -1.0}, {"threads": 0}):
        with pytest.raises(ConfigError, match="benchmark training takes"):
            training.TrainingBenchmarkSettings(**wrong)


def test_products_of_a_step_by_hand():
    """One layer of 40 channels over 10 pairs with 32 features: five filters, in each of four passes."""
    model = ConditionedConfig(hidden=40, heads=4, layers=1, ffn=16)
    products = {p.name: 2 * p.rows * p.inner * p.columns * p.passes for p in step_products(model, 5, 10)}
    assert products["filters"] == 2 * 10 * 32 * 200 * 4
    assert products["vectors"] == 2 * 15 * 40 * 120 * 3
    assert "edges of the refinement" not in products
