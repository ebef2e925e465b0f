"""Metadata: text form, allowed values, and every way in which a file can be broken."""

import struct
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from openmm_unisim.errors import ModelFileError, UniSimError
from openmm_unisim.export.metadata import ModelMetadata, read_metadata
from tests.toy_models import toy_metadata, write_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("metadata") / "toy.unisim.pt")


def write_zip(path, strings, root="archive"):
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in strings.items():
            archive.writestr(f"{root}/extra/{key}", value)
    return path


def strings(**changes):
    return {**toy_metadata().to_strings(), **changes}


def test_text_form():
    texts = toy_metadata().to_strings()
    assert texts["temperature_range_K"] == "250.0,350.0" and texts["elements"] == "1,6,7,8,16"
    assert texts["periodic"] == "false" and texts["format_version"] == "1"
    assert set(texts) == set(ModelMetadata.model_fields)


def test_a_file_from_before_the_fused_operators_needs_none():
    texts = strings()
    del texts["operators"]
    assert ModelMetadata.from_strings(texts).operators == 0
    with pytest.raises(ModelFileError, match="version 9 of the fused operators; update openmm_unisim"):
        ModelMetadata.from_strings(strings(operators="9"))


def test_round_trip_through_a_file(toy):
    metadata = read_metadata(toy)
    assert metadata.torch_version == torch.__version__ and len(metadata.weights_sha256) == 64
    blank = {"weights_sha256": "", "torch_version": "", "source_commit": ""}
    assert metadata.model_copy(update=blank) == toy_metadata()
    assert ModelMetadata.from_strings(metadata.to_strings()) == metadata


def test_non_ascii_text_and_extreme_numbers_survive(tmp_path):
    metadata = toy_metadata(training_data="Zenodo – ärger 水", lag_time_ps=1e-7 / 3)
    assert read_metadata(write_zip(tmp_path / "x", metadata.to_strings())) == metadata


def test_keys_of_a_newer_writer_are_ignored(tmp_path):
    assert read_metadata(write_zip(tmp_path / "x", strings(novelty="yes"))) == toy_metadata()


@pytest.mark.parametrize(
    "key",
    sorted(
        set(ModelMetadata.model_fields)
        - {"operators", "container", "processor", "guidance_environment", "guidance_sources"}
    ),
)
def test_each_missing_key_is_named(key):
    texts = strings()
    del texts[key]
    with pytest.raises(ModelFileError, match=key):
        ModelMetadata.from_strings(texts, "toy")


@pytest.mark.parametrize(
    "changes",
    [
        {"lag_time_ps": "0"}, {"lag_time_ps": "nan"}, {"lag_time_ps": "ten"}, {"periodic": "perhaps"},
        {"symmetry": "E(3)"}, {"elements": ""}, {"elements": "1,2"}, {"elements": "1,1"}, {"elements": "H"},
        {"temperature_range_K": "300"}, {"temperature_range_K": "310.0,320.0"}, {"default_substeps": "0"},
        {"guidance": "magic"}, {"forces_required": "true"}, {"scalar_type": "float16"}, {"license": ""},
        {"constraints": "some"}, {"default_guidance_scale": "-1.0"}, {"friction": "inf"},
    ],
)  # fmt: skip
def test_values_that_are_not_allowed(changes):
    with pytest.raises(ModelFileError, match=r"metadata that can't be used.*export it again"):
        ModelMetadata.from_strings(strings(**changes), "toy")


def test_wrong_values_never_reach_a_file():
    with pytest.raises(ValidationError, match="lag_time_ps"):
        toy_metadata(lag_time_ps=-1.0)


@pytest.mark.parametrize(
    "version, text", [("4", "update openmm_unisim"), ("1.5", "no number"), ("", "no number")]
)
def test_other_formats(tmp_path, version, text):
    with pytest.raises(ModelFileError, match=text):
        read_metadata(write_zip(tmp_path / "x", strings(format_version=version)))


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="There is no model file"):
        read_metadata(tmp_path / "absent.unisim.pt")


def test_a_folder(tmp_path):
    with pytest.raises(ModelFileError, match="is a folder"):
        read_metadata(tmp_path)


