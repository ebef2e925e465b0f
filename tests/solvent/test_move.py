"""One move: where it ends, what a rejection leaves, what is refused; and with many moves the right law."""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_unisim.errors import CheckpointError, ConfigError, ModelDomainError, NonFiniteError
from openmm_unisim.solvent.move import SwitchingMove
from openmm_unisim.solvent.proposal import thermal_velocities
from openmm_unisim.solvent.protocol import SwitchingProtocol
from tests.solvent.toy_solutions import (
    KT,
    bath_topology,
    context_of,
    draw_bath,
    harmonic_bath,
    water_box,
    wrong_model,
)
from tests.toy_models import write_toy

SHORT = SwitchingProtocol("straight", 0.02, 0.004)
SPEED = unit.nanometer / unit.picosecond


def read(context: openmm.Context) -> tuple[np.ndarray, np.ndarray]:
    state = context.getState(positions=True, velocities=True)
    return (
        np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)),
        np.array(state.getVelocities(asNumpy=True).value_in_unit(SPEED)),
    )


def bath_start(seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    solute = np.array([[0, 0, 0], np.sqrt(KT / 1500) * generator.normal(size=3)])
    return draw_bath(solute, 4, 2000.0, generator)


def bath_move(folder: Path, **options: object) -> SwitchingMove:
    options = {"protocol": SHORT, **options}
    return SwitchingMove(wrong_model(folder), bath_topology(4), harmonic_bath(), [0, 1], **options)


def test_an_accepted_solute_is_exactly_the_proposal_and_a_rejection_restores_every_bit(
    tmp_path: Path,
) -> None:
    move, context = bath_move(tmp_path), context_of(harmonic_bath(), bath_start())
    seen = set()
    for number in range(40):
        before = read(context)[0]
        proposal = move._jump.propose(before[:2], np.eye(3), number)
        record = move.move(context)
        positions, velocities = read(context)
        seen.add(record.accepted)
        assert (record.move, record.nan, record.switched) == (number, 0, 1)
        if record.accepted:
            np.testing.assert_array_equal(positions[:2], proposal.positions)
            assert np.abs(positions - before)[2:].max() > 0
        else:
            np.testing.assert_array_equal(positions, before)
            np.testing.assert_array_equal(velocities, -move_velocities(move, number))
    assert seen == {0, 1}
    assert context.getState().getTime()._value == 0


def move_velocities(move: SwitchingMove, number: int) -> np.ndarray:
    return thermal_velocities(move._masses, 300.0, 1, number)


def test_the_same_counts_give_the_same_moves(tmp_path: Path) -> None:
    whole, context = bath_move(tmp_path), context_of(harmonic_bath(), bath_start())
    records = [whole.move(context) for _ in range(3)]
    positions, _ = read(context)
    counts = whole.getCounts()
    records += [whole.move(context) for _ in range(3)]
    again, other = bath_move(tmp_path), context_of(harmonic_bath(), positions)
    again.setCounts(counts)
    for record in records[3:]:
        assert again.move(other).log_acceptance == record.log_acceptance
    np.testing.assert_array_equal(read(other)[0], read(context)[0])
    assert again.getCounts() == whole.getCounts() and counts["proposed"] == 3
    with pytest.raises(CheckpointError):
        again.setCounts({"jumps": 3})


def test_what_cannot_be_exact_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    noiseless = write_toy(tmp_path / "noiseless.unisim.pt", "ou", noiseless_end=True)
    move = SwitchingMove(noiseless, bath_topology(4), harmonic_bath(), [0, 1])
    context = context_of(harmonic_bath(), bath_start())
    with pytest.raises(ModelDomainError, match="density"):
        move.move(context)
    move = SwitchingMove(wrong_model(tmp_path), bath_topology(4), harmonic_bath(), [0, 1], 310.0)
    with pytest.raises(ConfigError, match="one temperature"):
        move.move(context)
    move = bath_move(tmp_path)
    with pytest.raises(ConfigError, match="particles"):
        move.move(context_of(harmonic_bath(2), bath_start()[:4]))
    broken = context_of(harmonic_bath(), bath_start())
    broken.setPositions(np.full((6, 3), np.inf))
    with pytest.raises(NonFiniteError):
        move.move(broken)
    with pytest.raises(ConfigError, match="negative"):
        bath_move(tmp_path, randomNumberSeed=-1)


def test_a_jump_that_is_not_finite_is_a_counted_rejection(tmp_path: Path) -> None:
    model = write_toy(tmp_path / "nan.unisim.pt", "nan", k=1)
    move = SwitchingMove(model, bath_topology(4), harmonic_bath(), [0, 1], protocol=SHORT)
    context = context_of(harmonic_bath(), bath_start())
    before = read(context)
    record = move.move(context)
    assert (record.accepted, record.nan, record.switched) == (0, 1, 0)
    for one, other in zip(before, read(context), strict=True):
        np.testing.assert_array_equal(one, other)
    assert move.getCounts() == {"proposed": 1, "switched": 0, "accepted": 0, "nan": 1}


def test_a_switch_that_explodes_is_a_counted_rejection(tmp_path: Path) -> None:
    """A step far beyond the stability limit."""
    move = bath_move(tmp_path, protocol=SwitchingProtocol("straight", 1000.0, 2.0))
    context = context_of(harmonic_bath(), bath_start())
    before = read(context)[0]
    record = move.move(context)
    assert (record.accepted, record.nan, record.switched) == (0, 1, 1)
    np.testing.assert_array_equal(read(context)[0], before)


def test_a_solute_cut_by_the_box_jumps_like_a_whole_one(tmp_path: Path) -> None:
    """PME and rigid water: the same move with one atom of the solute in another image."""
    topology, system, positions = water_box()
    system = openmm.XmlSerializer.clone(system)
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):  # else OpenMM itself wants molecules whole
            force.setUsesPeriodicBoundaryConditions(True)
        if isinstance(force, openmm.NonbondedForce):
            force.setExceptionsUsePeriodicBoundaryConditions(True)
    results = []
    for image in (0.0, 1.3):
        start = np.array(positions)
        start[1, 0] += image
        move = SwitchingMove(
            wrong_model(tmp_path, a=1.0, s=0.002, sigma=0.004), topology, system, [0, 1], protocol=SHORT
        )
        context = context_of(system, start)
        record = move.move(context)
        results.append((record.log_path_ratio, record.work_kj_mol, read(context)[0][1, 0] - image))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)
