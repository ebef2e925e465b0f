"""Runs of many copies in a folder: killed at any moment, the same command goes on to the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from openmm_unisim.cli.replicas import _pool
from openmm_unisim.data.factory import local_executor
from openmm_unisim.errors import CheckpointError, ConfigError, OutputError
from openmm_unisim.simulation.preparation import RunSettings
from openmm_unisim.simulation.replicas.runner import run_replicas
from openmm_unisim.simulation.replicas.settings import ReplicaSettings
from openmm_unisim.simulation.runner import run_simulation
from tests.simulation.test_runner import METADATA, Stopper
from tests.toy_models import write_toy


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "gentle": write_toy(folder / "gentle.unisim.pt", "constant", metadata=METADATA, sigma=0.0005),
        "rough": write_toy(folder / "rough.unisim.pt", "constant", metadata=METADATA, sigma=0.01),
        "nan": write_toy(folder / "nan.unisim.pt", "nan", metadata=METADATA, k=3),
    }


def settings_for(model: Path, output: Path, **changes) -> ReplicaSettings:
    run = RunSettings("ACE-ALA-NME", str(model), output, jumps=12, thermalise_ps=0.1, checkpoint_interval=4)
    inner = {key: changes.pop(key) for key in list(changes) if key in RunSettings.__dataclass_fields__}
    return replace(ReplicaSettings(replace(run, **inner), replicas=3), **changes)


def trajectories(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("replica_*.xtc"))}


def record_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_a_run_writes_a_trajectory_a_copy(models, tmp_path):
    record = run_replicas(settings_for(models["gentle"], tmp_path / "run", interval=2))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "topology.pdb", "run.json", "part_00.chk", "part_00.json", "part_00.lock", "run.lock",
        "replica_0000.xtc", "replica_0001.xtc", "replica_0002.xtc",
    }  # fmt: skip
    assert record == record_of(tmp_path / "run") and record["status"] == "finished"
    for copy in range(3):
        path = tmp_path / "run" / record["replicas"][copy]["trajectory"]
        frames = mdtraj.load(str(path), top=str(tmp_path / "run/topology.pdb"))
        np.testing.assert_allclose(frames.time, np.arange(2, 13, 2))
        assert record["replicas"][copy]["accepted"] == record["replicas"][copy]["proposed"] == 12
    assert len(set(trajectories(tmp_path / "run").values())) == 3


def test_copy_0_is_the_run_of_simulate(models, tmp_path):
    run_replicas(settings_for(models["gentle"], tmp_path / "copies"))
    alone = settings_for(models["gentle"], tmp_path / "alone", md_timing_s=0.0).run
    run_simulation(alone)
    top = str(tmp_path / "alone/topology.pdb")
    first = mdtraj.load(str(tmp_path / "copies/replica_0000.xtc"), top=top)
    second = mdtraj.load(str(tmp_path / "alone/trajectory.xtc"), top=top)
    np.testing.assert_allclose(first.xyz, second.xyz, atol=1.1e-3)  # the format's precision


@pytest.mark.parametrize(
    "model, acceptance", [("rough", "quality"), ("nan", "all"), ("gentle", "metropolis")]
)
def test_an_interrupted_run_goes_on_bit_for_bit(models, tmp_path, model, acceptance):
    if acceptance == "metropolis":
        model_path = write_toy(tmp_path / "m.unisim.pt", "constant", metadata=METADATA, sigma=0.0005)
    else:
        model_path = models[model]
    whole = settings_for(model_path, tmp_path / "whole", acceptance=acceptance)
    run_replicas(whole)
    parts = replace(whole, run=replace(whole.run, output=tmp_path / "parts"))
    with pytest.raises(RuntimeError):
        run_replicas(parts, observer=Stopper(6, crash=True))  # back to 4
    assert run_replicas(parts, observer=Stopper(7))["status"] == "interrupted"
    record = run_replicas(parts)
    assert record["status"] == "finished"
    assert trajectories(tmp_path / "parts") == trajectories(tmp_path / "whole")
    assert record["replicas"] == record_of(tmp_path / "whole")["replicas"]


@pytest.mark.slow
def test_kill_9_and_the_same_command(models, tmp_path):
    """From the command line, killed where it happens to be; then the same command, until it is done."""
    command = [
        sys.executable, "-m", "openmm_unisim.cli.main", "replicas", "ACE-ALA-NME", "--model", str(models["gentle"]),
        "--replicas", "2", "--jumps", "400", "--checkpoint-interval", "3", "--thermalise", "0.1",
    ]  # fmt: skip
    killed = [*command, "--output", str(tmp_path / "killed")]
    process = subprocess.Popen(killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    trajectory = tmp_path / "killed" / "replica_0001.xtc"
    deadline = time.monotonic() + 300
    while not (trajectory.is_file() and trajectory.stat().st_size > 5000) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert record_of(tmp_path / "killed")["status"] == "running"
    subprocess.run(killed, check=True, capture_output=True)
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "whole")], check=True, capture_output=True, text=True
    )
    assert "2 copies, 400 jumps of 1 ps each" in done.stdout and "800 of 800 jumps accepted" in done.stdout
    assert trajectories(tmp_path / "killed") == trajectories(tmp_path / "whole")


def test_a_finished_run_is_extended_by_more_jumps(models, tmp_path):
    settings = settings_for(models["gentle"], tmp_path / "run", jumps=8)
    run_replicas(settings)
    run_replicas(replace(settings, run=replace(settings.run, jumps=12)))
    run_replicas(settings_for(models["gentle"], tmp_path / "whole"))
    assert trajectories(tmp_path / "run") == trajectories(tmp_path / "whole")
    with pytest.raises(ConfigError, match="have 12 jumps already"):
        run_replicas(settings)


@pytest.mark.slow
def test_parts_are_the_same_copies(models, tmp_path):
    """Split over two processes; how the copies are batched changes rounding only, and a toy in double not even XTC."""
    settings = settings_for(models["gentle"], tmp_path / "two", parts=2)
    record = run_replicas(settings, lambda: local_executor(2))
    assert record["status"] == "finished" and [copy["replica"] for copy in record["replicas"]] == [0, 1, 2]
    assert (tmp_path / "two/part_01.chk").is_file()
    run_replicas(settings_for(models["gentle"], tmp_path / "one"))
    assert trajectories(tmp_path / "two") == trajectories(tmp_path / "one")
    assert run_replicas(settings_for(models["gentle"], tmp_path / "two"))["settings"]["parts"] == 2


def test_a_dask_cluster_of_two_workers(models, tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask (extra 'data') isn't installed")
    settings = settings_for(models["nan"], tmp_path / "dask", acceptance="all", parts=2)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        executor, size = _pool(1, cluster.scheduler_address)
        assert executor is not None and size == 2
        record = run_replicas(settings, executor)
    run_replicas(settings_for(models["nan"], tmp_path / "here", acceptance="all"))
    assert record["status"] == "finished" and len(record["jumps"]["wall_s"]) == 2
    assert trajectories(tmp_path / "dask") == trajectories(tmp_path / "here")
    assert record["replicas"] == record_of(tmp_path / "here")["replicas"]


@pytest.mark.slow
def test_a_part_that_fails_is_told_and_the_others_end(models, tmp_path):
    always = write_toy(tmp_path / "always.unisim.pt", "nan", metadata=METADATA, k=1)
    settings = settings_for(always, tmp_path / "run", jumps=24, acceptance="all")
    with pytest.raises(Exception, match="All 3 copies gave 20 NaN"):
        run_replicas(settings, lambda: local_executor(1))
    assert record_of(tmp_path / "run")["status"] == "failed"


def test_another_run_in_the_folder_is_refused(models, tmp_path):
    settings = settings_for(models["gentle"], tmp_path / "run", jumps=4)
    run_replicas(settings)
    for name, changes in (
        ("replicas", {"replicas": 4}),
        ("acceptance", {"acceptance": "all"}),
        ("seed", {"seed": 2}),
        ("interval", {"interval": 2}),
        ("refine", {"refine": True}),
    ):
        with pytest.raises(CheckpointError, match=rf"own \(.*{name}"):
            run_replicas(settings_for(models["gentle"], tmp_path / "run", jumps=4, **changes))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="not empty"):
        run_replicas(settings_for(models["gentle"], tmp_path / "other"))
    run_simulation(settings_for(models["gentle"], tmp_path / "single", jumps=1, md_timing_s=0.0).run)
    with pytest.raises(CheckpointError, match="a run of another kind"):
        run_replicas(settings_for(models["gentle"], tmp_path / "single"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"replicas": 0}, "replicas = 0"),
        ({"parts": 4}, "can't be split into 4"),
        ({"interval": 5}, "multiple of the interval"),
        ({"acceptance": "maybe"}, "is unknown"),
        ({"acceptance": "metropolis", "refine": True}, "exclude each other"),
    ],
)
def test_settings_that_make_no_sense(models, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run_replicas(settings_for(models["gentle"], tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_refined_copies(models, tmp_path):
    record = run_replicas(settings_for(models["rough"], tmp_path / "run", jumps=4, refine=True))
    assert record["refinement"][0]["refined"] == 12
    assert [copy["accepted"] for copy in record["replicas"]] == [4, 4, 4]
