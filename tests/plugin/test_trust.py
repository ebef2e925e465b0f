"""A model file that nothing vouches for runs by no way into the plugin: constructor, XML, copies, pickle."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import openmm
import pytest

from openmm_unisim import (
    ConfigError,
    ReferenceJump,
    ReplicaSimulation,
    UniSimIntegrator,
    UntrustedModelError,
    load_plugin,
)
from openmm_unisim.pretrained import trust
from openmm_unisim.provenance import sha256_of_file
from tests.plugin.systems import free_atoms
from tests.toy_models import write_toy


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model file that another account made, whose content differs from test to test."""
    path = write_toy(tmp_path / "foreign.unisim.pt", metadata={"license": str(tmp_path)})
    monkeypatch.setenv(trust.LIST_VARIABLE, str(tmp_path / "none"))
    monkeypatch.setattr(trust, "_process", set())
    return path


def test_no_constructor_runs_it(foreign: Path) -> None:
    topology, system = free_atoms(2)
    for make in (
        lambda: UniSimIntegrator(foreign, topology, 300),
        lambda: ReferenceJump(foreign, atomic_numbers=[1, 1]),
        lambda: ReplicaSimulation(topology, system, foreign, 2),
    ):
        with pytest.raises(UntrustedModelError, match="is a program from elsewhere"):
            make()
    with pytest.raises(openmm.OpenMMException, match="is a program from elsewhere"):
        load_plugin().UniSimIntegrator(str(foreign), 300.0)


def test_trusted_and_pinned(foreign: Path) -> None:
    topology = free_atoms(2)[0]
    digest = sha256_of_file(foreign)
    with pytest.raises(Exception, match="was asked for"):
        UniSimIntegrator(foreign, topology, 300, sha256="0" * 64)
    assert UniSimIntegrator(foreign, topology, 300, sha256=digest).getModelHash() == digest


@pytest.mark.parametrize("trusted", ["no", 1, None])
def test_what_is_no_truth_value_vouches_for_nothing(foreign: Path, trusted: object) -> None:
    with pytest.raises(ConfigError, match="must be True or False"):
        UniSimIntegrator(foreign, free_atoms(2)[0], 300, trusted=trusted)
    with pytest.raises(ConfigError, match="must be True or False"):
        ReplicaSimulation(*free_atoms(2), foreign, 2, trusted=trusted)
    with pytest.raises(UntrustedModelError):
        UniSimIntegrator(foreign, free_atoms(2)[0], 300)


def test_copies_and_xml_of_a_trusted_one_work_in_this_process(foreign: Path) -> None:
    integrator = UniSimIntegrator(foreign, free_atoms(2)[0], 300, trusted=True)
    for other in (copy.deepcopy(integrator), pickle.loads(pickle.dumps(integrator))):
        assert other.getModelHash() == integrator.getModelHash()
    openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(integrator))


READ = """
import sys, openmm, openmm_unisim
openmm_unisim.load_plugin()
try:
    openmm.XmlSerializer.deserialize(open(sys.argv[1]).read())
    print("accepted")
except openmm.OpenMMException as error:
    print(error)
"""


def read_elsewhere(xml: Path) -> str:
    """What another process says to the XML."""
    command = [sys.executable, "-c", READ, str(xml)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_xml_from_elsewhere_vouches_for_nothing(foreign: Path, tmp_path: Path) -> None:
    integrator = UniSimIntegrator(foreign, free_atoms(2)[0], 300, trusted=True)
    text = openmm.XmlSerializer.serialize(integrator)
    xml = tmp_path / "integrator.xml"
    xml.write_text(text, encoding="utf-8")
    assert "is a program from elsewhere" in read_elsewhere(xml)
    xml.write_text(
        text.replace(integrator.getModelHash(), ""), encoding="utf-8"
    )  # used to mean: any file will do
    assert "is a program from elsewhere" in read_elsewhere(xml)
    shipped = UniSimIntegrator("ala2", free_atoms(2)[0], 300).getModelHash()
    xml.write_text(
        text.replace(integrator.getModelHash(), shipped), encoding="utf-8"
    )  # a trusted hash over another file
    assert "is not the one that is asked for" in read_elsewhere(xml)


def test_the_bytes_that_are_loaded_are_those_that_were_judged(foreign: Path, toys) -> None:
    """A file that is exchanged between Python's judgement and the plugin's reading is refused."""
    digest = sha256_of_file(toys["ou"])
    with pytest.raises(openmm.OpenMMException, match="is not the one that is asked for"):
        load_plugin().UniSimIntegrator(str(foreign), 300.0, 0, digest)


def test_devices_and_folders_are_no_model_files(tmp_path: Path) -> None:
    for path in ("/dev/zero", str(tmp_path)):
        with pytest.raises(openmm.OpenMMException, match="is no file"):
            load_plugin().UniSimIntegrator(path, 300.0)
