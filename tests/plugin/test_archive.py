"""The plugin compares every entry of a model file with its checksum: torch's reader doesn't."""

import struct
import zipfile
from pathlib import Path

import openmm
import pytest

from openmm_unisim import load_plugin
from openmm_unisim.pretrained.registry import registered_models
from openmm_unisim.provenance import sha256_of_file
from tests.toy_models import write_toy


def load(path: Path) -> None:
    load_plugin().UniSimIntegrator(str(path), 300.0, 0, sha256_of_file(path))


def test_shipped_files_pass() -> None:
    for model in registered_models().values():
        load(model.path)


@pytest.mark.parametrize("end", [".py", "data.pkl", "license", "version"])
def test_a_flipped_bit_in_any_entry(end: str, tmp_path: Path) -> None:
    """TorchScript's code is compressed in the archive; the other entries aren't."""
    path = write_toy(tmp_path / "toy.unisim.pt")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith(end))
        name, extra = struct.unpack_from("<HH", content, info.header_offset + 26)
        assert (info.compress_type != zipfile.ZIP_STORED) == (end == ".py")
        content[info.header_offset + 30 + name + extra + info.compress_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(
        openmm.OpenMMException, match="is neither a TorchScript archive nor a package or is damaged"
    ):
        load(path)


def test_an_entry_that_occurs_twice(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.unisim.pt")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(next(name for name in archive.namelist() if name.endswith("/license")), "another")
    with pytest.raises(openmm.OpenMMException, match=r"extra/license occurs twice\.$"):
        load(path)


def test_archives_that_another_program_packed(tmp_path: Path) -> None:
    path, packed = write_toy(tmp_path / "toy.unisim.pt"), tmp_path / "packed.unisim.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    load(packed)


@pytest.mark.parametrize("keep", [0, 10, 21, 0.5, 0.99])
def test_a_file_that_ends_early(keep: float, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.unisim.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(openmm.OpenMMException, match=r"is damaged|can't be read"):
        load(path)
