"""The factory: resumable, one failure stops no other, the same on dask."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.data import trajectory_file
from openmm_unisim.data.factory import dask_executor, local_executor, run_factory
from openmm_unisim.data.manifest import Manifest, archive_groups
from openmm_unisim.data.molecule_list import find_entry, listed
from openmm_unisim.data.plan import DataPlan, LabelPlan, TrajectoryPlan
from openmm_unisim.data.tasks import TrajectoryTask, run_task, tasks_of
from openmm_unisim.errors import ConfigError

PARAMETERS = Path(__file__).parents[2] / "data" / "parameters"
PLAN = DataPlan(
    trajectories=(
        TrajectoryPlan(molecules=("ethane", "ethanol"), environment="vacuum", nanoseconds=0.02, walkers=2),
        TrajectoryPlan(
            molecules=("ethane",), environment="vacuum", nanoseconds=0.02, walkers=1, first_seed=51, start="hot",
            segment_ps=10.0,
        ),
    ),
    labels=(LabelPlan(molecules=("ethane",), frames={"gaff2-vacuum": 64, "ff14sb-vacuum": 64}),),
)  # fmt: skip


class InProcess(Executor):
    """Runs a task where it is submitted."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(autouse=True)
def needs_rdkit():
    pytest.importorskip("rdkit", reason="RDKit (extra 'data') isn't installed")


def tasks(folder, plan=PLAN, split="train"):
    return tasks_of(plan, listed(split), folder, PARAMETERS)


def test_a_plan_is_run_and_entered_in_the_manifest(tmp_path):
    book = Manifest(tmp_path / "manifest.json")
    results = run_factory(tasks(tmp_path), book, InProcess)
    assert [result.status for result in results] == ["done"] * 6
    stored = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert stored["totals"]["files"] == 6 and stored["failures"] == {}
    walker = stored["files"]["ethanol.vacuum.300K.seed2.h5"]
    assert walker["complete"] and walker["checks"]["passed"] and walker["split"] == "train"
    assert walker["nanoseconds"] == 0.02 and len(walker["sha256"]) == 64
    hot = stored["files"]["ethane.vacuum.300K.from-hot.seed51.h5"]
    assert hot["reversible"] is False and hot["frames"] == 20
    labels = stored["files"]["labels/ethane.labels.h5"]
    assert labels["labelled"] == {"gaff2-vacuum": 64} and labels["not_converged"] == {"gaff2-vacuum": 0}
    groups = archive_groups(Manifest(tmp_path / "manifest.json"), {"ethane"})
    assert [len(paths) for paths in groups.values()] == [3]


def test_first_walkers_come_first_and_other_splits_stay_out(tmp_path):
    names = [task.name for task in tasks(tmp_path)]
    assert names[0] == "ethane.labels.h5"
    assert [name.split(".")[-2] for name in names[1:]] == ["seed1", "seed1", "seed51", "seed2", "seed2"]
    assert tasks(tmp_path, split="test") == []


def test_one_failing_molecule_stops_no_other(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "ethane.vacuum.300K.seed1.h5").write_text("not HDF5", encoding="utf-8")
    book = Manifest(folder / "manifest.json")
    results = run_factory(tasks(folder), book, InProcess)
    assert [result.status for result in results].count("failed") == 1
    assert "DataError" in book.failures["ethane.vacuum.300K.seed1.h5"]
    (folder / "ethane.vacuum.300K.seed1.h5").unlink()
    again = run_factory(tasks(folder), Manifest(folder / "manifest.json"), InProcess)
    assert {result.status for result in again} == {"done"}
    assert Manifest(folder / "manifest.json").failures == {}


def test_time_over_leaves_files_that_go_on(tmp_path):
    plan = TrajectoryPlan(molecules=("ethane",), environment="vacuum", nanoseconds=1.5)
    task = TrajectoryTask("ethane", plan, 1, str(tmp_path), str(PARAMETERS))
    import time

    first = run_task(task, time.time() + 0.3)  # over at its first block, or before it
    assert first.status == "partial"
    assert run_task(task).status == "done"
    whole = TrajectoryTask("ethane", plan, 1, str(tmp_path / "whole"), str(PARAMETERS))
    assert run_task(whole).status == "done"
    assert np.array_equal(
        trajectory_file.read(task.file).positions, trajectory_file.read(whole.file).positions
    )


def test_local_processes_give_the_same_files(tmp_path):
    small = PLAN.model_copy(update={"labels": (), "trajectories": PLAN.trajectories[:1]})
    results = run_factory(
        tasks(tmp_path, small), Manifest(tmp_path / "manifest.json"), lambda: local_executor(2)
    )
    assert {result.status for result in results} == {"done"}
    alone = tasks(tmp_path / "alone", small)
    run_task(alone[0])
    ours, theirs = trajectory_file.read(tmp_path / alone[0].name), trajectory_file.read(alone[0].file)
    assert np.array_equal(ours.positions, theirs.positions)
    with pytest.raises(ConfigError, match="workers"):
        local_executor(0)


class DiesOnce(Executor):
    """The first pool's processes are killed."""

    pools = 0

    def __init__(self):
        DiesOnce.pools += 1

    def submit(self, fn, /, *args, **kwargs):
        from concurrent.futures.process import BrokenProcessPool

        future: Future = Future()
        if DiesOnce.pools == 1:
            future.set_exception(BrokenProcessPool("killed"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_tasks_of_a_killed_process_are_tried_again(tmp_path):
    small = PLAN.model_copy(update={"labels": (), "trajectories": PLAN.trajectories[:1]})
    results = run_factory(tasks(tmp_path, small), Manifest(tmp_path / "manifest.json"), DiesOnce)
    assert {result.status for result in results} == {"done"} and DiesOnce.pools == 2


def test_the_same_tasks_run_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask (extra 'data') isn't installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, worker_dashboard_address=None,
        local_directory=str(tmp_path / "scratch"),
    ) as cluster:  # fmt: skip
        address = cluster.scheduler_address
        results = run_factory(
            tasks(tmp_path), Manifest(tmp_path / "manifest.json"), lambda: dask_executor(address)
        )
    assert {result.status for result in results} == {"done"}
    assert Manifest(tmp_path / "manifest.json").totals()["files"] == 6
    alone = TrajectoryTask(
        find_entry("ethane").name, PLAN.trajectories[0], 1, str(tmp_path / "alone"), str(PARAMETERS)
    )
    run_task(alone)
    assert np.array_equal(
        trajectory_file.read(tmp_path / alone.name).positions, trajectory_file.read(alone.file).positions
    )


def test_no_scheduler_is_named():
    pytest.importorskip("distributed", reason="dask (extra 'data') isn't installed")
    with pytest.raises(ConfigError, match="No dask scheduler"), dask_executor("no-such-scheme://nowhere:1"):
        pass


def test_workers_end_with_their_parent(tmp_path) -> None:
    """Killed without a chance to tell them, it leaves no orphans that hold the locks of a run."""
    code = (
        "import os, time; from openmm_unisim.data.factory import local_executor\n"
        "if __name__ == '__main__':\n"
        "    with local_executor(1) as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True); time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(code, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True
    ) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").split()[2] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"worker {worker} lives on")
