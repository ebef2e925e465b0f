"""The group-wise substep law."""

import math

import pytest
import torch

from openmm_unisim.interpolant import covariance as cov

# atoms 0-1-2 in a row, 3 and 4 on atom 2, which so has three neighbours: 1, 3, 4
DISTANCE = torch.tensor([[0, 1, 2, 3, 3], [1, 0, 1, 2, 2], [2, 1, 0, 1, 1], [3, 2, 1, 0, 2], [3, 2, 1, 2, 0]])


@pytest.fixture
def molecule() -> torch.Tensor:
    return torch.tensor(
        [[[-0.4, 0.9, 0.3], [0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.1, 1.1, 0.0], [2.1, -1.0, 0.0]]]
    )


def test_restraints_follow_bond_distance():
    found = cov.restraints(DISTANCE)
    assert [tuple(p) for p in found.pairs[found.bonds_apart == 1].tolist()] == [
        (0, 1),
        (1, 2),
        (2, 3),
        (2, 4),
    ]
    assert (found.bonds_apart == 2).sum() == 4 and (found.bonds_apart == 3).sum() == 2
    assert found.centres.tolist() == [[2, 1, 3, 4]]


def test_gradients_are_those_of_the_quantities(molecule):
    found = cov.restraints(DISTANCE)
    x = molecule.double().requires_grad_(True)
    length = (x[0, found.pairs[:, 0]] - x[0, found.pairs[:, 1]]).norm(dim=-1)
    expected = cov.distance_gradients(molecule, found.pairs)
    for row in range(len(found.pairs)):
        (gradient,) = torch.autograd.grad(length[row], x, retain_graph=True)
        assert torch.allclose(expected[0, row], gradient.flatten(), atol=1e-7)
    centre, a, b, c = (x[0, k] for k in found.centres[0].tolist())
    normal = torch.linalg.cross(b - a, c - a)
    height = (normal / normal.norm()) @ (centre - (a + b + c) / 3)
    (gradient,) = torch.autograd.grad(height, x)
    found_height = cov.height_gradients(molecule, found.centres)[0, 0]
    assert torch.allclose(found_height.abs(), gradient.flatten().abs(), atol=1e-6)
    assert abs(float(found_height @ gradient.flatten())) == pytest.approx(
        float(gradient.square().sum()), rel=1e-6
    )


def test_collapse_is_the_shortfall_of_stiff_distances(molecule):
    found = cov.restraints(DISTANCE)
    reference = torch.full((5, 5), 1.5)
    length = (molecule[0, found.pairs[:, 0]] - molecule[0, found.pairs[:, 1]]).norm(dim=-1)
    expected = torch.where(found.bonds_apart <= 2, 1.5 - length, torch.zeros_like(length))
    assert torch.allclose(cov.collapse(molecule, found, reference)[0], expected, atol=1e-6)


def test_stiff_directions_have_their_variance_and_rigid_ones_none(molecule):
    found = cov.restraints(DISTANCE)
    variances = torch.full((1, len(found.pairs) + 1), 1e-4, dtype=torch.float64)
    rest = torch.ones(1, 5, dtype=torch.float64)
    t = torch.zeros(1, dtype=torch.float64)
    precision = cov.posterior_precision(molecule, molecule, found, variances, rest, t, 0.3)
    posterior = cov.posterior_covariance(precision)[0]
    u = torch.cat(
        [cov.distance_gradients(molecule, found.pairs), cov.height_gradients(molecule, found.centres)], 1
    )[0]
    assert torch.einsum("pi,ij,pj->p", u, posterior, u).max() < 1.01e-4
    q = cov.rigid_directions(molecule)[0]
    norm = q.square().sum(1)
    assert (torch.einsum("pi,ij,pj->p", q, posterior, q) / norm).max() < 3 * cov.RIGID_VARIANCE


def test_posterior_combines_prior_and_observation():
    """One free atom, no restraints: 1/S = 1/v + t/(sigma^2 (1-t)), but for the rigid directions."""
    t = torch.tensor([0.25], dtype=torch.float64)
    empty = cov.restraints(torch.zeros(1, 1, dtype=torch.int64))
    x = torch.zeros(1, 1, 3)
    none, rest = torch.zeros(1, 0, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)
    precision = cov.posterior_precision(x, x, empty, none, rest, t, 0.3, rigid_variance=1e30)
    assert torch.allclose(precision[0], (1 / 0.5 + 0.25 / (0.09 * 0.75)) * torch.eye(3, dtype=torch.float64))


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
