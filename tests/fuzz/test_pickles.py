"""A pickle that would run a command is put into every container that we read: nothing runs it."""

import contextlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import openmm
import pytest

from openmm_unisim import ModelFileError, load_plugin
from openmm_unisim.errors import UniSimError
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.model.checkpoint import load_weights
from openmm_unisim.provenance import sha256_of_file
from openmm_unisim.simulation.replicas.checkpoint import ReplicaCheckpoint
from tests.toy_models import write_toy


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path):
    """What the bomb would make; it isn't there afterwards."""
    yield tmp_path / "exploded"
    assert not (tmp_path / "exploded").exists()


def pickled(mark: Path, protocol: int = 2) -> bytes:
    import pickle

    return pickle.dumps(Bomb(mark), protocol=protocol)


def test_the_bomb_works(tmp_path: Path) -> None:
    import pickle

    pickle.loads(pickled(tmp_path / "x"))
    assert (tmp_path / "x").is_dir()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("entry", ["data.pkl", "constants.pkl", "extra/data.pkl", "attributes.pkl"])
def test_model_files_that_are_trusted(entry: str, protocol: int, mark: Path, tmp_path: Path) -> None:
    path, changed = write_toy(tmp_path / "toy.unisim.pt"), tmp_path / "changed.unisim.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        root = old.namelist()[0].split("/")[0]
        for info in old.infolist():
            if info.filename != f"{root}/{entry}":
                new.writestr(info.filename, old.read(info))
        new.writestr(f"{root}/{entry}", pickled(mark, protocol))
    unread = entry not in ("data.pkl", "constants.pkl")  # entries that TorchScript doesn't know
    digest = sha256_of_file(changed)
    for load in (
        lambda: load_model_file(changed, sha256=digest),
        lambda: load_plugin().UniSimIntegrator(str(changed), 300.0, 0, digest),
    ):
        if unread:
            with contextlib.suppress(openmm.OpenMMException):  # metadata have to be UTF-8
                load()
        else:
            with pytest.raises((ModelFileError, openmm.OpenMMException)):
                load()


def test_a_pickle_by_itself_is_no_file_of_ours(mark: Path, tmp_path: Path) -> None:
    for name, load in (
        ("x.unisim.pt", lambda path: load_model_file(path, trusted=True)),
        ("x.safetensors", load_weights),
    ):
        (tmp_path / name).write_bytes(pickled(mark))
        with pytest.raises(UniSimError):
            load(tmp_path / name)


def test_arrays_of_objects_in_a_checkpoint_of_replicas(mark: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, header=np.array([Bomb(mark)], dtype=object))
    with pytest.raises(UniSimError):
        ReplicaCheckpoint.from_bytes(stream.getvalue())


def test_tags_of_yaml_make_no_objects(mark: Path, tmp_path: Path) -> None:
    from openmm_unisim.hybrid.protocol import load_protocol

    (tmp_path / "x.yaml").write_text(
        f"cycles: !!python/object/apply:os.mkdir [{str(mark)!r}]", encoding="utf-8"
    )
    with pytest.raises(UniSimError):
        load_protocol(tmp_path / "x.yaml")
