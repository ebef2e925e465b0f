"""Many moves of a wrong model sample the right law: whatever the protocol, with and without a screen."""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit
from scipy import stats

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
    wrong_model,
)

SHORT = SwitchingProtocol("straight", 0.02, 0.004)


def positions_of(context: openmm.Context) -> np.ndarray:
    state = context.getState(positions=True)
    return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))


@pytest.mark.parametrize(
    ("screened", "protocol"), [(False, SHORT), (True, SHORT), (True, SwitchingProtocol("path", 0.02, 0.004))]
)
@pytest.mark.slow
def test_a_wrong_model_samples_the_right_law_in_a_harmonic_bath(
    tmp_path: Path, screened: bool, protocol: SwitchingProtocol
) -> None:
    """Each component of x1 - x0 is normal with variance kT/1500; only moves change the solute.

    The bath is redrawn from its law given the solute before each move, and the screen has a wrong spring, too.
    """
    screen = (lambda x: 0.5 * 1000.0 * float(((x[1] - x[0]) ** 2).sum())) if screened else None
    move = SwitchingMove(
        wrong_model(tmp_path, a=0.6, s=0.03, sigma=0.04), bath_topology(4), harmonic_bath(4, 400.0), [0, 1],
        protocol=protocol, screen=screen,
    )  # fmt: skip
    generator = np.random.default_rng(11)
    context = context_of(
        harmonic_bath(4, 400.0), draw_bath(np.array([[0.0, 0, 0], [0.03, 0.03, 0]]), 4, 400.0, generator)
    )
    samples = []
    for _ in range(3000):
        context.setPositions(draw_bath(positions_of(context)[:2], 4, 400.0, generator))
        move.move(context)
        positions = positions_of(context)
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
        wrong_model(tmp_path, a=0.97, s=0.03, sigma=0.04), topology, system, [0, 1],
        protocol=SwitchingProtocol(kind, 0.06, 0.004),
    )  # fmt: skip
    context = context_of(system, start, step=0.004)
    distances = []
    for _ in range(4000):
        context.getIntegrator().step(5)
        move.move(context)
        positions = positions_of(context)
        distances.append(float(np.linalg.norm(positions[1] - positions[0])))
    grid, density = pair_marginal()
    cumulative = np.cumsum(density) / density.sum()
    samples = np.array(distances)
    independent = effective_samples(samples)
    assert independent > 60 and move.getCounts()["accepted"] > 300
    thinned = samples[:: int(np.ceil(len(samples) / independent))]
    law = stats.kstest(thinned, lambda r: np.interp(r, grid, cumulative))
    assert law.pvalue > 1e-3
