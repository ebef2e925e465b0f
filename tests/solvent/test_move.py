"""One move: where it ends, what a rejection leaves, what is refused; and with many moves the right law."""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit
from scipy import stats

from openmm_unisim.errors import CheckpointError, ConfigError, ModelDomainError, NonFiniteError
from openmm_unisim.solvent.move import SwitchingMove
from openmm_unisim.solvent.protocol import SwitchingProtocol
from tests.solvent.toy_solutions import (
    KT,
    bath_topology,
    context_of,
    draw_bath,
    effective_samples,
    harmonic_bath,
    lj_solvent,
    pair_marginal,
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
    from openmm_unisim.solvent.proposal import thermal_velocities

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


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("protocol", [SHORT, SwitchingProtocol("path", 0.02, 0.004)])
@pytest.mark.slow
def test_a_wrong_model_samples_the_right_law_in_a_harmonic_bath(
    tmp_path: Path, screened: bool, protocol: SwitchingProtocol
) -> None:
    """Each component of x1 - x0 is normal with variance kT/1500; only moves change the solute.

    The bath is redrawn from its law given the solute before each move, and the screen has a wrong spring, too.
    """
    screen = (lambda x: 0.5 * 2500.0 * float(((x[1] - x[0]) ** 2).sum())) if screened else None
    move = SwitchingMove(
        wrong_model(tmp_path, a=0.6, s=0.03, sigma=0.04), bath_topology(4), harmonic_bath(4, 400.0), [0, 1],
        protocol=protocol, screen=screen,
    )  # fmt: skip
    generator = np.random.default_rng(11)
    context = context_of(harmonic_bath(4, 400.0), bath_start())
    samples = []
    for _ in range(3000):
        context.setPositions(draw_bath(read(context)[0][:2], 4, 400.0, generator))
        move.move(context)
        positions, _ = read(context)
        samples.append(positions[1] - positions[0])
    z = np.array(samples) / np.sqrt(KT / 1500)
    accepted = move.getCounts()["accepted"] / 3000
    assert 0.1 < accepted < 0.9
    for component in z.T:
        independent = effective_samples(component)
        assert independent > 150
        thinned = component[:: int(np.ceil(len(component) / independent))]
        assert stats.kstest(thinned, "norm").pvalue > 1e-3
        assert abs((component**2).mean() - 1) < 4 * np.sqrt(2 / effective_samples(component**2))


@pytest.mark.parametrize("kind", ["straight", "discharge", "decouple"])
@pytest.mark.slow
def test_a_wrong_model_samples_the_right_distance_beside_a_repelling_solvent_atom(
    tmp_path: Path, kind: str
) -> None:
    """A charged Lennard-Jones atom between two others: the law of their distance by quadrature."""
    system, topology, start = lj_solvent()
    move = SwitchingMove(
        wrong_model(tmp_path, a=0.7, s=0.035, sigma=0.04), topology, system, [0, 1],
        protocol=SwitchingProtocol(kind, 0.06, 0.004),
    )  # fmt: skip
    context = context_of(system, start, step=0.004)
    distances = []
    for _ in range(4000):
        context.getIntegrator().step(5)
        move.move(context)
        positions, _ = read(context)
        distances.append(float(np.linalg.norm(positions[1] - positions[0])))
    grid, density = pair_marginal()
    cumulative = np.cumsum(density) / density.sum()
    samples = np.array(distances)
    independent = effective_samples(samples)
    assert independent > 150 and move.getCounts()["accepted"] > 300
    thinned = samples[:: int(np.ceil(len(samples) / independent))]
    law = stats.kstest(thinned, lambda r: np.interp(r, grid, cumulative))
    assert law.pvalue > 1e-3
