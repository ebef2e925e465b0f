"""Timing, sampling and checking of MD."""

from typing import Any

import numpy as np
import pytest

from openmm_unisim.benchmark import md as benchmark
from openmm_unisim.benchmark.candidates import Engine
from openmm_unisim.benchmark.isolation import Outcome
from openmm_unisim.benchmark.md import MDBenchmarkSettings, benchmark_md
from openmm_unisim.benchmark.md_tasks import sample_md, time_md
from openmm_unisim.benchmark.validation import (
    check_agreement,
    check_sample,
    first_failure,
    mean_and_error,
)
from openmm_unisim.errors import ConfigError, UniSimError
from openmm_unisim.simulation.relaxation import MDProtocol, thermalise
from openmm_unisim.system import load_molecule
from tests.benchmark.chains import sample as chain_sample

TASK = {
    "input": "ACE-ALA-NME", "environment": "vacuum", "temperature": 300.0, "friction": 1.0,
    "platform": "Reference", "seed": 1, "start_s": 0.1, "spawned": 0.0, "thermalise": 0.2,
}  # fmt: skip


def test_a_time_step_that_explodes_fails_and_the_others_go_on() -> None:
    molecule = load_molecule("ACE-ALA-NME")
    protocol = MDProtocol.run_well("vacuum", 300.0, time_step_fs=2.0)
    start = thermalise(molecule, protocol.system(molecule), protocol, 0.2, (1, 2), "Reference").positions
    task = {**TASK, "positions": start.tolist(), "time_steps": [40.0, 2.0], "repeats": 2, "seconds": 0.05}
    result = time_md(task)
    assert result["time_steps"]["40"]["failure"] and result["time_steps"]["40"]["speeds"] == []
    assert len(result["time_steps"]["2"]["speeds"]) == 2
    assert result["time_steps"]["2"]["speeds"][0]["ns_per_day"] > 0
    assert first_failure(check_agreement(result["agreement"])) == ""


def test_a_sample_of_md() -> None:
    result = sample_md({**TASK, "time_step": 4.0, "seconds": 0.2, "frame_spacing": 0.1, "energies": True})
    n = result["n_frames"]
    assert n >= 1 and len(result["torsions"][0]["psi"]) == n == len(result["potential_energy_kj_mol"])
    assert result["constraint_error"] < 1e-4
    assert 100.0 < np.mean(result["kinetic_temperature_K"]) < 500.0
    assert set(result["times_s"]) == {"start", "loading", "relaxation", "sampling"}
    with pytest.raises(ConfigError, match="no multiple of a time step of 3 fs"):
        sample_md({**TASK, "time_step": 3.0, "seconds": 0.1, "frame_spacing": 0.1, "energies": False})


def test_checks_of_a_sample() -> None:
    sound = energies(300.0, -80.0, seed=0)
    assert first_failure(check_sample(sound, energies(300.0, -80.0, seed=1), 300.0)) == ""
    assert "temperature" in first_failure(check_sample(energies(310.0, -80.0, 2), sound, 300.0))
    assert "potential energy" in first_failure(check_sample(energies(300.0, -70.0, 2), sound, 300.0))
    assert "constraints" in first_failure(check_sample({**sound, "constraint_error": 0.01}, sound, 300.0))
    assert "constraints" in first_failure(check_sample({**sound, "constraint_error": np.nan}, sound, 300.0))
    assert "forces" in first_failure(
        check_agreement({"energy_deviation_kj_mol": 0.0, "force_deviation": 0.1})
    )


def test_mean_and_error_of_independent_numbers() -> None:
    mean, error = mean_and_error(np.random.default_rng(0).normal(5.0, 2.0, 40_000))
    assert mean == pytest.approx(5.0, abs=0.05) and error == pytest.approx(0.01, rel=0.1)


def energies(temperature: float, energy: float, seed: int) -> dict[str, Any]:
    """A run of 2000 frames with independent energies."""
    generator = np.random.default_rng(seed)
    return {
        "kinetic_temperature_K": generator.normal(temperature, 40.0, 2000),
        "potential_energy_kj_mol": generator.normal(energy, 12.0, 2000),
        "constraint_error": 1e-5,
    }


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> dict[float, float]:
    """Kinetic temperature by time step, to be changed by a test; timing makes a longer step faster."""
    temperatures = {2.0: 300.0, 4.0: 300.0, 5.0: 300.0}

    def run_isolated(kind: str, task: dict[str, Any], engine: Engine, timeout_s: float) -> Outcome:
        speeds = {f"{s:g}": {"speeds": [{"ns_per_day": v * s, "ns_per_cpu_day": s} for v in (90, 110, 100)]}
                  for s in task["time_steps"]}  # fmt: skip
        agreement = {"energy_deviation_kj_mol": 0.0, "force_deviation": 0.0}
        return Outcome({"agreement": agreement, "time_steps": speeds})

    def run_or_raise(kind: str, task: dict[str, Any], engine: Engine, timeout_s: float) -> dict[str, Any]:
        seed = task["seed"] + round(10 * task["time_step"])
        frames = chain_sample(2000, 0.9, seed, spacing=1.0)
        return {**frames, **energies(temperatures[task["time_step"]], -80.0, seed)}

    monkeypatch.setattr(benchmark, "run_isolated", run_isolated)
    monkeypatch.setattr(benchmark, "run_or_raise", run_or_raise)
    return temperatures


SETTINGS = MDBenchmarkSettings("ACE-ALA-NME", "vacuum", platforms=("Reference",), thermalise_ps=0.2)


def test_the_fastest_that_passes_wins(fake_workers: dict[float, float]) -> None:
    fake_workers[5.0] = 350.0
    result = benchmark_md(SETTINGS)
    assert [row["time_step_fs"] for row in result["candidates"]] == [5.0, 4.0, 2.0]
    assert [row["status"] for row in result["candidates"]] == ["failed", "fastest", "timed"]
    assert "temperature" in result["candidates"][0]["reason"]
    fastest = result["fastest"]
    assert fastest["ns_per_day"] == 400.0 and fastest["ns_per_day_range"] == [360.0, 440.0]
    alpha = result["effective_samples"]["observables"][0]
    assert alpha["ps_per_effective_sample"] == pytest.approx(
        19.0, rel=0.4
    )  # (1 + 0.9) / (1 - 0.9) frames of 1 ps
    expected = 400.0 / 86.4 / alpha["ps_per_effective_sample"]
    assert alpha["ess_per_s"] == pytest.approx(expected)


def test_nothing_passes(fake_workers: dict[float, float]) -> None:
    fake_workers.update({2.0: 350.0, 4.0: 350.0, 5.0: 350.0})
    with pytest.raises(UniSimError, match="No MD of 'ACE-ALA-NME' passed its checks"):
        benchmark_md(SETTINGS)
