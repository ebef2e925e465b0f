"""A run of many copies from input to folder: in this process, or one part a worker of an executor.

==============  ============================================================================================
key             of run.json
==============  ============================================================================================
format, status  "running", "finished", "interrupted" (resumable), "failed" (a part ended with an error)
settings        what was asked for
identity        what has to be the same for a run to go on
molecule, model as in a run of `openmm-unisim simulate`
lag_time_ps     model time of one jump, ps
seed            of copy 0's jumps; copy k has seed + k
replicas        one entry a copy: its number, trajectory and counts (`counts.ReplicaCounts`)
jumps           done by each copy; wall_s and cpu_s of each part; jumps_per_s and ns_per_day of all copies together
warnings        sentences shown to the user
provenance      commit, versions, machine, command
==============  ============================================================================================
"""

from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

from ...errors import CheckpointError, UniSimError
from ...provenance import provenance
from ..observer import RunObserver
from ..outputs import RUN_FORMAT, write_json
from ..preparation import PreparedRun, prepare_run
from ..record import require_same_run
from .part import run_part
from .settings import ReplicaSettings

__all__ = ["ExecutorMaker", "run_replicas"]

ExecutorMaker = Callable[[], AbstractContextManager[Executor]]
_PS_PER_S_TO_NS_PER_DAY = 86.4


def run_replicas(
    settings: ReplicaSettings, executor: ExecutorMaker | None = None, observer: RunObserver | None = None
) -> dict[str, Any]:
    """Run many copies, or go on with such a run: the same call does both.

    Parameters
    ----------
    settings : ReplicaSettings
        A run that exists keeps the number of parts that it was started with.
    executor : callable, optional
        Gives an executor for a ``with`` statement; without one the parts are run here, one after the other. dask's is
        ``client.get_executor(pure=False, retries=1)``. All workers must see the output folder under the same path.
    observer : RunObserver, optional
        Sees the jumps of runs without an executor, and warnings.

    Returns
    -------
    dict
        The record that run.json holds.

    Raises
    ------
    UniSimError
        Of the first part that failed, once the others have ended.
    """
    observer = observer or RunObserver()
    settings.check()
    folder = settings.folder(0)
    if folder.run_record.is_file():
        earlier = folder.read_run_record()
        if "replicas" not in earlier:
            raise CheckpointError(f"'{folder.path}' holds a run of another kind; choose another folder.")
        settings = replace(settings, parts=int(earlier["settings"]["parts"]))
    else:
        earlier = None
        folder.check_free()
    prepared = prepare_run(settings.run)
    record = _initial_record(settings, prepared)
    if earlier is not None:
        require_same_run(earlier, record["identity"])
    with folder.held(new=earlier is None):
        write_json(folder.run_record, record)
        for message in prepared.warnings:
            observer.warn(message)
        settings = replace(settings, model_sha256=prepared.identity["model"])
        parts, failure = _run_parts(settings, executor, observer)
        record = _final_record(record, parts, settings, prepared, failure)
        write_json(folder.run_record, record)
        if failure is not None:
            raise failure
        return folder.read_run_record()


def _run_parts(
    settings: ReplicaSettings, executor: ExecutorMaker | None, observer: RunObserver
) -> tuple[list[dict[str, Any]], BaseException | None]:
    """Results of the parts that ended well, and the first error."""
    if executor is None:
        return [run_part(settings, part, observer) for part in range(settings.parts)], None
    results: list[dict[str, Any]] = []
    failure: BaseException | None = None
    with executor() as pool:
        futures = {pool.submit(run_part, settings, part): part for part in range(settings.parts)}
        for future in as_completed(futures):
            try:
                results.append(future.result())
            except Exception as error:  # of the part, or of the cluster: a lost worker, say
                failure = failure or _named(error, futures[future])
    return sorted(results, key=lambda result: int(result["copies"][0])), failure


def _named(error: Exception, part: int) -> Exception:
    if isinstance(error, UniSimError):
        return error
    return UniSimError(
        f"Part {part} of the replicas ended with {type(error).__name__} ({error}); give the same command again "
        "to go on."
    )


def _initial_record(settings: ReplicaSettings, prepared: PreparedRun) -> dict[str, Any]:
    asked = asdict(settings)
    asked.update(asked.pop("run"))
    for unused in ("policy", "md_timing_s"):
        asked.pop(unused)
    identity = {key: value for key, value in prepared.identity.items() if key != "policy"}
    identity |= {
        "replicas": settings.replicas,
        "acceptance": settings.acceptance,
        "interval": settings.interval,
        "device": settings.device,
    }
    return {
        "format": RUN_FORMAT,
        "status": "running",
        "settings": asked,
        "identity": identity,
        "molecule": {"name": prepared.molecule.name, "n_atoms": len(prepared.molecule.positions)},
        "model": {
            "name": settings.run.model,
            "sha256": prepared.identity["model"],
            "metadata": prepared.metadata.model_dump(),
        },
        "lag_time_ps": prepared.metadata.lag_time_ps,
        "seed": prepared.seeds[2],
        "replicas": [],
        "jumps": {},
        "warnings": list(prepared.warnings),
        "provenance": provenance(seed=settings.run.seed, device=prepared.platform),
    }


def _final_record(
    record: dict[str, Any],
    parts: list[dict[str, Any]],
    settings: ReplicaSettings,
    prepared: PreparedRun,
    failure: BaseException | None,
) -> dict[str, Any]:
    finished = len(parts) == settings.parts and all(part["done"] == settings.run.jumps for part in parts)
    rate = sum(part["done"] * len(part["copies"]) / part["wall_s"] for part in parts if part["wall_s"] > 0)
    return record | {
        "status": "failed" if failure is not None else "finished" if finished else "interrupted",
        "replicas": [
            {"replica": copy, "trajectory": settings.trajectory(copy).name, "done": part["done"], **counts}
            for part in parts
            for copy, counts in zip(part["copies"], part["counts"])
        ],
        "jumps": {
            "done": min((part["done"] for part in parts), default=0),
            "wall_s": [part["wall_s"] for part in parts],
            "cpu_s": [part["cpu_s"] for part in parts],
            "jumps_per_s": rate,
            "ns_per_day": rate * prepared.metadata.lag_time_ps * _PS_PER_S_TO_NS_PER_DAY,
        },
        "refinement": [part["refinement"] for part in parts if "refinement" in part],
    }
