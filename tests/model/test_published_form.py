"""The published networks: parameter counts, symmetry, continuity, forces, scripting."""

import pytest
import torch

from openmm_unisim.errors import ConfigError
from openmm_unisim.model.config import GraphConfig, PublishedConfig, TrunkConfig
from openmm_unisim.model.encoder import Encoder
from openmm_unisim.model.graph import published_table
from openmm_unisim.model.guidance_kernel import GuidanceKernel
from openmm_unisim.model.representation import RepresentationModel
from openmm_unisim.model.vector_field import VectorField

from .molecules import random_molecules, random_rotation, shake, small_config


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_at_the_published_sizes():
    """Spec section 4.6."""
    config = PublishedConfig()
    representation, field, kernel = RepresentationModel(config), VectorField(config), GuidanceKernel(config)
    encoder = field.encoder
    assert encoder.embedding.element.weight.numel() == 7_395
    assert count(encoder.radial) == 128
    assert count(encoder.embedding) - 7_395 == 474_912
    assert count(encoder.trunk.layers[0]) == 790_016
    assert count(encoder.trunk.norm) == 512
    assert count(encoder) == 3_643_011
    assert count(representation.energy_heads[0]) == 460_289
    assert count(representation) == 5_484_167
    assert count(field.velocity_head) == 656_385
    assert count(field) == 4_955_781
    assert count(field) + count(representation.energy_heads) == 6_796_937
    assert count(kernel) == 5_612_166
    assert count(field) + count(kernel) == 10_567_947
    assert count(field) + count(kernel) + count(representation.energy_heads) == 12_409_103


def all_outputs(models, molecules, positions):
    """Scalar-like and vector-like outputs of all three networks."""
    representation, field, kernel = models
    table = molecules.table(positions)
    state = (positions, molecules.z_index, molecules.time, table)
    energy, force = representation(*state, molecules.molecule_index, 2, 1, False)
    with torch.no_grad():
        velocity, denoiser, scalars = field(*state)
        guidance = kernel(*state, scalars)
    return energy.detach(), torch.stack([force.detach(), velocity, denoiser, *guidance])


@pytest.fixture(scope="module", params=[False, True], ids=["published", "smooth"])
def models(request):
    config = small_config(vector_envelope=request.param)
    return tuple(
        shake(kind(config), seed)
        for seed, kind in enumerate((RepresentationModel, VectorField, GuidanceKernel))
    )


@pytest.mark.parametrize("reflect", [False, True], ids=["rotation", "reflection"])
def test_equivariance(models, reflect):
    molecules = random_molecules(1)
    turn = random_rotation(2) * (-1.0 if reflect else 1.0)
    shift = torch.tensor([3.0, -40.0, 7.0], dtype=torch.float64)
    energy, arrows = all_outputs(models, molecules, molecules.positions)
    moved_energy, moved_arrows = all_outputs(models, molecules, molecules.positions @ turn.T + shift)
    torch.testing.assert_close(moved_energy, energy)
    torch.testing.assert_close(moved_arrows, arrows @ turn.T)


def test_permutation(models):
    molecules = random_molecules(2)
    order = torch.randperm(len(molecules.time), generator=torch.Generator().manual_seed(1))
    shuffled = type(molecules)(*(value[order] for value in molecules))
    energy, arrows = all_outputs(models, molecules, molecules.positions)
    other_energy, other_arrows = all_outputs(models, shuffled, shuffled.positions)
    torch.testing.assert_close(other_energy, energy)
    torch.testing.assert_close(other_arrows, arrows[:, order])


def test_molecules_of_a_batch_are_independent(models):
    both = random_molecules(3)
    first = type(both)(*(value[both.molecule_index == 0] for value in both))
    energy, arrows = all_outputs(models, both, both.positions)
    alone_energy, alone = all_outputs(models, first, first.positions)
    torch.testing.assert_close(alone_energy[:1], energy[:1])
    torch.testing.assert_close(alone, arrows[:, both.molecule_index == 0])


