"""The loss on forces: its value, and its gradient by differences against differentiating twice."""

import torch
from torch import Tensor, nn

from openmm_unisim.training.force_loss import exact_force_loss, force_loss, forces


class Springs(nn.Module):
    """A small energy with a stiff, non-linear dependence on weights and positions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.first = nn.Parameter(torch.randn(8, 9, generator=generator).double())
        self.second = nn.Parameter(torch.randn(8, generator=generator).double())

    def forward(self, positions: Tensor, t: Tensor) -> Tensor:
        hidden = torch.tanh(positions.flatten(1) @ self.first.T + t.view(-1, 1))
        return (hidden * self.second).sum(1) + 3.0 * positions.square().sum((1, 2))


def given() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    positions = torch.randn(4, 3, 3, generator=generator).double()
    return (
        positions,
        torch.randn(4, 3, 3, generator=generator).double(),
        torch.tensor([0.0, 1, 1, 0]).double(),
    )


def test_forces_are_minus_the_slope_of_the_energy():
    network, (x, _, t) = Springs(), given()
    step = torch.zeros_like(x)
    step[:, 1, 2] = 1e-5
    slope = (network(x + step, t) - network(x - step, t)) / 2e-5
    torch.testing.assert_close(forces(network, x, t)[:, 1, 2], -slope, rtol=1e-7, atol=1e-7)


def test_differences_give_the_loss_and_its_gradient():
    network, (x, targets, t) = Springs(), given()
    exact = exact_force_loss(network, x, targets, t)
    loss = force_loss(network, x, targets, t, 1e-4)
    torch.testing.assert_close(loss, exact)
    for mine, whole in zip(*(torch.autograd.grad(value, network.parameters()) for value in (loss, exact))):
        torch.testing.assert_close(mine, whole, rtol=1e-6, atol=1e-7)


def test_a_perfect_force_has_no_gradient():
    network, (x, _, t) = Springs(), given()
    loss = force_loss(network, x, forces(network, x, t), t, 1e-4)
    gradients = torch.autograd.grad(loss, network.parameters())
    assert loss.item() == 0.0 and all(not bool(g.any()) for g in gradients)