@pytest.mark.parametrize(
    "content, text",
    [(b"", "is empty"), (b"hello" * 30, "not a model file"), (b"PK\x05\x06", "truncated")],
)
def test_foreign_content(tmp_path, content, text):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelFileError, match=text):
        read_metadata(tmp_path / "x")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path, toy, share):
    content = toy.read_bytes()
    (tmp_path / "x").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match="truncated"):
        read_metadata(tmp_path / "x")


def test_foreign_archives(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    for path in (write_zip(tmp_path / "empty", {}), tmp_path / "weights.pt"):
        with pytest.raises(ModelFileError, match="holds no openmm_unisim metadata"):
            read_metadata(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/extra/license", b"0" * (50 << 20))
    assert (tmp_path / "x").stat().st_size < 100_000
    with pytest.raises(ModelFileError, match="more than 65536 bytes"):
        read_metadata(tmp_path / "x")


def test_a_huge_directory_is_not_read(tmp_path, toy):
    """Both kinds of end record: torch writes zip64, Python's zipfile the short one."""
    content = bytearray(toy.read_bytes())
    record = content.rfind(b"PK\x06\x06")
    struct.pack_into("<Q", content, record + 40, 1 << 40)
    (tmp_path / "x").write_bytes(content)
    content = bytearray(write_zip(tmp_path / "y", strings()).read_bytes())
    struct.pack_into("<I", content, content.rfind(b"PK\x05\x06") + 12, 1 << 30)
    (tmp_path / "y").write_bytes(content)
    for name in "xy":
        with pytest.raises(ModelFileError, match="zip directory takes"):
            read_metadata(tmp_path / name)


def test_an_impossible_offset(tmp_path, toy):
    content = bytearray(toy.read_bytes())
    struct.pack_into("<Q", content, content.rfind(b"PK\x06\x07") + 8, (1 << 64) - 1)
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelFileError, match="is damaged"):
        read_metadata(tmp_path / "x")


def test_a_compressed_entry_that_does_not_unpack(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/extra/license", b"MIT " * 100)
    content = bytearray((tmp_path / "x").read_bytes())
    start = 30 + len("archive/extra/license")
    content[start : start + 4] = b"\xff" * 4
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelFileError, match="is damaged"):
        read_metadata(tmp_path / "x")


def test_a_key_twice(tmp_path):
    write_zip(tmp_path / "x", strings())
    with zipfile.ZipFile(tmp_path / "x", "a") as archive:
        archive.writestr("other/extra/license", "GPL")
    with pytest.raises(ModelFileError, match="license twice"):
        read_metadata(tmp_path / "x")


def test_text_that_is_no_utf8(tmp_path):
    with pytest.raises(ModelFileError, match="is damaged"):
        read_metadata(write_zip(tmp_path / "x", strings(license=b"\xff\xfe")))


def test_a_damaged_name_is_told_in_one_line(toy, tmp_path):
    spoilt = write_zip(tmp_path / "x", strings(**{"a\nb": "some text"}))
    content = spoilt.read_bytes()
    spoilt.write_bytes(content.replace(b"some text", b"same text", 1))
    with pytest.raises(ModelFileError) as found:
        read_metadata(spoilt)
    assert "fails its checksum" in str(found.value) and "\n" not in str(found.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_a_named_error_or_harmless(tmp_path_factory, toy, data):
    """Fuzz: overwrite bytes at random, above all in the zip directory."""
    content = bytearray(toy.read_bytes())
    start = data.draw(st.sampled_from([0, len(content) - 4000, len(content) - 200]))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(start, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.unisim.pt"
    path.write_bytes(content)
    try:
        read_metadata(path)
    except UniSimError as error:
        assert isinstance(error, ModelFileError) and "\n" not in str(error)


def test_a_flipped_byte_is_found_before_torch_sees_the_file(tmp_path):
    path = tmp_path / "toy.unisim.pt"
    write_toy(path, "ou")
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda info: info.file_size)
    content = bytearray(path.read_bytes())
    name, extra = struct.unpack_from(
        "<HH", content, entry.header_offset + 26
    )  # the local header's own lengths
    content[entry.header_offset + 30 + name + extra + entry.compress_size // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ModelFileError, match="damaged"):
        read_metadata(path)
