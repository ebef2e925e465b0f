"""Threads and denormal numbers: how the model finds its thread, and that it is left as it was."""

from collections.abc import Iterator

import openmm
import pytest
import torch

from openmm_unisim import UniSimIntegrator
from tests.plugin.spies import flushes_denormals, listening, write_spies
from tests.plugin.systems import PLATFORMS, free_atoms, jumper, random_positions

LARGE = 200  # particles from which more than one thread is used


@pytest.fixture(scope="module")
def spies(tmp_path_factory):
    return write_spies(tmp_path_factory.mktemp("spies"))


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def threads_seen(model, n: int, platform: str, wanted: int = 0, properties: dict | None = None) -> set[int]:
    """Numbers of torch threads while the model runs."""
    topology, system = free_atoms(n)
    integrator = UniSimIntegrator(model, topology, 300)
    integrator.setNumThreads(wanted)
    context = openmm.Context(
        system, integrator, openmm.Platform.getPlatformByName(platform), properties or {}
    )
    context.setPositions(random_positions(n))
    seen: set[int] = set()
    with listening(lambda x: seen.add(torch.get_num_threads())):
        integrator.step(1)
    return seen


@pytest.mark.parametrize("n, wanted, expected", [(3, 0, 1), (LARGE, 0, 4), (3, 2, 2), (LARGE, 3, 3)])
def test_threads_on_a_platform_without_threads_of_its_own(spies, n: int, wanted: int, expected: int) -> None:
    torch.set_num_threads(4)
    assert threads_seen(spies["telling"], n, "Reference", wanted) == {expected}
    assert torch.get_num_threads() == 4


@pytest.mark.skipif("CPU" not in PLATFORMS, reason="no CPU platform here")
@pytest.mark.parametrize("torchs, platforms, wanted, expected", [(4, 3, 0, 3), (2, 3, 0, 2), (4, 1, 2, 2)])
def test_the_cpu_platforms_threads_are_a_limit(spies, torchs, platforms, wanted, expected) -> None:
    torch.set_num_threads(torchs)
    properties = {"Threads": str(platforms)}
    assert threads_seen(spies["telling"], LARGE, "CPU", wanted, properties) == {expected}
    assert torch.get_num_threads() == torchs


def test_the_number_can_be_changed_between_jumps(spies) -> None:
    topology, system = free_atoms(3)
    simulation, integrator = jumper(spies["telling"], topology, system, random_positions(3))
    seen = []
    with listening(lambda x: seen.append(torch.get_num_threads())):
        for number in (2, 0, 3):
            integrator.setNumThreads(number)
            simulation.step(1)
    assert seen == [2] * 4 + [1] * 4 + [3] * 4


@pytest.mark.parametrize("before", [False, True])
def test_denormals_are_zero_in_the_model_and_the_thread_is_left_as_it_was(spies, before: bool) -> None:
    if not torch.set_flush_denormal(before):
        pytest.skip("this processor can't flush denormal numbers")
    topology, system = free_atoms(3)
    simulation, _ = jumper(spies["telling"], topology, system, random_positions(3))
    seen = []
    with listening(lambda x: seen.append(flushes_denormals())):
        simulation.step(1)
    assert seen == [True] * 4
    assert flushes_denormals() is before


def test_threads_and_denormals_are_restored_after_an_error(spies) -> None:
    torch.set_num_threads(3)
    topology, system = free_atoms(3)
    simulation, _ = jumper(spies["telling"], topology, system, random_positions(3))

    def fail(x) -> None:
        raise RuntimeError("no")

    with listening(fail), pytest.raises(openmm.OpenMMException, match="failed in step"):
        simulation.step(1)
    assert torch.get_num_threads() == 3
    assert not flushes_denormals()


def test_openmms_forces_keep_their_denormals(spies) -> None:
    """Between the model's calls of a guided jump the thread is OpenMM's."""
    topology, system = free_atoms(3)
    force = openmm.CustomExternalForce("tiny*x")
    force.addGlobalParameter("tiny", 3e-310)
    for particle in range(3):
        force.addParticle(particle, [])
    system.addForce(force)
    simulation, _ = jumper(spies["telling_forces"], topology, system, random_positions(3))
    seen = []
    with listening(lambda x: seen.append(x.view(torch.int64)[0, 0, 0].item() & 0x7FFFFFFFFFFFFFFF)):
        simulation.step(1)
    expected = torch.tensor(3e-310, dtype=torch.float64).view(torch.int64).item()
    assert seen == [expected] * 4
