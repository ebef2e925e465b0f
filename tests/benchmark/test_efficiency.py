"""Alternation, continuation after a kill, and the figures, with runs of known effective samples."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from openmm_unisim.benchmark import efficiency
from openmm_unisim.benchmark.candidates import Engine
from openmm_unisim.benchmark.efficiency import EfficiencySettings, benchmark_efficiency
from openmm_unisim.benchmark.isolation import Outcome
from openmm_unisim.errors import CheckpointError, ConfigError, StructureError
from tests.benchmark.chains import sample
from tests.toy_models import write_toy

METADATA = {"environment": "vacuum", "masses": "hydrogen 4 Da", "friction": 1.0}


class FakeWorkers:
    """UniSim: 4000 jumps, g = 3. MD: 16000 frames, g = 19; both in 10 s, so the ratio is 4/3 : 16/19 = 1.583."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.tasks: list[dict[str, Any]] = []
        self.die_at = 99

    def sample(self, kind: str, task: dict[str, Any], engine: Engine, timeout_s: float) -> dict[str, Any]:
        if len(self.calls) == self.die_at:
            raise KeyboardInterrupt
        self.calls.append((kind, task["seed"]))
        self.tasks.append(task)
        if kind == "sample_jumps":
            return sample(4000, 0.5, task["seed"])
        return sample(16_000, 0.9, 100 + task["seed"], spacing=1.0)

    def time(self, kind: str, task: dict[str, Any], engine: Engine, timeout_s: float) -> Outcome:
        return Outcome({"seconds_per_jump": 0.05 if engine.platform == "CPU" else 0.07})


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> FakeWorkers:
    fake = FakeWorkers()
    monkeypatch.setattr(efficiency, "run_or_raise", fake.sample)
    monkeypatch.setattr(efficiency, "run_isolated", fake.time)
    fastest = {"platform": "Reference", "threads": 1, "time_step_fs": 4.0, "ns_per_day": 1000.0}
    monkeypatch.setattr(efficiency, "benchmark_md", lambda *args: {"fastest": fastest, "candidates": []})
    return fake


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    model = write_toy(tmp_path / "toy.unisim.pt", "constant", metadata=METADATA)
    return {
        "model": str(model),
        "input": "ACE-ALA-NME",
        "platforms": ("Reference", "CPU"),
        "json": tmp_path / "r.json",
    }


def test_sides_alternate_and_known_ratios_come_out(workers: FakeWorkers, settings: dict[str, Any]) -> None:
    record = benchmark_efficiency(EfficiencySettings(seeds=3, **settings))
    assert workers.calls == [(kind, seed) for seed in (1, 2, 3) for kind in ("sample_jumps", "sample_md")]
    assert record["unisim"]["platform"] == "CPU"  # the faster one
    alpha = record["summary"]["observables"]["alpha[ALA 2]"]
    assert alpha["ess_per_s"]["unisim"]["value"] == pytest.approx(4000 / 3 / 10, rel=0.1)
    assert alpha["ess_per_s"]["md"]["value"] == pytest.approx(16_000 / 19 / 10, rel=0.15)
    ratio = alpha["ess_per_s"]["ratio"]
    assert ratio["low"] < 19 / 12 < ratio["high"] and ratio["n"] == 3
    # 10 s of set-up on both sides; processor time is half of the wall time on both sides
    with_setup = alpha["ess_per_s_with_setup"]
    assert with_setup["unisim"]["value"] == pytest.approx(0.5 * alpha["ess_per_s"]["unisim"]["value"])
    assert alpha["ess_per_cpu_s"]["md"]["value"] == pytest.approx(2.0 * alpha["ess_per_s"]["md"]["value"])
    assert record["summary"]["rejections"] == {
        "jumps": 12_000,
        "accepted": 11_994,
        "rejected": 6,
        "broken": 6,
    }
    slow = record["summary"]["observables"]["slowest"]
    assert slow["ess_per_s"]["md"]["value"] <= alpha["ess_per_s"]["md"]["value"]


