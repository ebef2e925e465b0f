"""Runs in a folder: what they write, resume, policies. The models are toys with known behaviour."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from openmm_unisim.errors import (
    CheckpointError,
    ConfigError,
    ModelDomainError,
    OutputError,
    QualityError,
    UnknownElementError,
)
from openmm_unisim.simulation.observer import JumpProgress, RunObserver
from openmm_unisim.simulation.preparation import RunSettings, derive_seeds, prepare_run
from openmm_unisim.simulation.reporters import COLUMNS
from openmm_unisim.simulation.runner import run_simulation
from tests.toy_models import write_toy

METADATA = {"environment": "vacuum", "masses": "hydrogen 4 Da", "friction": 1.0}


class Stopper(RunObserver):
    """Asks to stop after `after` jumps of the run, or raises there as a crash would; collects warnings."""

    def __init__(self, after: int = 10**9, crash: bool = False):
        self.after, self.crash, self.seen = after, crash, 0
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def jump(self, progress: JumpProgress) -> None:
        self.seen = progress.done
        if self.crash and progress.done >= self.after:
            raise RuntimeError("crash")

    def should_stop(self) -> bool:
        return self.seen >= self.after


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rigid shift plus noise: "gentle" never breaks the molecule in a test, "rough" soon does."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "gentle": write_toy(folder / "gentle.unisim.pt", "constant", metadata=METADATA, sigma=0.0005),
        "rough": write_toy(folder / "rough.unisim.pt", "constant", metadata=METADATA, sigma=0.01),
        "nan": write_toy(folder / "nan.unisim.pt", "nan", metadata=METADATA, k=3),
        "water": write_toy(folder / "water.unisim.pt", "constant", metadata={**METADATA, "elements": (1, 8)}),
    }


def settings_for(model: Path, output: Path, **changes: object) -> RunSettings:
    settings = RunSettings(
        "ACE-ALA-NME", str(model), output, jumps=30, thermalise_ps=0.2, md_timing_s=0.0, checkpoint_interval=7
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


def rows(folder: Path, without: tuple[str, ...] = ()) -> list[dict[str, str]]:
    with open(folder / "jumps.csv", encoding="utf-8", newline="") as stream:
        return [{k: v for k, v in row.items() if k not in without} for row in csv.DictReader(stream)]


def assert_same_run(first: Path, second: Path) -> None:
    assert (first / "trajectory.xtc").read_bytes() == (second / "trajectory.xtc").read_bytes()
    assert (first / "checkpoint.chk").read_bytes() == (second / "checkpoint.chk").read_bytes()
    assert rows(first, ("wall_s",)) == rows(second, ("wall_s",))


def test_a_run_writes_its_folder(models: dict[str, Path], tmp_path: Path) -> None:
    record = run_simulation(settings_for(models["gentle"], tmp_path / "run"))
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "topology.pdb", "trajectory.xtc", "jumps.csv", "checkpoint.chk", "checkpoint.json", "run.json",
        "run.lock",
    }  # fmt: skip
    frames = mdtraj.load(str(folder / "trajectory.xtc"), top=str(folder / "topology.pdb"))
    assert frames.n_frames == 30 and frames.n_atoms == 22
    assert np.allclose(frames.time, np.arange(1, 31))  # lag time 1 ps
    table = rows(folder)
    assert tuple(table[0]) == COLUMNS and [int(row["jump"]) for row in table] == list(range(1, 31))
    assert [float(row["time_ps"]) for row in table] == pytest.approx(range(1, 31))
    assert (
        record == json.loads((folder / "run.json").read_text(encoding="utf-8"))
        and record["status"] == "finished"
    )
    assert record["md"]["run_well"]["ns_per_day"] is None  # none was timed
    assert record["jumps"]["done"] == record["jumps"]["accepted"] == 30
    assert record["jumps"]["ns_per_day"] == pytest.approx(record["jumps"]["jumps_per_s"] * 86.4)
    assert record["model"]["metadata"]["environment"] == "vacuum" and len(record["model"]["sha256"]) == 64
    assert record["molecule"] == {"name": "ACE-A-NME", "n_atoms": 22, "stereocentres": 1}
    assert record["provenance"]["seed"] == 1 and record["settings"]["platform"] == "Reference"


def test_the_toy_moves_as_it_says(models: dict[str, Path], tmp_path: Path) -> None:
    run_simulation(settings_for(models["gentle"], tmp_path / "run"))
    frames = mdtraj.load(str(tmp_path / "run" / "trajectory.xtc"), top=str(tmp_path / "run" / "topology.pdb"))
    shifts = np.diff(frames.xyz.mean(axis=1), axis=0)
    assert shifts.mean(axis=0) == pytest.approx([0.01, -0.02, 0.03], abs=2e-4)


def test_same_seed_same_trajectory_other_seed_another(models: dict[str, Path], tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_simulation(settings_for(models["gentle"], tmp_path / name, seed=seed, jumps=5))
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a/trajectory.xtc").read_bytes() != (tmp_path / "c/trajectory.xtc").read_bytes()


@pytest.mark.parametrize("model", ["gentle", "rough", "nan"])
@pytest.mark.parametrize("crash", [False, True])
def test_a_resumed_run_is_the_uninterrupted_one(
    models: dict[str, Path], tmp_path: Path, model: str, crash: bool
) -> None:
    whole, parts = (
        settings_for(models[model], tmp_path / "whole"),
        settings_for(models[model], tmp_path / "parts"),
    )
    run_simulation(whole, observer=Stopper())
    for resume, after in ((False, 3), (True, 17), (True, 10**9)):
        try:
            record = run_simulation(parts, resume=resume, observer=Stopper(after, crash))
        except RuntimeError:
            continue
        assert record["status"] == ("finished" if after > 30 else "interrupted")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    expected = [0, 14] if crash else [3, 17]  # crashes fall back to the last checkpoint, every 7 jumps
    assert record["resumed"] == expected
    whole_counts = json.loads((tmp_path / "whole/run.json").read_text(encoding="utf-8"))["jumps"]["counts"]
    assert record["jumps"]["counts"] == whole_counts


def test_a_finished_run_can_be_extended(models: dict[str, Path], tmp_path: Path) -> None:
    run_simulation(settings_for(models["gentle"], tmp_path / "long", jumps=20))
    run_simulation(settings_for(models["gentle"], tmp_path / "short", jumps=8))
    record = run_simulation(settings_for(models["gentle"], tmp_path / "short", jumps=20), resume=True)
    assert record["settings"]["jumps"] == 20
    assert_same_run(tmp_path / "long", tmp_path / "short")
    with pytest.raises(ConfigError, match="has 20 jumps already"):
        run_simulation(settings_for(models["gentle"], tmp_path / "short", jumps=10), resume=True)


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    models: dict[str, Path], tmp_path: Path
) -> None:
    class Killer(RunObserver):
        def stage(self, text: str, fraction: float) -> None:
            raise KeyboardInterrupt

    settings = settings_for(models["gentle"], tmp_path / "run", jumps=5)
    with pytest.raises(KeyboardInterrupt):
        run_simulation(settings, observer=Killer())
    run_simulation(settings, resume=True)
    run_simulation(settings_for(models["gentle"], tmp_path / "other", jumps=5))
    assert_same_run(tmp_path / "run", tmp_path / "other")


def test_a_resume_refuses_what_differs_by_name(models: dict[str, Path], tmp_path: Path) -> None:
    settings = settings_for(models["gentle"], tmp_path / "run", jumps=4)
    run_simulation(settings)
    before = (tmp_path / "run/trajectory.xtc").read_bytes()
    changes = {
        "seed": {"seed": 2},
        "model": {"model": str(models["rough"])},
        "input": {"input": "ACE-GLY-NME"},
        "temperature": {"temperature": 310.0},
        "environment": {"environment": "obc2"},
        "policy": {"policy": "keep"},
        "substeps": {"substeps": 6},
        "platform": {"platform": "CPU"},
        "thermalise": {"thermalise_ps": 1.0},
    }
    for name, change in changes.items():
        with pytest.raises(CheckpointError, match=rf"run's own \({name}[a-z_A-Z]*: \S+ -> \S+\)"):
            run_simulation(replace(settings, **change), resume=True)
    assert (tmp_path / "run/trajectory.xtc").read_bytes() == before


def test_resume_needs_a_run_and_a_new_run_an_empty_folder(models: dict[str, Path], tmp_path: Path) -> None:
    settings = settings_for(models["gentle"], tmp_path / "run", jumps=2)
    with pytest.raises(CheckpointError, match="no run to resume"):
        run_simulation(settings, resume=True)
    run_simulation(settings)
    with pytest.raises(OutputError, match="not empty; add --resume"):
        run_simulation(settings)
    (tmp_path / "run/checkpoint.chk").write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match="is not the checkpoint"):
        run_simulation(replace(settings, jumps=4), resume=True)


def test_reject_repeats_the_frame_and_counts(models: dict[str, Path], tmp_path: Path) -> None:
    observer = Stopper()
    record = run_simulation(settings_for(models["rough"], tmp_path / "run", jumps=60), observer=observer)
    table = rows(tmp_path / "run")
    accepted = np.array([int(row["accepted"]) for row in table])
    assert 0 < accepted.sum() < 60
    frames = mdtraj.load(str(tmp_path / "run/trajectory.xtc"), top=str(tmp_path / "run/topology.pdb")).xyz
    energies = np.array([float(row["potential_energy_kj_mol"]) for row in table])
    for i in range(1, 60):
        assert np.array_equal(frames[i], frames[i - 1]) == (not accepted[i])
        assert (energies[i] == energies[i - 1]) == (not accepted[i])
    limit = 0.05  # nm
    kept = np.array([float(row["max_bond_deviation_nm"]) for row in table])[accepted == 1]
    assert kept.max() <= limit < record["jumps"]["counts"]["largest_bond_deviation"]
    assert record["jumps"]["counts"]["broken"] == record["jumps"]["rejected"] == 60 - accepted.sum()
    assert any("don't trust this run" in message for message in observer.warnings + record["warnings"]) == (
        accepted.sum() < 30
    )


def test_stop_keeps_the_frames_before_and_the_broken_structure(
    models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(QualityError, match=r"broke the molecule .*bond is .* off its length"):
        run_simulation(settings_for(models["rough"], tmp_path / "run", jumps=60, policy="stop"))
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    done = record["jumps"]["done"]
    assert record["status"] == "stopped" and record["jumps"]["counts"]["broken"] == 1
    frames = mdtraj.load(str(tmp_path / "run/trajectory.xtc"), top=str(tmp_path / "run/topology.pdb"))
    assert frames.n_frames == len(rows(tmp_path / "run")) == done
    assert (tmp_path / f"run/broken_jump_{done + 1}.pdb").is_file()


def test_keep_keeps_broken_structures(models: dict[str, Path], tmp_path: Path) -> None:
    record = run_simulation(settings_for(models["rough"], tmp_path / "run", jumps=60, policy="keep"))
    assert record["jumps"]["accepted"] == 60 and record["jumps"]["counts"]["broken"] > 0


def test_nan_proposals_are_counted_rejections(models: dict[str, Path], tmp_path: Path) -> None:
    settings = settings_for(models["nan"], tmp_path / "run", jumps=40, policy="keep")
    record = run_simulation(settings, observer=Stopper())
    table = rows(tmp_path / "run")
    nan = [int(row["nan"]) for row in table]
    assert 0 < sum(nan) < 40 and record["jumps"]["counts"]["nan"] == sum(nan)
    assert all(int(row["accepted"]) == 1 - int(row["nan"]) for row in table)
    assert [float(row["time_ps"]) for row in table] == pytest.approx(range(1, 41))  # time goes on


def test_another_environment_is_a_recorded_warning(models: dict[str, Path], tmp_path: Path) -> None:
    observer = Stopper()
    record = run_simulation(
        settings_for(models["gentle"], tmp_path / "run", jumps=2, environment="obc2"), observer=observer
    )
    assert len(observer.warnings) == 1 and "trained in environment 'vacuum'" in observer.warnings[0]
    assert record["warnings"] == observer.warnings
    with pytest.warns(UserWarning, match="trained in environment"):
        run_simulation(settings_for(models["gentle"], tmp_path / "run2", jumps=2, environment="obc2"))


def test_settings_are_checked_before_any_time_is_spent(models: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "run"
    refused = [
        (ConfigError, {"jumps": 0}),
        (ConfigError, {"seed": 0}),
        (ConfigError, {"environment": "tip3p"}),
        (ModelDomainError, {"temperature": 400.0}),
        (UnknownElementError, {"model": str(models["water"])}),
    ]
    for kind, change in refused:
        with pytest.raises(kind):
            run_simulation(settings_for(**{"model": models["gentle"], "output": output, **change}))  # type: ignore[arg-type]
    assert not output.exists()


def test_the_molecule_of_a_sequence_is_the_same_every_time(models: dict[str, Path], tmp_path: Path) -> None:
    built = [prepare_run(settings_for(models["gentle"], tmp_path)).molecule.positions for _ in range(2)]
    assert np.array_equal(built[0], built[1])


def test_derived_seeds_are_valid_and_distinct() -> None:
    seeds = [seed for n in range(1, 200) for seed in derive_seeds(n)]
    assert len(set(seeds)) == len(seeds) and min(seeds) >= 1 and max(seeds) < 2**31


def test_refined_runs_count_warn_and_resume(models: dict[str, Path], tmp_path: Path) -> None:
    settings = settings_for(models["rough"], tmp_path / "whole", jumps=9, refine=True)
    observer = Stopper()
    record = run_simulation(settings, observer=observer)
    counts = record["jumps"]["refinement"]
    assert counts["refined"] == 9 and counts["failed"] == 0 and 0 < counts["largest_displacement"] < 0.1
    assert record["jumps"]["accepted"] == 9  # without refinement this model breaks the molecule
    assert any("takes thermal motion out" in message for message in observer.warnings)
    parts = replace(settings, output=tmp_path / "parts")
    with pytest.raises(RuntimeError):
        run_simulation(parts, observer=Stopper(8, crash=True))
    record = run_simulation(parts, resume=True, observer=Stopper())
    assert record["jumps"]["refinement"] == counts
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(CheckpointError, match="other settings"):
        run_simulation(replace(settings, refine=False), resume=True)
