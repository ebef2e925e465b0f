"""The C++ jump against its plain PyTorch twin, to the precision of the platform."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
import pytest

from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.reference import ReferenceJump
from tests.plugin.systems import (
    ALL_PLATFORMS,
    PLATFORMS,
    add_wells,
    free_atoms,
    jumper,
    positions_of,
    random_positions,
    tolerance,
    trajectory,
)

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5  # nm
N_ATOMS, N_JUMPS = 5, 6


def twin(model, positions: np.ndarray, seed: int, **settings) -> np.ndarray:
    """The trajectory of the twin."""
    jump = ReferenceJump(model, atomic_numbers=[1] * len(positions), temperature=300.0, **settings)
    return np.array([frame.positions[0] for frame in JumpChain(jump, positions[None], seed).run(N_JUMPS)])


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
@pytest.mark.parametrize("name", ["ou", "ou32", "euler", "nan", "constant", "noiseless_end"])
def test_same_noise_same_jumps(toys, platform: str, name: str) -> None:
    start = random_positions(N_ATOMS, centre=(1.0, 2.0, -3.0))
    topology, system = free_atoms(N_ATOMS)
    simulation, _ = jumper(toys[name], topology, system, start, platform, seed=11)
    frames = trajectory(simulation, N_JUMPS)
    assert np.abs(frames - twin(toys[name], start, 11)).max() < tolerance(platform)


@pytest.mark.parametrize("platform", ALL_PLATFORMS)
def test_same_guidance(toys, platform: str) -> None:
    start = random_positions(N_ATOMS)
    topology, system = free_atoms(N_ATOMS)
    add_wells(system, 4000.0)
    simulation, _ = jumper(toys["guided"], topology, system, start, platform, seed=11)
    frames = trajectory(simulation, N_JUMPS)
    guided = twin(toys["guided"], start, 11, forces=lambda points: -4000.0 * points)
    assert np.abs(frames - guided).max() < tolerance(platform)
    unguided = twin(toys["guided"], start, 11, guidance_scale=0.0)
    assert np.abs(frames - unguided).max() > 1e-3


def test_a_subset_jumps_as_if_alone(toys, platform) -> None:
    start = random_positions(N_ATOMS + 2)
    topology, system = free_atoms(N_ATOMS + 2)
    chosen = [6, 1, 2, 4, 5]
    simulation, _ = jumper(toys["ou"], topology, system, start, platform, seed=11, particles=chosen)
    before = positions_of(simulation)
    frames = trajectory(simulation, N_JUMPS)
    assert np.abs(frames[:, chosen] - twin(toys["ou"], start[chosen], 11)).max() < TOLERANCE
    assert np.array_equal(frames[-1][[0, 3]], before[[0, 3]])


def test_another_number_of_substeps_and_temperature(toys) -> None:
    start = random_positions(N_ATOMS)
    topology, system = free_atoms(N_ATOMS)
    add_wells(system, 4000.0)
    simulation, integrator = jumper(toys["guided"], topology, system, start, seed=11, numSubsteps=9)
    integrator.setTemperature(330.0)
    frames = trajectory(simulation, N_JUMPS)
    jump = ReferenceJump(
        toys["guided"],
        atomic_numbers=[1] * N_ATOMS,
        temperature=330.0,
        n_substeps=9,
        forces=lambda points: -4000.0 * points,
    )
    expected = np.array([frame.positions[0] for frame in JumpChain(jump, start[None], 11).run(N_JUMPS)])
    assert np.abs(frames - expected).max() < TOLERANCE


def test_kernel_free_form_gives_the_same_trajectory(toys, tmp_path) -> None:
    """In a process that loads the plugin without its platform libraries, ContextImpl moves the data."""
    code = f"""
import numpy as np, torch
torch.set_num_threads(1)
import openmm_unisim._plugin as plugin
plugin._load_platforms = lambda: None
from tests.plugin.systems import *
topology, system = free_atoms({N_ATOMS})
add_wells(system, 4000.0)
for platform in {list(PLATFORMS)!r}:
    start = random_positions({N_ATOMS})
    simulation, integrator = jumper({str(toys["guided"])!r}, topology, system, start, platform, 11)
    frames = trajectory(simulation, {N_JUMPS})
    energy = simulation.context.getState(energy=True).getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
    time = simulation.context.getState().getTime().value_in_unit(unit.picosecond)
    np.savez({str(tmp_path)!r} + "/" + platform, frames=frames, energy=energy, time=time, step=simulation.currentStep)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, cwd=ROOT)
    topology, system = free_atoms(N_ATOMS)
    add_wells(system, 4000.0)
    simulation, _ = jumper(toys["guided"], topology, system, random_positions(N_ATOMS), seed=11)
    frames = trajectory(simulation, N_JUMPS)
    energy = simulation.context.getState(energy=True).getKineticEnergy()._value
    for platform in PLATFORMS:
        result = np.load(tmp_path / f"{platform}.npz")
        assert np.abs(result["frames"] - frames).max() < TOLERANCE
        assert result["energy"] == pytest.approx(energy, rel=1e-5)
        assert (result["time"], result["step"]) == (N_JUMPS, N_JUMPS)


def test_openmm_is_the_version_built_against() -> None:
    assert openmm.__version__.startswith("8.6.")
