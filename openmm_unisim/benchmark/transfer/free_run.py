"""Free-running jumps of many copies of one molecule; nothing is rejected, and a killed run goes on.

Plain PyTorch, all copies at once (`simulation.chain`), which is cheaper than one copy after another (`benchmark
throughput`); the law and the noise are those of the integrator.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...changes import changed_settings, describe_changes
from ...errors import CheckpointError
from ...simulation.chain import JumpChain
from ...simulation.reference import ReferenceJump

__all__ = ["FreeRun", "run_freely"]

_SAVE_SECONDS = 60.0  # between two saves

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FreeRun:
    """Chains of jumps.

    Attributes
    ----------
    starts : ndarray, shape (n_copies, n_atoms, 3), nm
    frames : ndarray, shape (n_copies, n_jumps, n_atoms, 3), float32, nm
        After each jump; NaN where the jump was not finite (its copy then goes on from where it was).
    seconds : float
        Processor time of the jumps.
    """

    starts: NDArray[np.float64]
    frames: NDArray[np.float32]
    seconds: float

    @property
    def flat(self) -> NDArray[np.float32]:
        """All frames, copy by copy, shape (n_frames, n_atoms, 3), nm."""
        return self.frames.reshape(-1, *self.frames.shape[2:])


def run_freely(
    jump: ReferenceJump,
    starts: NDArray[np.float64],
    n_jumps: int,
    seed: int,
    path: Path,
    identity: dict[str, Any],
    progress: Progress | None = None,
) -> FreeRun:
    """Make the jumps, or those that are left of them.

    Parameters
    ----------
    jump : ReferenceJump
    starts : ndarray, shape (n_copies, n_atoms, 3), nm
    n_jumps : int
        Of each copy.
    seed : int
        Copy i draws the noise of seed + i.
    path : Path
        ``.npz`` that holds what was done; continued if it is there.
    identity : dict
        What must be the same for that (JSON values).
    progress : callable (jumps_done, n_jumps), optional

    Raises
    ------
    CheckpointError
        If `path` holds another run.
    """
    saved = _read(path, identity)
    done: list[NDArray[np.float32]] = [] if saved is None else list(saved["frames"].swapaxes(0, 1))[:n_jumps]
    state, step = (starts, 0) if saved is None else (saved["state"], len(done))
    seconds = 0.0 if saved is None else float(saved["seconds"])
    if saved is not None and step < len(saved["frames"][0]):
        return FreeRun(starts, np.stack(done, 1), seconds)
    chain = JumpChain(jump, state, seed, step)
    began, last = time.process_time(), time.monotonic()
    for frame in chain.run(n_jumps - step):
        done.append(np.where(frame.finite[:, None, None], frame.positions, np.nan).astype(np.float32))
        if progress is not None:
            progress(len(done), n_jumps)
        if time.monotonic() - last > _SAVE_SECONDS:
            _write(path, identity, done, chain.positions, seconds + time.process_time() - began)
            last = time.monotonic()
    seconds += time.process_time() - began
    if step < n_jumps:
        _write(path, identity, done, chain.positions, seconds)
    return FreeRun(starts, np.stack(done, 1), seconds)


def _read(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("frames", "state", "seconds", "identity")}
        begun = json.loads(str(found.pop("identity")))
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"'{path}' is damaged ({error}); delete it to run again.") from error
    changes = changed_settings({key: begun.get(key) for key in identity}, identity)
    if changes:
        raise CheckpointError(
            f"'{path}' was begun with other settings ({describe_changes(changes)}); delete it or use another folder."
        )
    return found


def _write(
    path: Path, identity: dict[str, Any], done: list[NDArray[np.float32]], state: Any, seconds: float
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, frames=np.stack(done, 1), state=state, seconds=seconds, identity=json.dumps(identity))
    os.replace(temporary, path)
