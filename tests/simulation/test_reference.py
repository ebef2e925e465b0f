"""The jump in plain PyTorch: frame, forces and every refusal. Its numbers: test_ornstein_uhlenbeck.py."""

import numpy as np
import pytest
import torch

from openmm_unisim.errors import (
    ConfigError,
    ModelDomainError,
    ModelFileError,
    NonFiniteError,
    UnknownElementError,
)
from openmm_unisim.simulation.noise import standard_normals
from openmm_unisim.simulation.reference import ReferenceJump
from openmm_unisim.units import BOLTZMANN
from tests.toy_models import KINDS, ConstantDrift, GuidedHarmonic, OrnsteinUhlenbeck, toy_metadata, write_toy

START = np.array(
    [
        [[0.1, 0.0, 0.0], [0.0, 0.2, -0.1], [0.3, 0.1, 0.0]],
        [[0.0, 0.1, 0.2], [0.1, 0.0, 0.0], [0.2, 0.0, 0.4]],
    ]
)
ATOMS = [6, 1, 8]
FAR = np.array([1000.0, -500.0, 0.0])


def noise(n=4, copies=2):
    return standard_normals(np.arange(copies)[:, None], 0, np.arange(n)[:, None, None], np.arange(3))


def ou_jump(**arguments):
    return ReferenceJump(OrnsteinUhlenbeck(), toy_metadata(), atomic_numbers=ATOMS, **arguments)


def harmonic(points):
    return -500.0 * (points - points.mean(axis=1, keepdims=True))


def guided_jump(**arguments):
    arguments = {"forces": harmonic, **arguments}
    return ReferenceJump(GuidedHarmonic(), toy_metadata("guided"), atomic_numbers=ATOMS, **arguments)


def test_a_jump_by_a_constant_is_exact():
    module = ConstantDrift((0.01, -0.02, 0.03))
    proposal = ReferenceJump(module, toy_metadata("constant"), atomic_numbers=ATOMS).propose(START, noise())
    np.testing.assert_allclose(proposal.positions, START + np.array([0.01, -0.02, 0.03]), atol=1e-16)
    assert proposal.finite.all() and np.isnan(proposal.log_density).all()


def test_defaults_come_from_the_metadata():
    jump = ou_jump()
    assert (jump.n_substeps, jump.temperature, jump.guidance_scale, jump.lag_time) == (4, 300.0, 0.0, 1.0)
    assert ou_jump(n_substeps=7).n_substeps == 7


@pytest.mark.parametrize("kind", ["ou", "guided", "two_basins"])
def test_file_and_module_agree(tmp_path, kind):
    path = write_toy(tmp_path / "toy.unisim.pt", kind, dtype=torch.float32)
    module, metadata = KINDS[kind](dtype=torch.float32), toy_metadata(kind, torch.float32)
    arguments = {"atomic_numbers": ATOMS[:2], "forces": harmonic}
    from_file = ReferenceJump(path, **arguments).propose(START[:, :2], noise()[:, :, :2])
    eager = ReferenceJump(module, metadata, **arguments).propose(START[:, :2], noise()[:, :, :2])
    np.testing.assert_allclose(from_file.positions, eager.positions, rtol=0, atol=1e-7)
    np.testing.assert_allclose(from_file.log_density, eager.log_density, rtol=1e-6)


def test_the_jump_does_not_see_where_the_molecule_is():
    """Single precision at 1000 nm from the origin: the centroid is taken off in double first."""
    module, metadata = OrnsteinUhlenbeck(dtype=torch.float32), toy_metadata(dtype=torch.float32)
    jump = ReferenceJump(module, metadata, atomic_numbers=ATOMS)
    here = jump.propose(START, noise()).positions
    there = jump.propose(START + FAR, noise()).positions
    np.testing.assert_allclose(there - FAR, here, rtol=0, atol=1e-7)


def test_copies_do_not_see_each_other():
    whole = ou_jump().propose(START, noise())
    alone = ou_jump().propose(START[1:], noise()[:, 1:])
    np.testing.assert_allclose(whole.positions[1:], alone.positions, rtol=0, atol=1e-15)
    np.testing.assert_allclose(whole.log_density[1:], alone.log_density, rtol=1e-13)


def test_forces_are_asked_for_at_the_models_points_in_the_frame_of_the_system():
    asked = []

    def forces(points):
        asked.append(points.copy())
        return harmonic(points)

    jump = guided_jump(forces=forces)
    jump.propose(START + 3.0, noise())
    assert len(asked) == jump.n_substeps and all(points.shape == START.shape for points in asked)
    centred = START + 3.0 - (START + 3.0).mean(axis=1, keepdims=True)
    expected = 0.7 * centred + (START + 3.0).mean(axis=1, keepdims=True)  # E[x_1 | x_0] of the toy
    np.testing.assert_allclose(asked[0], expected, atol=1e-12)


