"""The factory: runs tasks on any executor of `concurrent.futures`, local processes or a dask cluster, and keeps the
manifest. A killed run is continued by starting it again: every task goes on from its last block.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .manifest import Manifest
from .tasks import Task, TaskResult, run_task

__all__ = ["dask_executor", "local_executor", "run_factory"]

NICENESS = 10  # MD for days shouldn't slow the desk
ATTEMPTS = 2  # of a task whose process was killed: perhaps another one took the memory
ExecutorMaker = Callable[[], AbstractContextManager[Executor]]
Report = Callable[[TaskResult, int, int], None]


def _settle_worker(parent: int) -> None:
    """One thread a process: throughput comes from running molecules side by side. It ends with its parent."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OPENMM_CPU_THREADS"] = "1"
    os.nice(NICENESS)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process at once when its parent is gone: an orphan would go on, and hold the locks of its folders."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def local_executor(workers: int) -> ProcessPoolExecutor:
    """Processes on this machine, started afresh (a fork of a process with OpenMM or torch threads may hang)."""
    if workers < 1:
        raise ConfigError(f"workers = {workers} must be at least 1.")
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_settle_worker, initargs=(os.getpid(),)
    )


@contextmanager
def dask_executor(address: str) -> Any:
    """The workers of a dask.distributed scheduler, as an executor.

    Parameters
    ----------
    address : str
        For example "tcp://10.0.0.1:8786", or the path of a scheduler file (``.json``).

    Raises
    ------
    ConfigError
        If dask isn't installed or the scheduler can't be reached.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("A dask cluster needs `pip install dask distributed`.") from error
    try:
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        client = Client(**where, timeout=20)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"No dask scheduler answers at '{address}' ({error}); check the address."
        ) from error
    with client:
        yield client.get_executor(pure=False, retries=ATTEMPTS - 1)


def run_factory(
    tasks: Sequence[Task],
    manifest: Manifest,
    executor: ExecutorMaker,
    hours: float = float("inf"),
    report: Report | None = None,
) -> list[TaskResult]:
    """Run tasks and record their files; a task that fails stops no other.

    Parameters
    ----------
    tasks : sequence of Task
    manifest : Manifest
        Written after each task.
    executor : callable
        Gives an executor for a ``with`` statement, for example ``lambda: local_executor(2)``.
    hours : float
        Wall time; what isn't finished then ends at its next block and can be continued.
    report : callable (result, done, total), optional

    Returns
    -------
    list of TaskResult
        In the order of `tasks`.
    """
    deadline = time.time() + hours * 3600
    results: dict[int, TaskResult] = {}
    for attempt in range(1, ATTEMPTS + 1):
        left = [index for index in range(len(tasks)) if index not in results]
        if not left:
            break
        with executor() as pool:
            futures = {pool.submit(run_task, tasks[index], deadline): index for index in left}
            try:
                for future in as_completed(futures):
                    index = futures[future]
                    result = _result(future, tasks[index], attempt)
                    if result is None:
                        continue  # its process was killed: tried again
                    results[index] = result
                    _record(manifest, result)
                    if report is not None:
                        report(result, len(results), len(tasks))
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
    return [results[index] for index in range(len(tasks))]


def _result(future: Future, task: Task, attempt: int) -> TaskResult | None:
    """A task's result; None if its process died and it may be tried again."""
    try:
        return future.result()
    except BrokenProcessPool:
        if attempt < ATTEMPTS:
            return None
        return TaskResult(task.name, "failed", error="its process was killed (out of memory?); run it again")
    except Exception as failure:  # of the cluster: a lost worker, say
        return TaskResult(task.name, "failed", error=f"{type(failure).__name__}: {failure}")


def _record(manifest: Manifest, result: TaskResult) -> None:
    for path, description in result.files:
        manifest.record(Path(path), description)
    if result.status == "failed":
        manifest.fail(result.name, result.error)
    elif result.status == "done":
        manifest.succeed(result.name)
