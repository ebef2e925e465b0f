"""OpenMM without worker threads: the same bits, and no waiting."""

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MD = """
import resource
import openmm
from openmm_unisim.system import create_system, load_molecule
molecule = load_molecule("ACE-ALA-NME")
integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
integrator.setRandomNumberSeed(1)
platform = openmm.Platform.getPlatformByName("CPU")
context = openmm.Context(create_system(molecule, "obc2"), integrator, platform, {"Threads": "1"})
context.setPositions(molecule.positions)
context.setVelocitiesToTemperature(300, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
integrator.step(200)
waits = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
state = context.getState(positions=True, energy=True)
print(waits, state.getPositions(asNumpy=True)._value.tobytes().hex(), state.getPotentialEnergy())
"""


def run(*command: str) -> tuple[int, str]:
    """Number of times the process waited, and the trajectory's end."""
    words = [*command, sys.executable, "-W", "ignore", "-c", MD]
    result = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    waits, end = result.stdout.split(maxsplit=1)
    return int(waits), end


def test_the_same_bits_without_waiting() -> None:
    waits, end = run()
    none, same = run(sys.executable, str(TOOLS / "in_turn.py"))
    assert same == end
    assert waits > 200 and none < 20


def test_without_a_command_it_says_how() -> None:
    result = subprocess.run(
        [sys.executable, str(TOOLS / "in_turn.py")], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1 and "Run a command" in result.stderr