def test_force_is_the_negative_gradient(models):
    molecules = random_molecules(4)
    table = molecules.table()
    state = (molecules.z_index, molecules.time, table, molecules.molecule_index, 2)

    def energy(x):
        return models[0](x, *state, 2, False)[0].sum()

    force = models[0](molecules.positions, *state, 2, False)[1]
    step = 1e-5
    for atom, axis in ((0, 0), (8, 1), (20, 2)):
        moved = torch.zeros_like(molecules.positions)
        moved[atom, axis] = step
        slope = (energy(molecules.positions + moved) - energy(molecules.positions - moved)) / (2 * step)
        assert force[atom, axis].item() == pytest.approx(-slope.item(), rel=1e-6, abs=1e-8)


def test_force_loss_is_differentiable(models):
    """Second derivatives are finite, self-loops and an isolated atom included."""
    molecules = random_molecules(5)
    positions = molecules.positions.clone()
    positions[3] += 200.0
    state = (positions, molecules.z_index, molecules.time, molecules.table(positions))
    _, force = models[0](*state, molecules.molecule_index, 2, 0, True)
    assert torch.all(force[3] == 0)
    parameters = list(models[0].encoder.parameters())
    gradients = torch.autograd.grad(force.square().sum(), parameters, allow_unused=True)
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


def test_gradients_of_the_vector_outputs_are_finite(models):
    molecules = random_molecules(6, (8, 1))
    velocity, denoiser, _ = models[1](
        molecules.positions, molecules.z_index, molecules.time, molecules.table()
    )
    gradients = torch.autograd.grad((velocity + denoiser).square().sum(), list(models[1].parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert torch.all(velocity[-1] == 0)  # a single atom knows no direction


def test_unknown_energy_head_is_an_error(models):
    molecules = random_molecules(7)
    state = (
        molecules.positions,
        molecules.z_index,
        molecules.time,
        molecules.table(),
        molecules.molecule_index,
    )
    with pytest.raises(ConfigError, match="Energy head 4"):
        models[0](*state, 2, 4, False)


def jump_across(smooth, numbers, threshold):
    """Largest change of the encoder's output while one atom crosses a threshold distance from another."""
    config = small_config(vector_envelope=smooth)
    encoder = shake(Encoder(config), 3)
    z_index = torch.tensor([{1: 0, 6: 4}[number] for number in numbers])
    hydrogen = torch.tensor(numbers) == 1
    zeros, time = torch.zeros(3, dtype=torch.long), torch.full((3,), 0.4, dtype=torch.float64)
    outputs = []
    for distance in (threshold - 1e-6, threshold + 1e-6):
        x = torch.tensor([[0.0, 0, 0], [distance, 0, 0], [1.1, 1.2, 0.3]], dtype=torch.float64)
        with torch.no_grad():
            outputs.append(encoder(x, z_index, time, published_table(x, zeros, hydrogen, zeros)))
    assert published_edges(x, zeros, hydrogen) == 7  # the pair is gone, two others and self-loops remain
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*outputs))


def published_edges(x, zeros, hydrogen):
    return int(published_table(x, zeros, hydrogen, zeros).mask.sum())


@pytest.mark.parametrize(
    ("numbers", "threshold"), [((6, 6, 6), 5.0), ((6, 1, 6), 3.5)], ids=["cutoff", "hydrogen"]
)
def test_only_the_smooth_form_is_continuous_at_the_cutoffs(numbers, threshold):
    """Spec section 14, item 16: the published form jumps; `vector_envelope` mends it."""
    assert jump_across(True, numbers, threshold) < 1e-4
    assert jump_across(False, numbers, threshold) > 1e-2


def test_scripted_networks_equal_eager(models):
    molecules = random_molecules(8)
    state = (molecules.positions, molecules.z_index, molecules.time, molecules.table())
    scripted = [torch.jit.script(model) for model in models]
    for _ in range(3):
        energy = scripted[0](*state, molecules.molecule_index, 2, 3, False)
        with torch.no_grad():
            field = scripted[1](*state)
            kernel = scripted[2](*state, field[2])
    expected = models[1](*state)
    torch.testing.assert_close(energy, models[0](*state, molecules.molecule_index, 2, 3, False))
    torch.testing.assert_close(field, expected)
    torch.testing.assert_close(kernel, models[2](*state, expected[2]))


def test_unequal_cutoffs_are_refused():
    with pytest.raises(ValueError, match="must be equal"):
        PublishedConfig(trunk=TrunkConfig(cutoff=6.0), graph=GraphConfig(cutoff=5.0))
