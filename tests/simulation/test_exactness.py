"""The path acceptance rule: its symmetry and its refusals. That it works: test_ornstein_uhlenbeck.py."""

import numpy as np
import pytest
import torch

from openmm_unisim.errors import ModelDomainError
from openmm_unisim.simulation.exactness import PathMetropolis, reversed_path
from openmm_unisim.simulation.noise import standard_normals
from openmm_unisim.simulation.reference import Proposal, ReferenceJump
from openmm_unisim.units import BOLTZMANN
from tests.toy_models import GuidedHarmonic, OrnsteinUhlenbeck, toy_metadata

START = 0.1 * standard_normals(7, 0, np.arange(3)[:, None], np.arange(2)) + 2.0
NOISE = standard_normals(np.arange(3)[:, None], 0, np.arange(4)[:, None, None], np.arange(2))


def energy(positions):
    return 1000.0 * ((positions[:, 0] - positions[:, 1]) ** 2).sum(axis=1)


def harmonic(points):
    return -500.0 * (points - points.mean(axis=1, keepdims=True))


JUMPS = {
    "isotropic": ReferenceJump(OrnsteinUhlenbeck(covariance=False), toy_metadata(), atomic_numbers=[6, 1]),
    "guided": ReferenceJump(
        GuidedHarmonic(), toy_metadata("guided"), atomic_numbers=[6, 1], forces=harmonic, guidance_scale=0.7
    ),
}


@pytest.mark.parametrize("kind", JUMPS)
def test_the_way_back_has_the_inverse_ratio(kind):
    jump = JUMPS[kind]
    rule = PathMetropolis(jump, energy)
    there = jump.propose(START, NOISE)
    log_a, energy_after = rule.log_acceptance(there, START, energy(START))
    path, centroid = reversed_path(there, START)
    back = Proposal(START, jump.path_log_density(path, centroid), path, centroid, there.finite)
    log_b, energy_back = rule.log_acceptance(back, there.positions, energy_after)
    np.testing.assert_allclose(log_b, -log_a, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(energy_back, energy(START), rtol=1e-12)
    assert np.abs(log_a).min() > 0.01


def test_the_energy_enters_with_kT():
    jump = JUMPS["isotropic"]
    proposal = jump.propose(START, NOISE)
    with_energy, after = PathMetropolis(jump, energy).log_acceptance(proposal, START, energy(START))
    without, _ = PathMetropolis(jump, lambda x: np.zeros(len(x))).log_acceptance(proposal, START, np.zeros(3))
    np.testing.assert_allclose(
        with_energy - without, -(after - energy(START)) / (BOLTZMANN * 300.0), rtol=1e-9
    )


def test_a_noiseless_substep_is_refused():
    module = OrnsteinUhlenbeck(covariance=False, noiseless_end=True)
    jump = ReferenceJump(module, toy_metadata(), atomic_numbers=[6, 1])
    with pytest.raises(ModelDomainError, match="no density"):
        PathMetropolis(jump, energy).log_acceptance(jump.propose(START, NOISE), START, energy(START))


def test_single_precision_gives_nearly_the_same_ratio():
    found = []
    for dtype in (torch.float64, torch.float32):
        module = OrnsteinUhlenbeck(covariance=False, dtype=dtype)
        jump = ReferenceJump(module, toy_metadata(dtype=dtype), atomic_numbers=[6, 1])
        rule = PathMetropolis(jump, energy)
        found.append(rule.log_acceptance(jump.propose(START, NOISE), START, energy(START))[0])
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)
