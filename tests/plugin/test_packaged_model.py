"""`UniSimIntegrator` with an AOTInductor package: the jumps of the TorchScript file of the same weights."""

import re

import numpy as np
import openmm
import pytest

from openmm_unisim import ModelDomainError, ModelFileError, UniSimIntegrator, UnknownElementError, load_plugin
from openmm_unisim.provenance import sha256_of_file
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.system import create_system, load_molecule
from tests.export.test_packaged import rewritten
from tests.plugin.systems import jumper, positions_of

SEED = 5


@pytest.fixture(scope="module")
def molecule():
    return load_molecule("ACE-ALA-NME")


def test_jumps_are_those_of_torchscript_and_of_the_twin(containers, molecule, platform) -> None:
    ends = []
    for name in ("torchscript", "package"):
        system = create_system(molecule, "obc2")
        simulation, _ = jumper(
            containers[name], molecule.topology, system, molecule.positions, platform, SEED
        )
        simulation.step(1)
        ends.append(positions_of(simulation))
    jump = ReferenceJump(
        containers["package"], atomic_numbers=molecule.atomic_numbers, bonds=molecule.bonds, temperature=300.0
    )
    (frame,) = JumpChain(jump, molecule.positions[None], SEED).run(1)
    assert np.abs(ends[1] - ends[0]).max() < 1e-5
    assert np.abs(ends[1] - frame.positions[0]).max() < 1e-5


def test_path_weights_are_those_of_torchscript(containers, molecule) -> None:
    """log a has the densities of the path and of the reversed one in it."""
    found = []
    for name in ("torchscript", "package"):
        system = create_system(molecule, "obc2")
        simulation, integrator = jumper(
            containers[name], molecule.topology, system, molecule.positions, seed=SEED, acceptanceMode=1
        )
        simulation.step(1)
        found.append(integrator.getLastLogAcceptance())
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_xml_keeps_file_and_hash(containers, molecule, tmp_path) -> None:
    path = tmp_path / "copy.unisim.pt2"
    path.write_bytes(containers["package"].read_bytes())
    integrator = UniSimIntegrator(path, molecule.topology, 300, randomNumberSeed=SEED)
    integrator.setTemperature(300.5)
    xml = openmm.XmlSerializer.serialize(integrator)
    again = UniSimIntegrator.cast(openmm.XmlSerializer.deserialize(xml))
    assert again.getModelHash() == integrator.getModelHash() and again.getTemperature()._value == 300.5
    assert again.getModelMetadata("container") == "aotinductor"
    path.write_bytes(rewritten(path, tmp_path / "x.unisim.pt2", {"/license": b"other"}).read_bytes())
    with pytest.raises(openmm.OpenMMException, match="is not the one that is asked for"):
        openmm.XmlSerializer.deserialize(xml)


def test_what_the_package_does_not_offer(containers, molecule) -> None:
    integrator = UniSimIntegrator(containers["package"], molecule.topology, 300, 100)
    with pytest.raises(ModelDomainError, match="offers no time grid of 101 substeps"):
        integrator.setNumSubsteps(101)
    with pytest.raises(UnknownElementError):
        UniSimIntegrator(containers["package"], load_molecule("ACE-CYS-NME").topology, 300)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"/processor": b"x86-64-v9"}, "holds machine code for the processor x86-64-v9"),
        ({"/processor": b""}, "has the container aotinductor with processor ''"),
        ({"/torch_version": b"2.99.0"}, "was compiled for torch 2.99.0"),
        ({".so": b"no library"}, "can't be loaded by this torch, so export it again"),
    ],
)
def test_packages_that_cannot_run_here(containers, tmp_path, changes, message) -> None:
    path = rewritten(containers["package"], tmp_path / "other.unisim.pt2", changes)
    with pytest.raises(openmm.OpenMMException, match=re.escape(message)) as error:
        load_plugin().UniSimIntegrator(str(path), 300.0, 0, sha256_of_file(path))
    assert "\n" not in str(error.value)


def test_truncated_and_renamed_files(containers, molecule, tmp_path) -> None:
    content = containers["package"].read_bytes()
    for name, data in (("short.unisim.pt2", content[:-3000]), ("renamed.unisim.pt", content)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelFileError):
            UniSimIntegrator(tmp_path / name, molecule.topology, 300)
        with pytest.raises(openmm.OpenMMException, match=r"^Model file .*(damaged|suffix)"):
            load_plugin().UniSimIntegrator(str(tmp_path / name), 300.0, 0, sha256_of_file(tmp_path / name))


def test_nothing_is_left_on_disk(containers, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    load_plugin().UniSimIntegrator(str(containers["package"]), 300.0)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    with pytest.raises(openmm.OpenMMException, match="can't be loaded"):
        load_plugin().UniSimIntegrator(str(containers["package"]), 300.0)
