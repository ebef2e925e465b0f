"""Superposition and the removal of rigid motion."""

import pytest
import torch

from openmm_unisim.geometry import remove_rigid_motion, superpose


def random_rotation(generator: torch.Generator) -> torch.Tensor:
    """A proper rotation, shape (3, 3), double."""
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    return q * torch.linalg.det(q)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_superposition_undoes_a_rigid_motion(generator):
    target = torch.randn(4, 9, 3, generator=generator, dtype=torch.float64)
    mobile = target @ random_rotation(generator) + torch.tensor([5.0, -2.0, 1.0], dtype=torch.float64)
    assert torch.allclose(superpose(mobile, target), target, atol=1e-10)


def test_superposition_never_reflects(generator):
    target = torch.randn(1, 9, 3, generator=generator, dtype=torch.float64)
    mirrored = target * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert (superpose(mirrored, target) - target).abs().max() > 0.1


def test_superposed_end_points_satisfy_the_projection(generator):
    """Kabsch optimality is the linear condition that the projection imposes."""
    start = torch.randn(3, 9, 3, generator=generator, dtype=torch.float64)
    end = superpose(start + 0.3 * torch.randn(3, 9, 3, generator=generator, dtype=torch.float64), start)
    assert torch.allclose(remove_rigid_motion(end, start), end, atol=2e-5)


def test_projection_removes_translation_and_turn(generator):
    start = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    turn = torch.linalg.cross(torch.tensor([0.1, -0.2, 0.05], dtype=torch.float64).expand_as(start), start)
    moved = remove_rigid_motion(start + turn + 3.0, start)
    assert torch.allclose(moved, start, atol=2e-5)


def test_projection_is_finite_for_a_linear_molecule():
    start = torch.zeros(1, 3, 3)
    start[0, :, 0] = torch.tensor([-1.0, 0.0, 1.0])
    assert torch.isfinite(remove_rigid_motion(start + 0.1, start)).all()