def test_guidance_of_scale_zero_is_no_guidance():
    def forces(points):
        raise AssertionError("no forces are needed")

    off = guided_jump(guidance_scale=0.0, forces=forces).propose(START, noise())
    np.testing.assert_array_equal(off.positions, ou_jump().propose(START, noise()).positions)
    on = guided_jump(guidance_scale=1.0).propose(START, noise())
    assert np.abs(on.positions - off.positions).max() > 1e-4


def test_a_nan_force_spoils_its_copy_only():
    def forces(points):
        values = harmonic(points)
        if len(points) == 2:  # later only the second copy is left
            values[0] = np.nan
        return values

    proposal = guided_jump(forces=forces).propose(START, noise())
    assert proposal.finite.tolist() == [False, True]


def test_path_and_its_density_are_consistent():
    jump = guided_jump()
    proposal = jump.propose(START, noise())
    assert proposal.path.shape == (5, 2, 3, 3)
    np.testing.assert_allclose(
        jump.path_log_density(proposal.path, proposal.centroid), proposal.log_density, rtol=1e-12
    )


def test_temperature_enters_as_kT():
    calls = []

    class Recorder(GuidedHarmonic):
        def guide(self, mean_1, var_1, kT, forces, guidance_scale):
            calls.append(kT)
            return mean_1

    arguments = {"atomic_numbers": ATOMS, "temperature": 310.0, "forces": harmonic}
    ReferenceJump(Recorder(), toy_metadata("guided"), **arguments).propose(START, noise())
    assert calls == [pytest.approx(BOLTZMANN * 310.0)] * 4


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        ({"temperature": 500.0}, ModelDomainError, "250.0 to 350.0 K, not for 500.0 K"),
        ({"n_substeps": -3}, ModelDomainError, "-3 substeps"),
        ({"guidance_scale": 1.0}, ModelDomainError, "no guidance"),
        ({"guidance_scale": -1.0}, ConfigError, "negative"),
        ({"guidance_scale": float("nan")}, ConfigError, "nan"),
        ({"bonds": [[0, 3]]}, ConfigError, "0..2"),
    ],
)
def test_wrong_settings_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        ou_jump(**arguments)


def test_a_temperature_outside_is_a_warning_for_exact_jumps():
    with pytest.warns(UserWarning, match="not for 500.0 K"):
        assert ou_jump(temperature=500.0, exact=True).temperature == 500.0


def test_an_unoffered_grid_names_the_default(tmp_path):
    path = write_toy(tmp_path / "toy.unisim.pt", times=[0.0, 0.2, 1.0])
    with pytest.raises(ModelDomainError, match=r"no time grid of 5 substeps.*default, 2"):
        ReferenceJump(path, atomic_numbers=ATOMS, n_substeps=5)


def test_missing_pieces_are_refused():
    with pytest.raises(UnknownElementError, match="Atom 1 has atomic number 2"):
        ReferenceJump(OrnsteinUhlenbeck(), toy_metadata(), atomic_numbers=[6, 2])
    with pytest.raises(ConfigError, match="metadata"):
        ReferenceJump(OrnsteinUhlenbeck(), atomic_numbers=ATOMS)
    with pytest.raises(ConfigError, match="bonds"):
        ReferenceJump(OrnsteinUhlenbeck(), toy_metadata(needs_bonds=True), atomic_numbers=ATOMS)
    with pytest.raises(ConfigError, match="box_vectors"):
        ReferenceJump(OrnsteinUhlenbeck(), toy_metadata(periodic=True), atomic_numbers=ATOMS)
    with pytest.raises(ConfigError, match="forces"):
        guided_jump(forces=None)


def test_wrong_inputs_of_a_jump_are_refused():
    with pytest.raises(ConfigError, match=r"\(n_copies, 3, 3\)"):
        ou_jump().propose(START[0], noise())
    with pytest.raises(ConfigError, match=r"noise has the shape"):
        ou_jump().propose(START, noise(3))
    broken = START.copy()
    broken[1, 2, 0] = np.nan
    with pytest.raises(NonFiniteError, match="Atom 2 of copy 1"):
        ou_jump().propose(broken, noise())


def test_a_failing_model_is_reported_in_one_line(tmp_path):
    """The module doesn't know an element that its metadata promise: the TorchScript backtrace is cut."""
    path = write_toy(tmp_path / "toy.unisim.pt", metadata={"elements": (1, 6, 9)})
    with pytest.raises(ModelFileError) as caught:
        ReferenceJump(path, atomic_numbers=[6, 9, 1]).propose(START, noise())
    message = str(caught.value)
    assert "failed in step" in message and "Atomic number 9" in message and "\n" not in message
