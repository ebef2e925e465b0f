"""The group-wise substep law."""

import math

import pytest
import torch

from openmm_unisim.interpolant import covariance as cov

HYDROGEN = torch.tensor([False, False, True])
DISTANCE = torch.tensor([[0, 1, 2], [1, 0, 1], [2, 1, 0]])


@pytest.fixture
def molecule() -> torch.Tensor:
    return torch.tensor([[[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.0, 1.0, 0.2]]])


def test_classes_follow_bond_distance_and_hydrogen():
    pairs, kind = cov.stiff_pairs(DISTANCE, HYDROGEN)
    found = {tuple(pair): int(k) for pair, k in zip(pairs.tolist(), kind)}
    assert found == {(0, 1): 0, (1, 2): 1, (0, 2): 3}


def test_directions_are_gradients_of_the_distances(molecule):
    pairs, _ = cov.stiff_pairs(DISTANCE, HYDROGEN)
    x = molecule.double().requires_grad_(True)
    length = (x[0, pairs[:, 0]] - x[0, pairs[:, 1]]).norm(dim=-1)
    for row in range(len(pairs)):
        (gradient,) = torch.autograd.grad(length[row], x, retain_graph=True)
        assert torch.allclose(cov.directions(molecule, pairs)[0, row], gradient.flatten(), atol=1e-7)


def test_stiff_directions_have_their_variance_and_rigid_ones_none(molecule):
    pairs, kind = cov.stiff_pairs(DISTANCE, HYDROGEN)
    variances = torch.tensor([[1e-4, 1e-4, 1e-4, 1e-4, 1.0, 1.0]], dtype=torch.float64)
    precision = cov.posterior_precision(molecule, molecule, pairs, kind, HYDROGEN, variances)
    posterior = cov.posterior_covariance(precision)[0]
    u = cov.directions(molecule, pairs)[0]
    assert torch.einsum("pi,ij,pj->p", u, posterior, u).max() < 1.01e-4
    q = cov.rigid_directions(molecule)[0]
    norm = q.square().sum(1)
    assert (torch.einsum("pi,ij,pj->p", q, posterior, q) / norm).max() < 3 * cov.RIGID_VARIANCE


def test_isotropic_posterior_gives_euler_maruyama():
    """With S = sigma^2 (1-t) the step covariance is sigma^2 h."""
    t, t_next, sigma = torch.tensor([0.3]).double(), torch.tensor([0.45]).double(), 0.7
    posterior = sigma**2 * (1 - t) * torch.eye(6, dtype=torch.float64).unsqueeze(0)
    expected = sigma**2 * 0.15 * torch.eye(6, dtype=torch.float64)
    assert torch.allclose(cov.step_covariance(posterior, t, t_next, sigma)[0], expected)


def test_last_step_has_the_posterior_itself():
    posterior = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).unsqueeze(0)
    one = torch.ones(1, dtype=torch.float64)
    assert torch.allclose(cov.step_covariance(posterior, 0.9 * one, one, 0.3), posterior)


def test_log_density_is_that_of_the_drawn_noise():
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(2, 6, 6, generator=generator, dtype=torch.float64)
    factor = torch.linalg.cholesky(root @ root.transpose(1, 2) + torch.eye(6, dtype=torch.float64))
    mean = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    following = cov.gaussian_step(mean, factor, noise)
    expected = torch.distributions.MultivariateNormal(mean.flatten(1), scale_tril=factor).log_prob(
        following.flatten(1)
    )
    assert torch.allclose(cov.gaussian_log_density(following, mean, factor), expected)
    white = -0.5 * noise.square().sum((1, 2)) - 3 * math.log(2 * math.pi)
    assert torch.allclose(expected, white - torch.diagonal(factor, dim1=1, dim2=2).log().sum(1))


def test_a_matrix_that_is_not_positive_gives_nan_for_its_copy_only():
    matrices = torch.stack([torch.eye(3), -torch.eye(3), torch.full((3, 3), float("nan"))]).double()
    factor = cov.cholesky_or_nan(matrices)
    assert torch.equal(factor[0], torch.eye(3).double())
    assert torch.isnan(factor[1]).all() and torch.isnan(factor[2]).any()
