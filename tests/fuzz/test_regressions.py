"""What fuzzing found, each as the smallest file that showed it."""

import json
import zipfile
from pathlib import Path

import openmm
import pytest
import torch

from openmm_unisim import CheckpointError, ConfigError, ModelFileError, UniSimIntegrator, load_plugin
from openmm_unisim.cli.train import read_config
from openmm_unisim.data.plan import DataPlan
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.hybrid.protocol import load_protocol
from openmm_unisim.provenance import sha256_of_file
from openmm_unisim.simulation.outputs import RunFolder
from openmm_unisim.simulation.record import require_same_run
from openmm_unisim.solvent.simulation import SolventFolder
from openmm_unisim.training.config import VectorFieldConfig
from tests.plugin.systems import free_atoms, jumper, random_positions
from tests.toy_models import write_toy


def test_settings_that_are_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'{"kind": "\xff"}')
    with pytest.raises(ConfigError):
        read_config(tmp_path / "x.json", VectorFieldConfig)
    with pytest.raises(ConfigError):
        DataPlan.load(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["cycles: " + "9" * 5000, "cycles: 2001-99-99", "cycles: " + "[" * 1500])
def test_yaml_that_python_cannot_hold(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="is no YAML"):
        load_protocol(tmp_path / "x.yaml")


def test_aliases_that_multiply(tmp_path: Path) -> None:
    """Ten levels of ten references each: the error's text must not spell them out."""
    levels = ["a0: &a0 x"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "x.yaml").write_text("\n".join([*levels, "md: *a9"]), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_protocol(tmp_path / "x.yaml")
    assert len(str(error.value)) < 1000


def committed(folder: RunFolder) -> dict:
    """A checkpoint in a new folder, and its record."""
    folder.create()
    for name in ("trajectory.xtc", "jumps.csv"):
        (folder.path / name).write_bytes(b"x" * 100)
    folder.save_checkpoint(b"data", {"standing": {"done": 3}})
    return json.loads(folder.checkpoint_record.read_text(encoding="utf-8"))


def test_a_record_that_was_changed_cuts_no_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    record = committed(folder)
    assert "bytes" in folder.load_checkpoint()[1]
    record["bytes"]["jumps.csv"] = 5
    folder.checkpoint_record.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match="was changed since it was written"):
        folder.load_checkpoint()


@pytest.mark.parametrize(
    "lengths", [None, 3, {}, {"trajectory.xtc": 10}, {"trajectory.xtc": 10, "jumps.csv": -1}]
)
def test_a_record_of_before_without_lengths_cuts_no_file(lengths: object, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    committed(folder)
    with pytest.raises(CheckpointError, match="doesn't say how long"):
        folder.truncate_to({"bytes": lengths})
    assert folder.trajectory.stat().st_size == 100


def test_a_record_of_before_still_loads(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    record = committed(folder)
    del record["record_sha256"]
    folder.checkpoint_record.write_text(json.dumps(record), encoding="utf-8")
    assert folder.load_checkpoint()[1]["standing"] == {"done": 3}


def test_a_solvent_record_with_a_strange_name_removes_no_file(tmp_path: Path) -> None:
    folder = SolventFolder(tmp_path)
    folder.moves.write_text("x" * 100, encoding="utf-8")
    for known in (None, {"moves.cs": 5}):
        with pytest.raises(CheckpointError, match="doesn't name the files"):
            folder.truncate_to({"bytes": known})
    assert folder.moves.is_file()


def test_records_nested_too_deeply_or_without_identity(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    committed(folder)
    folder.checkpoint_record.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(CheckpointError, match="can't be read"):
        folder.load_checkpoint()
    for damaged in ({"identity": 3}, {"identity": {"substeps": 0}}):
        with pytest.raises(CheckpointError, match="damaged"):
            require_same_run(damaged, {})


def test_metadata_that_are_no_utf8_are_told_in_one_sentence(tmp_path: Path) -> None:
    path, changed = write_toy(tmp_path / "toy.unisim.pt"), tmp_path / "changed.unisim.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, b"\xff\xfe" if info.filename.endswith("/license") else old.read(info))
    with pytest.raises(openmm.OpenMMException, match="metadata license that are no UTF-8 text"):
        load_plugin().UniSimIntegrator(str(changed), 300.0, 0, sha256_of_file(changed))


@pytest.mark.parametrize("value", ["x", "12x", "", "1e3", "99999999999999999999", "é"])
def test_numbers_of_xml_are_numbers_and_nothing_else(value: str, tmp_path: Path) -> None:
    integrator = UniSimIntegrator(write_toy(tmp_path / "toy.unisim.pt"), free_atoms(2)[0], 300)
    xml = openmm.XmlSerializer.serialize(integrator)
    assert 'numResampled="8"' in xml
    with pytest.raises(openmm.OpenMMException, match="is no number that fits"):
        openmm.XmlSerializer.deserialize(xml.replace('numResampled="8"', f'numResampled="{value}"'))


def test_a_state_that_is_refused_changes_nothing_of_the_integrator(tmp_path: Path) -> None:
    topology, system = free_atoms(2)
    simulation, integrator = jumper(
        write_toy(tmp_path / "toy.unisim.pt"), topology, system, random_positions(2)
    )
    simulation.step(3)
    xml = openmm.XmlSerializer.serialize(
        simulation.context.getState(positions=True, integratorParameters=True)
    )
    simulation.step(2)
    for old, new in (('proposed="3"', 'proposed="x"'), ('jumpIndex="3"', 'jumpIndex="-3"')):
        assert old in xml
        with pytest.raises(openmm.OpenMMException, match=r"is no number|negative or infinite count"):
            simulation.context.setState(openmm.XmlSerializer.deserialize(xml.replace(old, new)))
        assert integrator.getJumpIndex() == 5 and integrator.getNumProposed() == 5


def test_a_checkpoint_with_impossible_counts_is_refused(tmp_path: Path) -> None:
    topology, system = free_atoms(2)
    simulation, integrator = jumper(
        write_toy(tmp_path / "toy.unisim.pt"), topology, system, random_positions(2)
    )
    simulation.step(3)
    data = bytearray(simulation.context.createCheckpoint())
    start = data.rindex(b"UniSimC") + 8 + 64 + 4  # magic, hash, seed
    data[start : start + 8] = b"\xff" * 8
    with pytest.raises(openmm.OpenMMException, match="negative or infinite count"):
        simulation.context.loadCheckpoint(bytes(data))
    assert integrator.getJumpIndex() == 3


def test_an_error_of_torch_without_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some damaged archives end in a RuntimeError that says nothing."""
    path = write_toy(tmp_path / "toy.unisim.pt")

    def fail(*_args, **_kwargs):
        raise RuntimeError

    monkeypatch.setattr(torch.jit, "load", fail)
    with pytest.raises(ModelFileError, match="RuntimeError"):
        load_model_file(path, trusted=True)
