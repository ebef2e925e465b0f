"""The approximate move: by quality of the solute, the solvent relaxed around it."""

from pathlib import Path

import numpy as np
import openmm

from openmm_unisim.simulation.quality import QualityLimits
from openmm_unisim.solvent.explore import RelaxingMove
from openmm_unisim.solvent.protocol import SwitchingProtocol
from tests.solvent.test_move import read
from tests.solvent.toy_solutions import context_of, water_box, wrong_model


def moved(tmp_path: Path, limits: QualityLimits | None) -> tuple:
    topology, system, positions = water_box()
    move = RelaxingMove(
        wrong_model(tmp_path, a=1.0, s=0.02, sigma=0.03), topology, system, [0, 1], limits=limits, minimization=5,
        relaxation=SwitchingProtocol(duration=0.01),
    )  # fmt: skip
    context = context_of(system, positions)
    before = read(context)[0]
    record = move.move(context)
    return move, record, before, context


def test_a_whole_solute_stays_where_it_jumped_and_water_stays_rigid(tmp_path: Path) -> None:
    move, record, before, context = moved(tmp_path, QualityLimits(bond=0.5))
    after, velocities = read(context)
    assert (record.accepted, record.switched, record.nan) == (1, 1, 0)
    assert not move.exact and move.describe()["exact"] is False
    assert np.isnan(record.log_acceptance) and np.isnan(record.log_path_ratio)
    np.testing.assert_array_equal(after[:2], move._jump.propose(before[:2], np.eye(3) * 1.3, 0).positions)
    np.testing.assert_allclose(np.linalg.norm(after[2::3] - after[3::3], axis=1), 0.09572, atol=1e-6)
    assert np.isfinite(record.work_kj_mol) and 0.2 < np.sqrt((velocities**2).mean()) < 3


def test_a_broken_solute_stays_where_it_was(tmp_path: Path) -> None:
    _, record, before, context = moved(tmp_path, QualityLimits(bond=1e-6))
    assert (record.accepted, record.switched) == (0, 0)
    np.testing.assert_array_equal(read(context)[0], before)
    assert isinstance(context, openmm.Context)