def test_quality_and_crossover_without_a_reference(workers: FakeWorkers, settings: dict[str, Any]) -> None:
    summary = benchmark_efficiency(EfficiencySettings(seeds=2, **settings))["summary"]
    assert summary["judge"] == "the MD of this benchmark"  # nothing is shipped for vacuum
    bias = summary["bias"][0]
    assert bias["unisim"] == pytest.approx(0.4, abs=0.03) and bias["md"] == pytest.approx(0.4, abs=0.03)
    rate = summary["observables"]["alpha[ALA 2]"]["ess_per_s"]["unisim"]["value"]
    expected = bias["unisim"] * (1 - bias["unisim"]) / rate
    assert bias["crossover"]["variance_s"] == pytest.approx(expected)
    assert 0 < summary["distances"][0]["phi_psi"]["unisim"] < math.sqrt(math.log(2.0))


def test_a_killed_benchmark_goes_on_where_it_was(workers: FakeWorkers, settings: dict[str, Any]) -> None:
    workers.die_at = 3
    with pytest.raises(KeyboardInterrupt):
        benchmark_efficiency(EfficiencySettings(seeds=3, **settings))
    kept = json.loads(settings["json"].read_text(encoding="utf-8"))
    assert [(run["side"], run["seed"]) for run in kept["runs"]] == [("unisim", 1), ("md", 1), ("unisim", 2)]
    assert kept["summary"] is None  # one seed is no error bar
    workers.die_at = 99
    record = benchmark_efficiency(EfficiencySettings(seeds=3, **settings))
    assert workers.calls[3:] == [("sample_md", 2), ("sample_jumps", 3), ("sample_md", 3)]
    assert record["runs"][:3] == kept["runs"] and record["summary"]["seeds"] == 3
    assert len(record["provenance"]) == 2
    benchmark_efficiency(EfficiencySettings(seeds=4, **settings))
    assert workers.calls[6:] == [("sample_jumps", 4), ("sample_md", 4)]


def test_another_benchmark_in_the_file_is_refused(workers: FakeWorkers, settings: dict[str, Any]) -> None:
    benchmark_efficiency(EfficiencySettings(seeds=2, **settings))
    with pytest.raises(CheckpointError, match=r"threads: 1 -> 2\); use its own"):
        benchmark_efficiency(EfficiencySettings(seeds=2, threads=2, **settings))
    settings["json"].write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match="can't be read as JSON"):
        benchmark_efficiency(EfficiencySettings(seeds=2, **settings))
    settings["json"].write_text('{"benchmark": "md"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="no result of `benchmark efficiency`"):
        benchmark_efficiency(EfficiencySettings(seeds=2, **settings))


def test_a_number_of_jumps_sets_the_time_of_md(workers: FakeWorkers, settings: dict[str, Any]) -> None:
    benchmark_efficiency(EfficiencySettings(seeds=2, jumps=50, **settings))
    assert workers.tasks[0]["jumps"] == 50
    assert workers.tasks[1]["seconds"] == 10.0 and not workers.tasks[1]["energies"]


def test_too_short_is_not_available_with_the_reason(
    workers: FakeWorkers, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(efficiency, "run_or_raise", lambda kind, task, *rest: sample(30, 0.99, task["seed"]))
    summary = benchmark_efficiency(EfficiencySettings(seeds=2, **settings))["summary"]
    assert "run longer" in summary["observables"]["slowest"]["reason"]
    assert "too short" in summary["bias"][0]["reason"]


def test_what_is_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="gives no error bar"):
        benchmark_efficiency(EfficiencySettings(seeds=1, **settings))
    with pytest.raises(ConfigError, match="too few"):
        benchmark_efficiency(EfficiencySettings(jumps=1, **settings))
    with pytest.raises(StructureError, match="no residue with phi and psi"):
        benchmark_efficiency(
            EfficiencySettings(**{**settings, "input": write_methane(settings["json"].parent)})
        )


def write_methane(folder: Path) -> str:
    path = folder / "methane.pdb"
    corners = [(0, 0, 0), (0.6, 0.6, 0.6), (-0.6, -0.6, 0.6), (-0.6, 0.6, -0.6), (0.6, -0.6, -0.6)]
    names = ["C", "H1", "H2", "H3", "H4"]
    lines = [
        f"HETATM{i + 1:5d}  {name:<3s} CH4 A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {name[0]:>2s}"
        for i, (name, (x, y, z)) in enumerate(zip(names, corners))
    ]
    path.write_text("\n".join([*lines, "END"]) + "\n", encoding="utf-8")
    return str(path)
