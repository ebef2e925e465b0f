"""A Newton step with the forces of the whole potential: exact on a harmonic target, bounded, and at late times only."""

import torch

from openmm_unisim.interpolant.force_means import at_stiff_end, newton_end

SIGMA, N = 0.9, 4
GENERATOR = torch.Generator().manual_seed(3)
STIFF = 4000.0  # 1/angstrom^2: a bond


def harmonic() -> tuple[torch.Tensor, torch.Tensor]:
    """Precision (with one stiff direction) and centre of a Gaussian target."""
    basis, _ = torch.linalg.qr(torch.randn((3 * N, 3 * N), generator=GENERATOR, dtype=torch.float64))
    stiffness = torch.full((3 * N,), 30.0, dtype=torch.float64)
    stiffness[0] = STIFF
    return basis * stiffness @ basis.T, torch.randn((3 * N,), generator=GENERATOR, dtype=torch.float64)


def posterior(precision, centre, x, x0, t):
    """Mean of exp(-beta U(x_1)) N(x_t; x_0 + t (x_1 - x_0), sigma^2 t (1-t)), in closed form, and its precision."""
    weight = t / (SIGMA**2 * (1 - t))
    total = precision + weight * torch.eye(3 * N, dtype=torch.float64)
    told = (x - x0 + t * x0) / (SIGMA**2 * (1 - t))
    return torch.linalg.solve(total, precision @ centre + told), total


def case(t: float, error: float, along: int = 0):
    """Corrected end point, exact mean, and the wrong end point: off by `error` along one eigenvector."""
    precision, centre = harmonic()
    x0 = centre + 0.1 * torch.randn((3 * N,), generator=GENERATOR, dtype=torch.float64)
    x = centre + 0.02 * torch.randn((3 * N,), generator=GENERATOR, dtype=torch.float64)
    exact, total = posterior(precision, centre, x, x0, t)
    direction = torch.linalg.eigh(precision)[1][:, -1 - along]  # the stiff one first
    wrong = exact + error * direction
    force = -(precision @ (wrong - centre))
    shape = (1, N, 3)
    corrected = newton_end(
        wrong.view(shape), force.view(shape), x.view(shape), x0.view(shape), total[None],
        torch.tensor([t], dtype=torch.float64), SIGMA, 0.05,
    )  # fmt: skip
    return corrected.reshape(-1), exact, wrong


def test_the_corrected_mean_is_exact_where_the_network_is_wrong_in_the_stiff_direction():
    for error in (0.004, -0.02):
        corrected, exact, wrong = case(0.999, error)
        assert float((wrong - exact).norm()) > 0.9 * abs(error)
        assert float((corrected - exact).abs().max()) < 1e-12


def test_soft_directions_are_as_exact():
    corrected, exact, _ = case(0.9995, 0.01, along=5)
    assert float((corrected - exact).abs().max()) < 1e-12


def test_earlier_substeps_keep_the_networks_end_point():
    corrected, _, wrong = case(0.9, 0.01)  # sigma sqrt(1-t) is 0.28 angstrom
    assert torch.equal(corrected, wrong)
    times = torch.tensor([0.0, 0.9, 0.9969, 0.997, 1.0])
    assert at_stiff_end(times, SIGMA, 0.05).tolist() == [False, False, False, True, True]


def test_no_atom_is_moved_further_than_the_threshold():
    """A clash at the predicted end point: the direction of the step is kept, its length is not."""
    corrected, exact, wrong = case(0.999, 3.0)
    moved = (corrected - wrong).view(N, 3)
    assert abs(float(moved.norm(dim=1).max()) - 0.05) < 1e-12
    full = (exact - wrong).view(N, 3)
    assert float((moved * full).sum() / (moved.norm() * full.norm())) > 1 - 1e-12
