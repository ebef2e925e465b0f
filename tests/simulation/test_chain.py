"""Many jumps: counted rejections, reproducible noise, continuation."""

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError, NonFiniteError
from openmm_unisim.simulation.chain import JumpChain
from openmm_unisim.simulation.exactness import PathMetropolis
from openmm_unisim.simulation.noise import standard_normals
from openmm_unisim.simulation.reference import ReferenceJump
from tests.toy_models import ConstantDrift, NaNModel, OrnsteinUhlenbeck, nan_threshold, toy_metadata

START = 0.1 * standard_normals(7, 0, np.arange(3)[:, None], np.arange(2))


def chain(module=None, seed=11, positions=START, **arguments):
    jump = ReferenceJump(module or OrnsteinUhlenbeck(), toy_metadata(), atomic_numbers=[6, 1])
    return JumpChain(jump, positions, seed, **arguments)


def frames(run, n):
    return np.array([frame.positions for frame in run.run(n)])


def test_same_seed_same_trajectory():
    np.testing.assert_array_equal(frames(chain(), 4), frames(chain(), 4))
    assert np.abs(frames(chain(seed=12), 1) - frames(chain(), 1)).min() > 0


def test_copy_i_is_the_chain_of_seed_plus_i():
    alone = frames(chain(seed=13, positions=START[2:]), 3)
    np.testing.assert_allclose(frames(chain(), 3)[:, 2:], alone, rtol=0, atol=1e-15)


def test_a_chain_continues_from_positions_and_step():
    whole = frames(chain(), 5)
    rest = frames(chain(positions=whole[1], step=2), 3)
    np.testing.assert_array_equal(rest, whole[2:])


def test_nan_proposals_are_counted_and_repeat_the_state():
    run = chain(NaNModel(k=3))
    previous, failed = START, 0
    for frame in run.run(30):
        first = standard_normals(11 + np.arange(3), frame.step - 1, 0, 0)[:, 0]
        np.testing.assert_array_equal(frame.finite, first <= nan_threshold(3))
        np.testing.assert_array_equal(frame.accepted, frame.finite)
        np.testing.assert_array_equal(frame.positions[~frame.finite], previous[~frame.finite])
        previous, failed = frame.positions, failed + int((~frame.finite).sum())
    assert np.isfinite(previous).all() and run.step == 30
    assert (run.proposed, run.nan, run.accepted) == (90, failed, 90 - failed) and failed > 10


def test_no_model_sees_nan_beside_the_others():
    class Watching(NaNModel):
        def moments(self, x, *others):
            assert x.isfinite().all()
            return super().moments(x, *others)

    jump = ReferenceJump(Watching(k=3), toy_metadata(), atomic_numbers=[6, 1])
    acceptance = PathMetropolis(jump, lambda positions: np.zeros(len(positions)))
    runs = [
        JumpChain(jump, START, 11, acceptance=acceptance),
        JumpChain(jump, START, 11),
    ]
    for run in runs:
        assert sum((~frame.finite).sum() for frame in run.run(20)) > 5


def test_nan_proposals_are_rejected_by_metropolis_too():
    jump = ReferenceJump(NaNModel(k=1), toy_metadata(), atomic_numbers=[6, 1])
    acceptance = PathMetropolis(jump, lambda positions: np.zeros(len(positions)))
    run = JumpChain(jump, START, 1, acceptance=acceptance)
    (frame,) = run.run(1)
    np.testing.assert_array_equal(frame.positions, START)
    assert run.nan == 3 and np.isnan(frame.log_acceptance).all()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_infinite_energy_is_a_counted_rejection(value):
    jump = ReferenceJump(OrnsteinUhlenbeck(), toy_metadata(), atomic_numbers=[6, 1])
    energies = iter([np.zeros(3), np.array([0.0, value, 0.0])])
    run = JumpChain(jump, START, 1, acceptance=PathMetropolis(jump, lambda positions: next(energies)))
    (frame,) = run.run(1)
    assert run.nan == 1 and not frame.accepted[1] and frame.finite.all()
    np.testing.assert_array_equal(frame.positions[1], START[1])


def test_a_molecule_that_flies_away_is_not_finite():
    module = ConstantDrift((2e5, 0.0, 0.0))
    jump = ReferenceJump(module, toy_metadata("constant"), atomic_numbers=[6, 1])
    run = JumpChain(jump, START, 1)
    (frame,) = run.run(1)
    assert run.nan == 3 and not frame.finite.any()
    np.testing.assert_array_equal(frame.positions, START)


def test_bad_starts_are_refused():
    with pytest.raises(ConfigError, match="n_copies"):
        chain(positions=START[0])
    jump = ReferenceJump(OrnsteinUhlenbeck(), toy_metadata(), atomic_numbers=[6, 1])
    acceptance = PathMetropolis(jump, lambda positions: np.array([0.0, np.inf, 0.0]))
    with pytest.raises(NonFiniteError, match="Copy 1 starts with the potential energy inf"):
        JumpChain(jump, START, 1, acceptance=acceptance)
