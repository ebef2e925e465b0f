"""The state of all copies as bytes: NumPy arrays and JSON, nothing that runs when it is read."""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError
from .counts import ReplicaCounts

__all__ = ["ReplicaCheckpoint"]

FORMAT = 1


@dataclass(frozen=True)
class ReplicaCheckpoint:
    """What a `ReplicaSimulation` needs to go on exactly. Noise needs no more than seed and step.

    Attributes
    ----------
    identity : dict
        Settings that must be the same.
    step, seed : int
    positions : ndarray, shape (n_copies, n_particles, 3), nm
    energies, log_acceptance : ndarray, shape (n_copies,)
        kJ/mol, nan where unknown; ln a of the last jump.
    reference : ndarray, shape (n_particles, 3), nm
        By which handedness is judged.
    counts : list of ReplicaCounts
    """

    identity: dict[str, Any]
    step: int
    seed: int
    positions: NDArray[np.float64]
    energies: NDArray[np.float64]
    log_acceptance: NDArray[np.float64]
    reference: NDArray[np.float64]
    counts: list[ReplicaCounts]

    def to_bytes(self) -> bytes:
        """The same bytes for the same state."""
        header = {"format": FORMAT, "step": self.step, "seed": self.seed, "identity": self.identity}
        stream = io.BytesIO()
        arrays: dict[str, Any] = {
            f"count_{name}": values for name, values in ReplicaCounts.to_arrays(self.counts).items()
        }
        np.savez(
            stream, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), positions=self.positions,
            energies=self.energies, log_acceptance=self.log_acceptance, reference=self.reference, **arrays,
        )  # fmt: skip
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "ReplicaCheckpoint":
        """The reverse of `to_bytes`.

        Raises
        ------
        CheckpointError
            If the bytes are no such checkpoint, or of another version.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise CheckpointError(
                    f"The replicas' checkpoint is of format {header['format']}, and only {FORMAT} is known here."
                )
            counts = {name.removeprefix("count_"): values for name, values in arrays.items()}
            return cls(
                header["identity"], int(header["step"]), int(header["seed"]), arrays["positions"], arrays["energies"],
                arrays["log_acceptance"], arrays["reference"],
                ReplicaCounts.from_arrays(counts, len(arrays["positions"])),
            )  # fmt: skip
        except CheckpointError:
            raise
        except Exception as error:  # zipfile, numpy and json raise many kinds
            raise CheckpointError(
                f"These bytes are no checkpoint of replicas ({type(error).__name__}: {error}); load another file."
            ) from error
