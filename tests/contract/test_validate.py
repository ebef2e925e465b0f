"""`validate_model_file` passes what keeps the contract and names every breach; each breach is a small broken toy."""

from typing import Tuple

import pytest
import torch
from torch import Tensor, nn

from openmm_unisim.errors import ModelFileError
from openmm_unisim.export.exporter import save_model_file
from openmm_unisim.export.validate import validate_model_file
from tests.toy_models import OrnsteinUhlenbeck, toy_metadata, write_toy


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "kind, parameters",
    [
        ("ou", {}),
        ("ou", {"covariance": False, "noiseless_end": True}),
        ("ou", {"times": [0.0, 1.0]}),
        ("guided", {"covariance": False}),
    ],
)
def test_good_models_pass(tmp_path, kind, parameters, dtype):
    report = validate_model_file(write_toy(tmp_path / "toy.unisim.pt", kind, dtype, **parameters))
    assert report.metadata.scalar_type in str(dtype)
    for check in (
        "metadata", "methods and arguments", "time grid", "shapes and types", "finite", "no hidden state",
        "no mutation of arguments", "log_density agrees with step", "copies are independent",
        "guidance_scale 0 is no guidance", "equivariant under rotation", "equivariant under reflection",
        "equivariant under translation", "equivariant under permutation of atoms", "unknown element raises",
    ):  # fmt: skip
        assert check in report.checks
    assert max(report.checks.values()) < (1e-9 if dtype == torch.float64 else 1e-5)


def test_bonds_and_box_are_given_where_they_are_needed(tmp_path):
    path = tmp_path / "toy.unisim.pt"
    save_model_file(NeedsAll(), toy_metadata(needs_bonds=True, periodic=True), path)
    assert "equivariant under rotation" not in validate_model_file(path).checks  # a box has axes


class NeedsAll(OrnsteinUhlenbeck):
    """Refuses a step without bonds and a box."""

    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
        noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        if bonds.size(0) != positions.size(1) - 1 or box_vectors.size(0) != 3:
            raise RuntimeError("Bonds or box are missing.")
        mean, variance = self.checked_moments(
            positions, initial_positions, atomic_numbers, t, t_next, kT, forces, guidance_scale
        )
        following = (mean + variance.sqrt() * noise.double()).to(positions.dtype)
        return following, self.gaussian(following, mean, variance)


class Constant(OrnsteinUhlenbeck):
    """A push along z: breaks rotation."""

    def bend(self, mean: Tensor) -> Tensor:
        return mean + torch.tensor([0.0, 0.0, 0.01], dtype=torch.float64)


class Chiral(OrnsteinUhlenbeck):
    """A push by a pseudovector: breaks reflection, not rotation."""

    def bend(self, mean: Tensor) -> Tensor:
        y = mean - mean.mean(dim=1, keepdim=True)
        inertia = torch.bmm(y.transpose(1, 2), y)
        return mean + torch.cross(y, torch.bmm(y, inertia), dim=2)


class Origin(OrnsteinUhlenbeck):
    """A pull to the origin: breaks translation."""

    def bend(self, mean: Tensor) -> Tensor:
        return 0.9 * mean


class Ordered(OrnsteinUhlenbeck):
    """Atom 0 is special: breaks permutation."""

    def bend(self, mean: Tensor) -> Tensor:
        centre = mean.mean(dim=1, keepdim=True)
        return mean + 0.1 * (mean[:, :1] - centre)


class Mixing(OrnsteinUhlenbeck):
    """Copies see their average."""

    def bend(self, mean: Tensor) -> Tensor:
        return mean + 0.1 * (mean - mean.mean(dim=0, keepdim=True))


