"""Guidance where the right answer is known by quadrature: two wells, an energy that is local to one of them.

Dynamics on a grid: overdamped motion in a double well (kT = 1), whose transition matrix over one lag is exact. The
environment's energy eps is a bump in the right well, so the target population there is known, and so is the drift of
the tilted jump, from the posterior of x_1 given x_t and x_0.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

from openmm_unisim.interpolant.bridge import input_scale, interpolate, output_scale
from openmm_unisim.interpolant.live_guidance import handed_over
from openmm_unisim.interpolant.schedule import symmetric_power_grid
from openmm_unisim.interpolant.tilt import calibrated_alpha, energy_memory, tilt_weights
from openmm_unisim.simulation.guidance import choose_candidates
from openmm_unisim.training.tilted_losses import log_tilt_loss, tilted_change_error

SIGMA, SPACING = 0.5, 0.04
GRID = np.arange(-2.0, 2.0 + SPACING / 2, SPACING)
POTENTIAL = 2.0 * (GRID**2 - 1.0) ** 2 + 0.1 * GRID
BUMP = 2.5 * np.exp(-0.5 * ((GRID - 1.0) / 0.45) ** 2)  # eps
LAG = 2.0


def _normalised(weights):
    return weights / weights.sum()


def _transitions() -> np.ndarray:
    """P(x_1 | x_0) of unit diffusion over the lag, rows x_0: reversible for the Boltzmann weights."""
    rate = np.zeros((len(GRID), len(GRID)))
    for i in range(len(GRID) - 1):
        half = 0.5 * (POTENTIAL[i + 1] - POTENTIAL[i])
        rate[i, i + 1], rate[i + 1, i] = np.exp(-half) / SPACING**2, np.exp(half) / SPACING**2
    rate -= np.diag(rate.sum(1))
    root = np.exp(-0.5 * POTENTIAL)
    values, vectors = np.linalg.eigh(root[:, None] * rate / root)
    return (vectors * np.exp(LAG * values)) @ vectors.T / root[:, None] * root


PLAIN = _normalised(np.exp(-POTENTIAL))
TARGET = _normalised(np.exp(-POTENTIAL - BUMP))
JUMPS = np.clip(_transitions(), 0.0, None)
RIGHT = GRID > 0


def _drawn_pairs(size: int, seed: int):
    """Places on the grid of x_0 and x_1 of equilibrium pairs."""
    generator = np.random.default_rng(seed)
    start = generator.choice(len(GRID), size, p=PLAIN)
    rising = np.cumsum(JUMPS, 1)
    return start, (generator.random((size, 1)) * rising[start, -1:] > rising[start]).sum(1)


def _alpha() -> tuple[float, float]:
    start, end = _drawn_pairs(200_000, 0)
    eps = torch.from_numpy(BUMP)
    return calibrated_alpha(eps[start], eps[end]), energy_memory(eps[start], eps[end])


ALPHA, MEMORY = _alpha()
TILT = np.exp(-ALPHA * BUMP)
OTHER_TILT = np.exp(-0.5 * ALPHA * BUMP)  # of an environment half as strong
DISPLACEMENT = float(np.sqrt(PLAIN @ (JUMPS * (GRID[:, None] - GRID) ** 2).sum(1)))


def _posterior(start, x, t) -> np.ndarray:
    """Probabilities of x_1 on the grid given x_t and x_0 (places on the grid) at one time or many, (n, grid)."""
    t = np.atleast_1d(t)[:, None]
    spread = np.maximum(SIGMA**2 * t * (1 - t), 1e-12)
    centre = (1 - t) * GRID[start][:, None] + t * GRID
    log_weight = -((x[:, None] - centre) ** 2) / (2 * spread)
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True)) * JUMPS[start]
    return weight / weight.sum(1, keepdims=True)


def _slope(x):
    """eps' off the grid."""
    return -BUMP.max() * (x - 1.0) / 0.45**2 * np.exp(-0.5 * ((x - 1.0) / 0.45) ** 2)


