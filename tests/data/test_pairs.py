"""Pairs: lag, superposition, relabelled hydrogens."""

import numpy as np
import pytest
import torch

from openmm_unisim.data.equivalent_hydrogens import match_hydrogens, methyl_groups
from openmm_unisim.data.pairs import PairSampler, PairSource
from openmm_unisim.errors import DataError
from openmm_unisim.system import load_molecule


@pytest.fixture(scope="module")
def source() -> PairSource:
    molecule = load_molecule("ACE-ALA-NME")
    generator = torch.Generator().manual_seed(5)
    base = torch.from_numpy(molecule.positions * 10).float()
    walkers = [base + 0.05 * torch.randn(30, 22, 3, generator=generator) for _ in range(2)]
    numbers, bonds = torch.from_numpy(molecule.atomic_numbers), torch.from_numpy(molecule.bonds)
    return PairSource("ala2", walkers, numbers, bonds, 1.0, {}, {})


def test_methyl_groups_of_alanine_dipeptide(source):
    assert methyl_groups(source.atomic_numbers, source.bonds).tolist() == [
        [1, 2, 3],
        [13, 14, 15],
        [19, 20, 21],
    ]


def test_relabelling_undoes_a_turn_and_never_a_swap(source):
    frame = source.walkers[0][:1]
    groups = methyl_groups(source.atomic_numbers, source.bonds)
    turned, swapped = frame.clone(), frame.clone()
    turned[:, [1, 2, 3]] = frame[:, [2, 3, 1]]
    swapped[:, [1, 2]] = frame[:, [2, 1]]
    assert torch.equal(match_hydrogens(turned, frame, groups), frame)
    assert not torch.equal(match_hydrogens(swapped, frame, groups), frame)


def test_pairs_have_the_lag_and_stay_within_a_walker(source):
    for walker, offset in zip(source.walkers, (0.0, 1000.0)):  # the frame number, written into a distance
        walker[:, 0, 0] = walker[:, 4, 0] + offset + torch.arange(30.0)
    sampler = PairSampler(source, 7.0)
    assert len(sampler.starts) == 2 * 23
    second = sampler.frames[sampler.starts + sampler.lag]
    first = sampler.frames[sampler.starts]
    moved = (second[:, 0, 0] - second[:, 4, 0]) - (first[:, 0, 0] - first[:, 4, 0])
    assert torch.allclose(moved, torch.full_like(moved, 7.0), atol=1e-3)


def test_ends_are_centred_and_superposed(source):
    pair = PairSampler(source, 3.0, 0.02).draw(16, torch.Generator().manual_seed(1))
    assert pair.start.mean(1).abs().max() < 1e-4
    angular = torch.linalg.cross(pair.start.double(), pair.end.double()).sum(1)
    assert angular.abs().max() < 1e-3


def test_lag_must_fit_the_spacing_and_the_walker(source):
    with pytest.raises(DataError, match="no multiple"):
        PairSampler(source, 2.5)
    with pytest.raises(DataError, match="shorter than the lag"):
        PairSampler(source, 30.0)
    with pytest.raises(DataError, match="generate"):
        PairSource.load([])


def test_positions_are_in_angstrom(tmp_path):
    from openmm_unisim.data import trajectory_file

    path = tmp_path / "w.h5"
    attributes = {
        "atomic_numbers": [6, 1],
        "bonds": [[0, 1]],
        "frame_spacing_ps": 1.0,
        "temperature_K": 300.0,
    }
    attributes |= {"environment": "vacuum", "force_field": "none", "friction_per_ps": 1.0, "name": "CH"}
    trajectory_file.create(path, attributes)
    trajectory_file.append(path, np.array([[[0, 0, 0], [0.11, 0, 0]]]), np.zeros(1), b"state")
    source = PairSource.load([path])
    assert float(source.walkers[0][0, 1, 0]) == pytest.approx(1.1, abs=1e-3)
