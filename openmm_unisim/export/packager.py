"""Writes the second container: a substep compiled to machine code ahead of time (AOTInductor), ``name.unisim.pt2``.

The package holds one function of tensors, which serves `step` and `log_density`:

    substep(positions, initial_positions, atomic_numbers, bonds, t, t_next, noise, next_positions, given)
            -> (following, log_density)

`following` is drawn with `noise`, or, where `given` is true, `next_positions`. Numbers of copies, atoms and bonds may
be any. What a function of tensors can't do is done by whoever calls it (export.packaged, UniSimPackagedModel.cpp):
unknown elements, time grids (stored, one entry each) and the absent guidance. See docs/model_file.md.
"""

import io
import logging
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelFileError, OutputError
from ..interpolant.covariance import Restraints
from ..model.inference_pairs import SizedField
from ..provenance import source_commit
from .exporter import weights_sha256, write_with_checksum
from .metadata import OPERATORS_VERSION, ModelMetadata
from .operator_shapes import register_shapes
from .packed import PackedJump
from .processor import LEVEL, VECTOR_BITS, check_can_package
from .scripted import ConditionedJump

__all__ = ["save_package"]

PACKAGE_FORMAT = 3
MOST_SUBSTEPS = 100  # grids stored; a longer one only if it is the default
_SETTINGS = {
    "cpp.threads": 1,  # no OpenMP inside: molecules are small, and the operators have their own threads
    "cpp.march": LEVEL,
    "cpp.simdlen": VECTOR_BITS,
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.enable_frame_pointer": False,
    "aot_inductor.check_lowerbound": False,  # a single copy is fine
}
_SIZES = {
    "copies": 5,
    "atoms": 7,
    "bonds": 6,
}  # of the traced example; all different, so that none is taken for another
_KEPT = (
    ".so",
    ".wrapper.json",
    ".wrapper_metadata.json",
)  # of the folder of the function; the rest is source text


class _TraceableJump(ConditionedJump):
    """A `ConditionedJump` that torch.export and inductor can follow."""

    def __init__(self, jump: ConditionedJump) -> None:
        super().__init__(
            jump.field, jump.spread, jump.lag_time, jump.grid_power, jump.group_wise, jump.elements
        )

    def topology(self, bonds: Tensor, n_atoms: int) -> tuple[Tensor, Tensor, Restraints]:
        """`ConditionedJump.topology` of a molecule with two restrained distances at least."""
        adjacency, distance, restrained = super().topology(bonds, n_atoms)
        torch._check(restrained.pairs.size(0) > 1)  # inductor treats matrices of one row in another way
        return adjacency, distance, restrained


