"""What a model file says about itself, and how that is read without running anything from the file.

A model file (``name.unisim.pt``, a TorchScript archive, or ``name.unisim.pt2``, an AOTInductor package) is a zip
file. Each metadata key is one UTF-8 text entry ``<archive>/extra/<key>``. The values are flat strings: numbers as
Python prints them, lists joined by commas, ``true``/``false``. docs/model_file.md lists the meaning of every key.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..elements import ATOMIC_NUMBERS
from ..errors import ModelFileError

__all__ = [
    "FORMAT_VERSION",
    "GUIDANCE_SOURCES",
    "OPERATORS_VERSION",
    "PACKAGE_SUFFIX",
    "ModelMetadata",
    "read_metadata",
    "read_time_grids",
]

FORMAT_VERSION = (
    4  # 2: calls fused operators, 3: AOTInductor package, 4: force means; older versions refuse by number
)
OPERATORS_VERSION = 3  # of the fused operators, `getOperatorsVersion` of the plugin
_OPTIONAL = (  # keys that older files lack
    "operators",
    "container",
    "processor",
    "guidance_environment",
    "guidance_sources",
    "force_means_nm",
)
GuidanceName = Literal["none", "learned", "openmm", "openmm+residual", "resample"]
GUIDANCE_SOURCES: tuple[GuidanceName, ...] = (  # in the order of UniSimIntegrator.GuidanceSource
    "none",
    "learned",
    "openmm",
    "openmm+residual",
    "resample",
)
_GRID = "time_grid_"  # of a package: one entry for each number of substeps that it offers
PACKAGE_SUFFIX = ".pt2"
MAX_VALUE_BYTES = 64 * 1024  # of one metadata entry
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024  # of the zip directory, which zipfile reads as a whole
_EXPORT_AGAIN = "export it again with `openmm-unisim export`"
_END_OF_DIRECTORY = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_MARK = 0xFFFFFFFF
_DAMAGE = (  # what zipfile raises for broken archives
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError,
    OverflowError,
)  # fmt: skip


class ModelMetadata(BaseModel):
    """Metadata of a model file: one field per key, in public units (nm, ps, kJ/mol, K).

    Those that describe the export itself (``format_version``, ``operators``, ``container``, ``processor``,
    ``weights_sha256``, ``torch_version``, ``source_commit``) are filled in by
    `openmm_unisim.export.exporter.save_model_file` and `openmm_unisim.export.packager.save_package`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: int = Field(1, ge=1)
    operators: int = Field(0, ge=0)  # version of the fused operators that the file calls; 0: none
    container: Literal["torchscript", "aotinductor"] = "torchscript"
    processor: str = ""  # of a package: the instruction set that its machine code needs
    lag_time_ps: float = Field(gt=0)
    training_temperature_K: float = Field(gt=0)
    temperature_range_K: tuple[float, float]
    elements: tuple[int, ...] = Field(min_length=1)
    cutoff_nm: float = Field(ge=0)  # 0: no cutoff
    periodic: bool
    symmetry: Literal["O(3)", "SO(3)"]
    conditioned_on_initial: bool
    needs_bonds: bool
    default_substeps: int = Field(ge=1)
    environment: str = Field(min_length=1)
    force_field: str = Field(min_length=1)
    constraints: Literal["none", "h-bonds", "all-bonds", "h-angles"]
    masses: str = Field(min_length=1)
    friction: float = Field(ge=0)  # 1/ps
    rigid_motion_removed: bool
    guidance_alpha: float = Field(ge=0)
    guidance: GuidanceName  # the source unless another one is chosen
    guidance_sources: tuple[
        GuidanceName, ...
    ] = ()  # all that the module can be told to use; empty: `guidance`
    guidance_environment: str = ""  # of learned guidance: where it leads; empty: unknown, or no guidance
    force_means_nm: float = Field(
        0.0, ge=0
    )  # sigma sqrt(1-t) below which the whole potential's forces correct means
    forces_required: bool
    default_guidance_scale: float = Field(ge=0)
    scalar_type: Literal["float32", "float64"]
    weights_sha256: str = ""
    torch_version: str = ""
    source_commit: str = ""
    training_data: str = Field(min_length=1)
    license: str = Field(min_length=1)

    @field_validator("temperature_range_K", "elements", "guidance_sources", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [item for item in value.split(",") if item] if isinstance(value, str) else value

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        unknown = sorted(set(value) - set(ATOMIC_NUMBERS))
        if unknown:
            raise ValueError(f"atomic numbers {unknown} are outside the vocabulary")
        if len(set(value)) != len(value):
            raise ValueError("an atomic number occurs twice")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ModelMetadata":
        low, high = self.temperature_range_K
        if not 0 < low <= self.training_temperature_K <= high:
            raise ValueError(
                f"training_temperature_K {self.training_temperature_K} lies outside {low},{high}"
            )
        if self.operators > OPERATORS_VERSION:
            raise ValueError(
                f"it needs version {self.operators} of the fused operators; update openmm_unisim"
            )
        if (self.container == "aotinductor") != bool(self.processor):
            raise ValueError(f"container {self.container} doesn't go with processor {self.processor!r}")
        if self.forces_required and not self.guidance.startswith("openmm"):
            raise ValueError(f"forces_required is true, but guidance is {self.guidance!r}")
        if self.force_means_nm > 0 and {"openmm", "openmm+residual", "resample"} & {
            self.guidance,
            *self.guidance_sources,
        }:
            raise ValueError(
                "force means can't be combined with guidance by OpenMM's forces or by resampling"
            )
        if self.guidance_sources and self.guidance not in (*self.guidance_sources, "none", "resample"):
            raise ValueError(
                f"guidance is {self.guidance!r}, which isn't among the sources {self.guidance_sources}"
            )
        return self

    @property
    def differentiates(self) -> bool:
        """Whether the module takes derivatives by positions itself."""
        return bool({"openmm", "openmm+residual"} & set(self.guidance_sources))

    @property
    def served_sources(self) -> tuple[GuidanceName, ...]:
        """Sources of guidance that can be chosen: none and resampling need nothing of the module.

        Candidates of resampling are made at once, without the forces that force means want.
        """
        free = ("none",) if self.force_means_nm > 0 else ("none", "resample")
        own = self.guidance_sources or (self.guidance,)
        return tuple(name for name in GUIDANCE_SOURCES if name in (*own, *free))

    def sampled_environment(self, guidance_scale: float | None = None, source: str | None = None) -> str:
        """Environment that jumps lead to: the data's, or where guidance leads (the file's own if None)."""
        told = source is not None and self.guidance == "none"  # then the strength is 1 unless told
        default = 1.0 if told else self.default_guidance_scale
        scale = default if guidance_scale is None else guidance_scale
        guided = scale > 0 and (source or self.guidance) != "none"
        return (self.guidance_environment if guided else "") or self.environment

    def to_strings(self) -> dict[str, str]:
        """The flat dictionary that goes into the file: one UTF-8 string per key."""
        return {key: _to_string(value) for key, value in self.model_dump().items()}

    @classmethod
    def from_strings(cls, strings: dict[str, str], source: str = "model metadata") -> "ModelMetadata":
        """Parse the flat dictionary of a file.

        Parameters
        ----------
        strings : dict of str to str
            Keys that this version doesn't know are ignored (a newer writer may add some within one format).
        source : str
            Name for error messages, usually the path.

        Raises
        ------
        ModelFileError
            If the format is newer, a key is missing, or a value isn't allowed.
        """
        _check_format(strings.get("format_version"), source)
        missing = [key for key in cls.model_fields if key not in strings and key not in _OPTIONAL]
        if missing:
            raise ModelFileError(f"{source} lacks the metadata {', '.join(missing)}; {_EXPORT_AGAIN}.")
        try:
            return cls.model_validate({key: strings[key] for key in cls.model_fields if key in strings})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "values"
            raise ModelFileError(
                f"{source} has metadata that can't be used, {key}: {first['msg']}  "
                f"(got {first['input']!r:.80}); {_EXPORT_AGAIN}."
            ) from error


def _to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(_to_string(item) for item in value)
    return repr(value) if isinstance(value, float) else str(value)


def _check_format(text: str | None, source: str) -> None:
    if text is None:
        raise ModelFileError(
            f"{source} holds no openmm_unisim metadata (no format_version), so it is some other TorchScript, "
            "pt2 or zip file; give a file written by `openmm-unisim export`."
        )
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ModelFileError(
            f"{source} has format_version {text!r:.40}, which is no number; export it again."
        )
    if int(text) > FORMAT_VERSION:
        raise ModelFileError(
            f"{source} has format {int(text)}, and this version reads formats up to {FORMAT_VERSION}; "
            "update openmm_unisim or export the model with this version."
        )


def read_metadata(path: str | Path, content: bytes | None = None) -> ModelMetadata:
    """Read and check the metadata of a model file with `zipfile` only: no code from the file runs.

    Parameters
    ----------
    path : str or Path
        A ``.unisim.pt`` or ``.unisim.pt2`` file.
    content : bytes, optional
        Its bytes, if they were read already.

    Raises
    ------
    ModelFileError
        If the file is missing, empty, truncated, not a zip file, not ours, of a newer format or incomplete.
    """
    path = Path(path)
    strings = _read_extra(path, content, lambda key: key in ModelMetadata.model_fields)
    metadata = ModelMetadata.from_strings(strings, str(path))
    if (metadata.container == "aotinductor") != (path.suffix == PACKAGE_SUFFIX):
        raise ModelFileError(
            f"Model file {path} holds the container {metadata.container}, which its suffix doesn't say; AOTInductor "
            "packages end in .pt2, TorchScript archives don't: rename it."
        )
    return metadata


def read_time_grids(path: str | Path, content: bytes | None = None) -> dict[int, list[float]]:
    """Time grids of a package, by their number of substeps; read as `read_metadata` does.

    Raises
    ------
    ModelFileError
        As `read_metadata`; or if an entry holds no numbers.
    """
    strings = _read_extra(Path(path), content, lambda key: key.startswith(_GRID))
    try:
        return {int(key[len(_GRID) :]): [float(t) for t in text.split(",")] for key, text in strings.items()}
    except ValueError as error:
        raise ModelFileError(
            f"Model file {path} has a time grid that can't be read ({error}); {_EXPORT_AGAIN}."
        ) from error


def _read_extra(path: Path, content: bytes | None, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Texts of the wanted keys, after a check of every entry's checksum."""
    try:
        if content is None and path.exists() and not (path.is_file() or path.is_dir()):
            raise ModelFileError(f"{path} is no file; give the model file itself.")  # a pipe would never end
        with open(path, "rb") if content is None else io.BytesIO(content) as stream:
            _check_directory_size(stream, path)
            with zipfile.ZipFile(stream) as archive:
                strings = _extra_entries(archive, path, wanted)
                damaged = archive.testzip()
        if damaged is not None:
            raise ModelFileError(
                f"Model file {path} is damaged ({damaged!r} fails its checksum); fetch it again."
            )
    except FileNotFoundError as error:
        raise ModelFileError(
            f"There is no model file {path}; check the path or give a registered name."
        ) from error
    except IsADirectoryError as error:
        raise ModelFileError(f"{path} is a folder; give the .unisim.pt file inside it.") from error
    except OSError as error:
        raise ModelFileError(
            f"Model file {path} can't be read ({error.strerror}); check its permissions."
        ) from error
    except _DAMAGE as error:
        raise ModelFileError(f"Model file {path} is damaged ({error}); fetch or export it again.") from error
    return strings


def _check_directory_size(stream: BinaryIO, path: Path) -> None:
    """Refuse what isn't a zip file, or has too large a zip directory, before zipfile reads it."""
    size = stream.seek(0, 2)
    if size == 0:
        raise ModelFileError(f"Model file {path} is empty; fetch or export it again.")
    stream.seek(0)
    starts_as_zip = stream.read(2) == b"PK"
    tail_start = max(0, size - 65557)  # the end record is 22 bytes and a comment of at most 65535
    stream.seek(tail_start)
    tail = stream.read()
    where = tail.rfind(_END_OF_DIRECTORY)
    if where < 0 or len(tail) - where < 22:
        kind = "is truncated" if starts_as_zip else "is not a model file (no zip archive)"
        raise ModelFileError(f"{path} {kind}; fetch or export it again.")
    directory = struct.unpack_from("<I", tail, where + 12)[0]
    if tail[where - 20 : where - 16] == _ZIP64_LOCATOR and where >= 20:
        stream.seek(struct.unpack_from("<Q", tail, where - 12)[0])
        record = stream.read(56)
        directory = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else _ZIP64_MARK
    if directory > MAX_DIRECTORY_BYTES:
        raise ModelFileError(
            f"{path} is no model file: its zip directory takes {directory} bytes, and at most "
            f"{MAX_DIRECTORY_BYTES} are accepted; give a file written by `openmm-unisim export`."
        )
    stream.seek(0)


def _extra_entries(archive: zipfile.ZipFile, path: Path, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Text of the entries ``<root>/extra/<key>`` whose key is wanted."""
    strings: dict[str, str] = {}
    for info in archive.infolist():
        parts = info.filename.split("/")
        if len(parts) != 3 or parts[1] != "extra" or not wanted(parts[2]):
            continue
        key = parts[2]
        if key in strings:
            raise ModelFileError(f"Model file {path} holds metadata {key} twice; export it again.")
        with archive.open(info) as entry:
            data = entry.read(MAX_VALUE_BYTES + 1)
        if len(data) > MAX_VALUE_BYTES:
            raise ModelFileError(
                f"Model file {path} has a metadata entry {key} of more than {MAX_VALUE_BYTES} bytes; "
                f"{_EXPORT_AGAIN}."
            )
        strings[key] = data.decode("utf-8")
    return strings