def _end_point(form: str, start, x, t: float) -> np.ndarray:
    """xhat_1, changed as each form of guidance would; drift is (end point - x)/(1 - t)."""
    weight = _posterior(start, x, t)
    mean = weight @ GRID
    variance = weight @ GRID**2 - mean**2
    if form == "exact":
        return (weight * TILT) @ GRID / (weight @ TILT)
    if form == "live":  # J = 1, eps' at x_t
        return mean - SIGMA**2 * (1 - t) * ALPHA * _slope(x)
    if form == "end point":  # J = 1, eps' at xhat_1
        return mean - SIGMA**2 * (1 - t) * ALPHA * _slope(mean)
    if form == "jacobian":  # sigma^2 (1 - t) J = Var(x_1 | x_t, x_0)
        return mean - variance * ALPHA * _slope(mean)
    if form.startswith("residual"):  # openmm+residual; its kernel knows eps, or another one
        tilt = TILT if form == "residual" else OTHER_TILT
        live, learned = -variance * ALPHA * _slope(mean), (weight * tilt) @ GRID / (weight @ tilt) - mean
        times = torch.tensor([t], dtype=torch.double)
        change = [torch.from_numpy(value).view(-1, 1, 1) for value in (live, learned)]
        return mean + handed_over(*change, times, SIGMA, DISPLACEMENT).flatten().numpy()
    if form == "other":  # a kernel of another eps alone
        return (weight * OTHER_TILT) @ GRID / (weight @ OTHER_TILT)
    return mean


def _population(end_point, copies: int = 1000, jumps: int = 12, burn: int = 5, seed: int = 1) -> float:
    """Share of the right well in chains of jumps that start from the plain ensemble."""
    generator = np.random.default_rng(seed)
    times = symmetric_power_grid(30, 2.5).tolist()
    place = generator.choice(len(GRID), copies, p=PLAIN)
    found = []
    for jump in range(jumps):
        x = GRID[place].copy()
        for t, t_next in pairwise(times):
            h = t_next - t
            end = end_point(place, x, t)
            noise = SIGMA * np.sqrt(h * (1 - t_next) / (1 - t)) if t_next < 1 else 0.0
            x = x + h / (1 - t) * (end - x) + noise * generator.normal(size=copies)
        place = np.clip(np.rint((x - GRID[0]) / SPACING).astype(int), 0, len(GRID) - 1)
        if jump >= burn:
            found.append(RIGHT[place].mean())
    return float(np.mean(found))


def _stationary(tilt: np.ndarray) -> float:
    """Share of the right well under the law that the exactly tilted jump keeps: pi f (P f)."""
    return float(_normalised(PLAIN * tilt * (JUMPS @ tilt))[RIGHT].sum())


def test_the_scalar_strength_moves_the_population_to_the_target():
    plain, target = PLAIN[RIGHT].sum(), TARGET[RIGHT].sum()
    assert plain > 0.43 and target < 0.14
    assert 0.55 < ALPHA < 0.85
    found = _stationary(TILT)
    assert abs(found - target) < 0.03
    assert _stationary(np.exp(-BUMP)) < target - 0.02 and _stationary(np.exp(-0.5 * BUMP)) > target + 0.02


def test_the_exact_tilt_solves_its_fixed_point():
    tilt = np.exp(-ALPHA * BUMP)
    for _ in range(60):
        tilt = np.sqrt(tilt * np.exp(-BUMP) / (JUMPS @ tilt))
    np.testing.assert_allclose(tilt * (JUMPS @ tilt), np.exp(-BUMP), rtol=1e-6)
    assert _stationary(tilt) == pytest.approx(TARGET[RIGHT].sum(), abs=1e-6)


def test_forms_with_one_gradient_miss_an_energy_that_is_local_to_a_basin():
    """30 substeps with a frozen end point cost the exact form two hundredths; the others miss by more."""
    target = _stationary(TILT)
    found = {
        form: _population(lambda *a, f=form: _end_point(f, *a))
        for form in ("none", "exact", "live", "end point", "jacobian")
    }
    assert found["none"] == pytest.approx(PLAIN[RIGHT].sum(), abs=0.05)
    assert found["exact"] == pytest.approx(target, abs=0.03)
    assert found["live"] > target + 0.1 and found["end point"] > target + 0.08
    assert found["jacobian"] < found["exact"] - 0.02


def _resampled_population(candidates: int, copies: int = 4000, jumps: int = 12, burn: int = 5) -> float:
    """Share of the right well in chains whose jumps are chosen among exact ones by `choose_candidates`."""
    generator = np.random.default_rng(5)
    rising = np.cumsum(JUMPS, 1)
    place = generator.choice(len(GRID), copies, p=PLAIN)
    found = []
    for jump in range(jumps):
        drawn = generator.random((candidates, copies)) * rising[place, -1]
        ends = np.stack([(rising[place] < u[:, None]).sum(1) for u in drawn]).clip(0, len(GRID) - 1)
        chosen, possible = choose_candidates(-ALPHA * BUMP[ends], generator.random(copies))
        assert possible.all()
        place = ends[chosen, np.arange(copies)]
        if jump >= burn:
            found.append(RIGHT[place].mean())
    return float(np.mean(found))


