"""Loads the second container (export.packager) and gives it the methods of the step contract.

The machine code takes arguments as they come: a wrong type or shape would be read past its end. So everything is
checked here, and made contiguous, before it is called.
"""

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelFileError
from .metadata import ModelMetadata, read_time_grids
from .processor import processor_runs

__all__ = ["PackagedModel", "load_package"]

FOLDER = "data/aotinductor/model"
FUNCTION = "model"


class PackagedModel:
    """A substep compiled ahead of time, called as a TorchScript module of the step contract.

    Parameters
    ----------
    function : object
        torch's loader of the compiled function; has `boxed_run`.
    metadata : ModelMetadata
    grids : dict of int to list of float
        Time grids by their number of substeps.
    """

    def __init__(self, function: Any, metadata: ModelMetadata, grids: dict[int, list[float]]) -> None:
        self._function = function
        self._elements = torch.tensor(metadata.elements)
        self._grids = {n: torch.tensor(times, dtype=torch.float64) for n, times in grids.items()}
        self._scalar = torch.float32

    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor, noise: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """`ConditionedJump.step`."""
        state = self._state(positions, initial_positions, atomic_numbers, bonds, t, t_next, forces)
        drawn = _checked("noise", noise, self._scalar, state[0].shape)
        following, density = self._function.boxed_run([*state, drawn, drawn, torch.tensor(False)])
        return following, density

    def log_density(
        self, next_positions: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """`ConditionedJump.log_density`."""
        state = self._state(positions, initial_positions, atomic_numbers, bonds, t, t_next, forces)
        end = _checked("next_positions", next_positions, self._scalar, state[0].shape)
        density: Tensor = self._function.boxed_run([*state, end, end, torch.tensor(True)])[1]
        return density

    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        """No forces are wanted."""
        return positions.new_zeros(0)

    def time_grid(self, n: int) -> Tensor:
        """Interpolant times, shape (n + 1,)."""
        if n not in self._grids:
            raise RuntimeError(
                f"This package offers {min(self._grids)} to {max(self._grids)} substeps, not {n}."
            )
        return self._grids[n].clone()

    def _state(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, forces: Tensor,
    ) -> list[Tensor]:  # fmt: skip
        """The first six arguments of the function, checked."""
        if positions.dim() != 3 or positions.size(2) != 3 or not positions.numel():
            raise RuntimeError(
                f"positions have the shape {tuple(positions.shape)}, not (n_copies, n_atoms, 3)."
            )
        if forces.numel() > 0:
            raise RuntimeError("This model takes no forces; it was exported with guidance none.")
        copies, atoms = positions.size(0), positions.size(1)
        numbers = _checked("atomic_numbers", atomic_numbers, torch.int64, (atoms,))
        known = torch.isin(numbers, self._elements)
        if not bool(known.all()):
            raise RuntimeError(
                f"Atomic number {int(numbers[~known][0])} did not occur in this model's training."
            )
        ends = _checked("bonds", bonds, torch.int64, (len(bonds), 2))
        if ends.numel() and not 0 <= int(ends.min()) <= int(ends.max()) < atoms:
            raise RuntimeError(f"A bond names an atom outside 0..{atoms - 1}.")
        return [
            _checked("positions", positions, self._scalar, (copies, atoms, 3)),
            _checked("initial_positions", initial_positions, self._scalar, (copies, atoms, 3)),
            numbers,
            ends,
            _checked("t", t, torch.float64, (copies,)),
            _checked("t_next", t_next, torch.float64, (copies,)),
        ]


def _checked(name: str, tensor: Tensor, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    if tensor.dtype != dtype or tensor.shape != tuple(shape) or tensor.device.type != "cpu":
        raise RuntimeError(
            f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}, not {dtype} of shape "
            f"{tuple(shape)} on cpu."
        )
    return tensor.detach().contiguous()


def load_package(path: Path, metadata: ModelMetadata, content: bytes) -> PackagedModel:
    """Load a package from its bytes, which are trusted, and whose operators were loaded before.

    Its shared library is unpacked into a private temporary folder and mapped into this process; the folder is gone
    when this returns.

    Raises
    ------
    ModelFileError
        If it was compiled for another processor or torch, or can't be loaded.
    """
    _check_machine(path, metadata)
    try:
        with tempfile.TemporaryDirectory(prefix="openmm_unisim_") as folder:
            _unpack(content, Path(folder))
            function = torch._C._aoti.AOTIModelPackageLoader(folder, FUNCTION, False, 1, -1)
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelFileError(
            f"torch {torch.__version__} can't load model file {path} ({cause:.200}); export it again, or set TMPDIR "
            "to a folder from which programs may run."
        ) from error
    return PackagedModel(function, metadata, read_time_grids(path, content))


def _check_machine(path: Path, metadata: ModelMetadata) -> None:
    if not processor_runs(metadata.processor):
        raise ModelFileError(
            f"Model file {path} holds machine code for the processor {metadata.processor}, which this one can't run; "
            "export the weights on this machine, or to a .unisim.pt file."
        )
    if metadata.torch_version.split(".")[:2] != torch.__version__.split(".")[:2]:
        raise ModelFileError(
            f"Model file {path} was compiled for torch {metadata.torch_version}, and torch {torch.__version__} is "
            "installed; export it again with this torch."
        )


def _unpack(content: bytes, folder: Path) -> None:
    """Write the files of the function, and nothing else of the archive, below `folder`."""
    target = folder / FOLDER
    target.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            parts = name.split("/")
            if "/".join(parts[1:-1]) == FOLDER and parts[-1] not in ("", ".", ".."):
                (target / parts[-1]).write_bytes(archive.read(name))