class _Substep(nn.Module):
    """The function of the package."""

    def __init__(self, jump: ConditionedJump) -> None:
        super().__init__()
        self.jump = jump

    def forward(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor, t: Tensor,
        t_next: Tensor, noise: Tensor, next_positions: Tensor, given: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """See the module's head; `given` is a bool without dimensions."""
        mean, factor = self.jump.law(positions, initial_positions, atomic_numbers, bonds, t, t_next, 0.0)
        drawn = self.jump.drawn(mean, factor, noise).to(positions.dtype)
        following = torch.where(given, next_positions, drawn)
        return following, self.jump.density_at(following, mean, factor)


def save_package(jump: ConditionedJump, metadata: ModelMetadata, path: str | Path) -> ModelMetadata:
    """Compile and save a jump, with its metadata and a checksum beside it; needs g++ and a minute or two.

    Parameters
    ----------
    jump : ConditionedJump
        A `PackedJump` calls the fused operators.
    metadata : ModelMetadata
        Those that describe the export are filled in here.
    path : str or Path
        ``name.unisim.pt2``.

    Returns
    -------
    ModelMetadata
        As written.

    Raises
    ------
    ConfigError
        On another kind of processor than x86-64.
    OutputError
        If it can't be compiled or written.
    """
    path = Path(path)
    check_can_package()
    if (
        metadata.guidance not in ("none", "resample")
        or metadata.guidance_sources
        or metadata.scalar_type != "float32"
    ):
        raise ModelFileError(
            f"Packages hold float32 models without guidance, not {metadata.scalar_type} with guidance "
            f"{metadata.guidance}; write a .unisim.pt file."
        )
    packed = isinstance(jump, PackedJump)
    full = metadata.model_copy(
        update={
            "format_version": PACKAGE_FORMAT, "container": "aotinductor", "processor": LEVEL,
            "operators": OPERATORS_VERSION if packed else 0, "torch_version": torch.__version__,
            "weights_sha256": metadata.weights_sha256 or weights_sha256(jump), "source_commit": source_commit(),
        }
    )  # fmt: skip
    extra = full.to_strings() | _time_grids(jump, full.default_substeps)
    with tempfile.TemporaryDirectory() as folder:
        compiled = _compile(jump if packed else _TraceableJump(jump), metadata, Path(folder) / "model.pt2")
        content = _repack(compiled, path.name.split(".")[0], extra)
    write_with_checksum(path, content)
    return full


def _time_grids(jump: ConditionedJump, default: int) -> dict[str, str]:
    """Metadata entries of the grids, numbers as Python prints them."""
    counts = sorted({*range(2, MOST_SUBSTEPS + 1), default})
    grids = {n: jump.time_grid(n).tolist() for n in counts}
    return {f"time_grid_{n}": ",".join(repr(t) for t in times) for n, times in grids.items()}


def _example(metadata: ModelMetadata) -> tuple[Tensor, ...]:
    """Arguments to trace the function with: a chain; only their types and numbers of dimensions count."""
    copies, atoms, bonds = _SIZES["copies"], _SIZES["atoms"], _SIZES["bonds"]
    line = torch.arange(atoms).view(1, atoms, 1) * torch.tensor([0.1, 0.05, 0.02])
    positions = line.repeat(copies, 1, 1)
    positions[:, ::2, 1] += 0.1
    first = torch.arange(bonds)
    t = torch.full((copies,), 0.2, dtype=torch.float64)
    numbers = torch.full((atoms,), metadata.elements[0])
    ends = torch.stack([first, first + 1], 1)
    state = (positions + 0.01, positions, numbers, ends, t, t + 0.1)
    return (*state, torch.zeros_like(positions), positions.clone(), torch.tensor(False))


def _compile(jump: ConditionedJump, metadata: ModelMetadata, path: Path) -> Path:
    """torch's own package of the function."""
    if isinstance(jump, PackedJump):
        register_shapes()
        if isinstance(jump.field, SizedField):
            jump.field = jump.field.small  # one function can't choose by the number of atoms
    many = torch.export.Dim.DYNAMIC
    per_copy, coordinates = {0: many}, {0: many, 1: many}
    shapes: tuple[dict[int, Any], ...] = (
        coordinates, coordinates, {0: many}, {0: many}, per_copy, per_copy, coordinates, coordinates, {},
    )  # fmt: skip
    logger = logging.getLogger("torch._inductor")  # tells of factorisations that it leaves to torch
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            module = _Substep(jump).eval().requires_grad_(False)
            program = torch.export.export(module, _example(metadata), dynamic_shapes=shapes, strict=False)
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs=_SETTINGS
            )
    except Exception as error:  # inductor and the compiler raise their own; all mean that there is no package
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OutputError(
            f"The model can't be compiled ({type(error).__name__}: {cause:.200}); g++ is needed, or write a "
            ".unisim.pt file."
        ) from error
    finally:
        logger.setLevel(level)
    return path


def _repack(compiled: Path, root: str, extra: dict[str, str]) -> bytes:
    """The package under our root name, without source text, with the metadata's entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(compiled) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            inside = name.split("/", 1)[1]
            if not inside.startswith("data/aotinductor/") or name.endswith(_KEPT):
                new.writestr(zipfile.ZipInfo(f"{root}/{inside}"), old.read(name))
        for key, text in extra.items():
            new.writestr(zipfile.ZipInfo(f"{root}/extra/{key}"), text)
    return stream.getvalue()