def test_resampling_tends_to_the_tilted_law_as_candidates_are_added():
    target = _stationary(TILT)
    found = {m: _resampled_population(m) for m in (1, 2, 8, 32)}
    assert found[1] == pytest.approx(PLAIN[RIGHT].sum(), abs=0.03)
    assert found[1] > found[2] + 0.05 > found[8] + 0.05
    assert found[32] == pytest.approx(target, abs=0.015)


def test_the_residual_form_keeps_what_its_kernel_decides_early():
    """Nearer than forces alone, since the kernel guides where the well is chosen; and forces mend a wrong kernel."""
    target = _stationary(TILT)
    found = {
        form: _population(lambda *a, f=form: _end_point(f, *a))
        for form in ("jacobian", "residual", "other", "residual other")
    }
    assert abs(found["residual"] - target) < 0.06
    assert abs(found["residual"] - target) < abs(found["jacobian"] - target)
    # a kernel of a weaker environment is wrong by itself; live forces correct part of it
    assert abs(found["residual other"] - target) < abs(found["other"] - target) - 0.04


class _Network(torch.nn.Module):
    """A function of (x_t, x_0, t) in scaled inputs."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(12, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1)
        )  # fmt: skip
        for parameter in self.parameters():
            scale = 0.1 if parameter.dim() == 1 else parameter.size(1) ** -0.5
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)

    def forward(self, x, start, t):
        logit = torch.logit(t.clamp(1e-4, 1 - 1e-4)).unsqueeze(1)
        times = torch.exp(-0.5 * ((logit - torch.linspace(-9.0, 9.0, 9)) / 2.25) ** 2)
        moved = (x - start) / input_scale(t, SIGMA, 1.0)
        return self.layers(torch.cat([torch.stack([x, start, moved], 1), times], 1)).squeeze(1)


def _samples(size: int, generator: torch.Generator, start, end, weights):
    """Pairs by index, times dense at the start, x_t, x_1 - xhat_1 and weights; float32."""
    chosen = torch.randint(len(start), (size,), generator=generator).numpy()
    u = torch.rand(size, generator=generator)
    t = torch.where(torch.rand(size, generator=generator) < 0.5, u, 1e-3 ** (1 - u)).clamp(max=0.999)
    x_0, x_1 = (torch.from_numpy(GRID[ends[chosen]]).float() for ends in (start, end))
    noise = torch.randn(size, 1, 1, generator=generator)
    x = interpolate(x_0.view(-1, 1, 1), x_1.view(-1, 1, 1), t, SIGMA, noise).flatten()
    return start[chosen], x_0, x_1, t, x, weights[chosen].float()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["end point, baseline 1", "end point, baseline 0", "log of the tilt"])
def test_a_trained_kernel_moves_the_population(kind):
    """Both losses of training.tilted_losses, by a small network on pairs of the plain ensemble alone."""
    generator = torch.Generator().manual_seed(0)
    start, end = _drawn_pairs(20_000, 3)
    eps = torch.from_numpy(BUMP)
    weights = tilt_weights(eps[start], eps[end], ALPHA, MEMORY).weights
    network = _Network(generator)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    steps = 1500
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        place, x_0, x_1, t, x, weight = _samples(256, generator, start, end, weights)
        output = network(x, x_0, t)
        if kind == "log of the tilt":
            loss = log_tilt_loss(output, weight).mean()
        else:
            spread = output_scale(t, SIGMA, 1.0)
            mean = torch.from_numpy(_posterior(place, x.double().numpy(), t.double().numpy()) @ GRID)
            residual = (x_1 - mean.float()).view(-1, 1, 1)
            baseline = float(kind[-1])
            change = (spread * output).view(-1, 1, 1)
            loss = tilted_change_error(change, residual, weight, spread, baseline).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def end_point(place, x, t: float):
        places, times = torch.from_numpy(GRID[place]).float(), torch.full((len(x),), t)
        at = torch.from_numpy(x).float().requires_grad_()
        output = network(at, places, times)
        if kind == "log of the tilt":
            change = SIGMA**2 * (1 - t) * torch.autograd.grad(output.sum(), at)[0]
        else:
            change = output_scale(times, SIGMA, 1.0) * output
        return _posterior(place, x, t) @ GRID + change.detach().double().numpy()

    found = _population(end_point)
    assert abs(found - _stationary(TILT)) < 0.05