class Random(OrnsteinUhlenbeck):
    def spoil(self, mean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return mean + 0.001 * torch.randn_like(mean)


class Mutating(OrnsteinUhlenbeck):
    def spoil(self, mean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        noise.mul_(0.5)
        return mean


class Infinite(OrnsteinUhlenbeck):
    def bend(self, mean: Tensor) -> Tensor:
        return mean + 0.0 / torch.tensor(mean.size(1) - 60.0)  # 60 atoms: NaN


class WrongDensity(OrnsteinUhlenbeck):
    """log_density sees another mean than step."""

    def spoil(self, mean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return mean + 0.01 * (mean - mean.mean(dim=1, keepdim=True))


class Leaky(OrnsteinUhlenbeck):
    """Guided even where guidance_scale is 0."""

    def guide(
        self, mean_1: Tensor, var_1: Tensor, kT: float, forces: Tensor, guidance_scale: float
    ) -> Tensor:
        return mean_1 if forces.numel() == 0 else mean_1 + 1e-6 * forces

    @torch.jit.export
    def guidance_points(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        return positions.clone()


class Omnivore(OrnsteinUhlenbeck):
    def __init__(self):
        super().__init__()
        self.elements = torch.arange(119)


class FallingGrid(OrnsteinUhlenbeck):
    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        return torch.arange(n, -1, -1, dtype=torch.float64) / float(max(n, 1))


class SingleGrid(OrnsteinUhlenbeck):
    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        return torch.arange(n + 1, dtype=torch.float32) / float(max(n, 1))


class AnyGrid(OrnsteinUhlenbeck):
    @torch.jit.export
    def time_grid(self, n: int) -> Tensor:
        return torch.linspace(0.0, 1.0, max(n, 1) + 1, dtype=torch.float64)


class SingleDensity(OrnsteinUhlenbeck):
    def gaussian(self, following: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return -((following - mean) ** 2).sum(dim=(1, 2)).float()


class InfiniteDensity(OrnsteinUhlenbeck):
    def gaussian(self, following: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return torch.full_like(mean[:, 0, 0], -float("inf"))


class OtherName(OrnsteinUhlenbeck):
    @torch.jit.export
    def log_density(
        self, following: Tensor, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor,
        bonds: Tensor, t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float,
        box_vectors: Tensor,
    ) -> Tensor:  # fmt: skip
        return positions.sum(dim=(1, 2))


class StepOnly(nn.Module):
    @torch.jit.export
    def step(
        self, positions: Tensor, initial_positions: Tensor, atomic_numbers: Tensor, bonds: Tensor,
        t: Tensor, t_next: Tensor, kT: float, forces: Tensor, guidance_scale: float, box_vectors: Tensor,
        noise: Tensor,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        return positions, t


GUIDED = {"guidance": "openmm", "forces_required": True, "default_guidance_scale": 1.0}
BREACHES = [
    (Constant, {}, "equivariant under rotation: deviates by 0.01"),
    (Chiral, {}, "equivariant under reflection"),
    (Origin, {}, "equivariant under translation"),
    (Ordered, {}, "equivariant under permutation"),
    (Mixing, {}, "copies are independent"),
    (Random, {}, "second call of step"),
    (Mutating, {}, "step changes its argument noise"),
    (Infinite, {}, "aren't finite for a molecule of 60 atoms"),
    (WrongDensity, {}, "log_density agrees with step"),
    (Leaky, GUIDED, "guidance openmm isn't off exactly"),
    (Leaky, {}, "guidance_points wants forces"),
    (OrnsteinUhlenbeck, GUIDED, "guidance_points returned"),
    (Omnivore, {}, "atomic number 2, which the metadata don't list, is no error"),
    (OrnsteinUhlenbeck, {"elements": (1, 6, 7, 8)}, "atomic number 16, which the"),
    (OrnsteinUhlenbeck, {"elements": (1, 6, 9)}, "step failed .Atomic number 9"),
    (FallingGrid, {}, "rise strictly from 0 to 1"),
    (SingleGrid, {}, "float32 of shape"),
    (AnyGrid, {}, r"time_grid\(0\) is no error"),
    (SingleDensity, {}, "log densities of torch.float32"),
    (InfiniteDensity, {}, "infinite log density"),
    (OrnsteinUhlenbeck, {"scalar_type": "float32"}, "another scalar type"),
    (OtherName, {}, r"log_density takes \(following,"),
    (StepOnly, {}, "no method log_density"),
]


@pytest.mark.parametrize("module, changes, text", BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_each_breach_is_named(tmp_path, module, changes, text):
    path = tmp_path / "toy.unisim.pt"
    save_model_file(module(), toy_metadata(**changes), path)
    with pytest.raises(ModelFileError, match=rf"breaks the step contract: .*{text}"):
        validate_model_file(path)


def test_a_chiral_model_may_say_so(tmp_path):
    path = tmp_path / "toy.unisim.pt"
    save_model_file(Chiral(), toy_metadata(symmetry="SO(3)"), path)
    assert "equivariant under reflection" not in validate_model_file(path).checks


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ModelFileError, match="is empty"):
        validate_model_file(tmp_path / "x")
