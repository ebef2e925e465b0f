"""Checks find what they are for."""

import dataclasses

import numpy as np
import pytest

from openmm_unisim.data.checks import check_trajectory
from openmm_unisim.data.trajectory_file import Trajectory
from openmm_unisim.system import build_capped_peptide

MOLECULE = build_capped_peptide("A")


@pytest.fixture
def good():
    generator = np.random.default_rng(1)
    positions = MOLECULE.positions + 0.002 * generator.standard_normal((400, *MOLECULE.positions.shape))
    energies = 5.0 * generator.standard_normal(400)
    attributes = {
        "atomic_numbers": MOLECULE.atomic_numbers.tolist(), "bonds": MOLECULE.bonds.tolist(), "frame_spacing_ps": 1.0,
    }  # fmt: skip
    return Trajectory(positions.astype(np.float32), energies, attributes)


def test_a_good_one_passes(good):
    result = check_trajectory(good, MOLECULE.positions)
    assert result["passed"] and result["failed"] == [] and result["stereocentres"] == 1
    assert result["chirality_flips"] == 0 and abs(result["equilibration_z"]) < 4
    assert result["energy_correlation_time_ps"] == pytest.approx(1.0, abs=0.3)  # white noise


def test_mirrored_frames_are_counted(good):
    good.positions[100:103, :, 0] *= -1
    result = check_trajectory(good, MOLECULE.positions)
    assert result["failed"] == ["chirality"] and result["chirality_flips"] == 3
    good.positions[:, :, 0] *= -1  # every frame but three is D now: only the built structure tells
    assert check_trajectory(good, MOLECULE.positions)["chirality_flips"] == 397
    assert check_trajectory(good)["chirality_flips"] == 3


def test_a_stretched_bond_fails(good):
    first, _ = MOLECULE.bonds[0]
    good.positions[7, first] += 0.2
    assert "bonds" in check_trajectory(good)["failed"]


def test_not_finite_and_empty_fail(good):
    good.positions[5, 0, 0] = np.nan
    result = check_trajectory(good)
    assert "finite" in result["failed"] and result["non_finite_frames"] == 1
    empty = Trajectory(good.positions[:0], good.potential_energy[:0], good.attributes)
    assert check_trajectory(empty)["failed"] == ["empty"]


def test_drifting_energy_fails_and_slow_noise_does_not(good):
    good.potential_energy[200:] += 10.0
    assert check_trajectory(good)["failed"] == ["equilibration"]
    restarted = dataclasses.replace(good, attributes={**good.attributes, "segment_frames": 100})
    assert check_trajectory(restarted)["equilibration_z"] is None
    generator = np.random.default_rng(3)
    noise = np.zeros(400)  # autoregressive: the naive error of its mean is five times too small
    for k in range(1, 400):
        noise[k] = 0.9 * noise[k - 1] + generator.standard_normal()
    slow = dataclasses.replace(good, potential_energy=noise)
    result = check_trajectory(slow)
    assert result["passed"] and result["energy_correlation_time_ps"] > 5.0
