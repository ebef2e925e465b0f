"""The network on another device of torch than the CPU: memory_device.cpp is one that needs no hardware."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch

from openmm_unisim import ModelDomainError, UniSimIntegrator
from openmm_unisim.pretrained.registry import resolve_model
from tests.platforms.systems import dipeptide, jumps
from tests.plugin.systems import free_atoms, jumper, make_platform, positions_of, random_positions

SOURCE = Path(__file__).with_name("memory_device.cpp")
DEVICE = "privateuseone:0"
ROUNDING = 1e-5  # nm; what single precision makes of another order of operations


@pytest.fixture(scope="module")
def device(tmp_path_factory) -> str:
    """The device, compiled and registered with torch."""
    if not SOURCE.is_file() or shutil.which("g++") is None:
        pytest.skip("needs the source tree and g++")
    library = tmp_path_factory.mktemp("device") / "memory_device.so"
    folder = Path(torch.__file__).parent
    headers = [f"-isystem{folder / 'include'}", f"-isystem{folder / 'include/torch/csrc/api/include'}"]
    command = ["g++", "-std=c++20", "-O0", "-shared", "-fPIC", *headers, str(SOURCE), "-o", str(library)]
    subprocess.run([*command, f"-L{folder / 'lib'}", "-ltorch_cpu", "-lc10"], check=True, timeout=300)
    torch.ops.load_library(library)
    return DEVICE


@pytest.mark.parametrize("model", ["ala2", "ala2-vacuum-to-obc2"])
@pytest.mark.parametrize("mode", [UniSimIntegrator.AcceptAll, UniSimIntegrator.MetropolisHastings])
def test_shipped_models_make_the_same_jump_there(device, model: str, mode: int) -> None:
    """Free, guided by a kernel, and judged: all methods of the file but the guidance points."""
    ends, ratios = [], []
    for where in ("cpu", device):
        simulation, integrator = jumps(dipeptide(), "Reference", model, acceptanceMode=mode)
        integrator.setModelDevice(where)
        assert integrator.getModelDevice() == where
        simulation.step(2)
        ends.append(positions_of(simulation))
        ratios.append(integrator.getLastLogAcceptance())
    assert (
        np.abs(ends[0] - dipeptide().positions).max() > 0.005 or mode == UniSimIntegrator.MetropolisHastings
    )
    assert np.abs(ends[0] - ends[1]).max() < ROUNDING
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-3, abs=1e-3)


def test_forces_of_openmm_guide_there(device, toys) -> None:
    """The source `openmm` asks the model for guidance points in every substep."""
    ends = []
    for where in ("cpu", device):
        topology, system = free_atoms(4)
        force = openmm.CustomExternalForce("200*(x-0.3)^2")
        for k in range(4):
            force.addParticle(k, [])
        system.addForce(force)
        simulation, integrator = jumper(toys["guided"], topology, system, random_positions(4), seed=5)
        integrator.setGuidanceSource(UniSimIntegrator.OpenMMGuidance)
        integrator.setModelDevice(where)
        simulation.step(3)
        ends.append(positions_of(simulation))
    assert np.abs(ends[0] - ends[1]).max() < ROUNDING


def test_the_device_can_change_between_jumps_and_travels_in_xml(device) -> None:
    setup = dipeptide()
    simulation, integrator = jumps(setup, "Reference")
    simulation.step(1)
    integrator.setModelDevice(device)
    copied = UniSimIntegrator.cast(
        openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(integrator))
    )
    assert copied.getModelDevice() == device
    simulation.step(1)
    integrator.setModelDevice("cpu")
    simulation.step(1)
    other, _ = jumps(setup, "Reference")
    other.step(3)
    assert np.abs(positions_of(simulation) - positions_of(other)).max() < 10 * ROUNDING


@pytest.mark.parametrize("name", ["meta", "cuda:0", "nonsense", ""])
def test_a_device_that_is_not_here_is_refused_and_changes_nothing(toys, name: str) -> None:
    if name.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("it is here")
    topology, system = free_atoms(3)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3))
    with pytest.raises(ModelDomainError, match=f"can't run on a device '{name}'"):
        integrator.setModelDevice(name)
    assert integrator.getModelDevice() == "cpu"
    simulation.step(1)


def test_a_file_that_has_changed_meanwhile_is_refused(device, tmp_path) -> None:
    path = tmp_path / "ala2.unisim.pt"
    shutil.copy(resolve_model("ala2"), path)
    setup = dipeptide()
    integrator = UniSimIntegrator(path, setup.topology, 300, trusted=True)
    path.write_bytes(path.read_bytes() + b"?")
    with pytest.raises(ModelDomainError, match="has changed since it was loaded"):
        integrator.setModelDevice(device)
    context = openmm.Context(setup.system, integrator, *make_platform("Reference"))
    context.setPositions(setup.positions)
    integrator.step(1)
    assert integrator.getModelDevice() == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_the_same_jump_on_a_gpu() -> None:
    ends = []
    for where in ("cpu", "cuda:0"):
        simulation, integrator = jumps(dipeptide(), "Reference")
        integrator.setModelDevice(where)
        simulation.step(2)
        ends.append(positions_of(simulation))
    assert np.abs(ends[0] - ends[1]).max() < 10 * ROUNDING
