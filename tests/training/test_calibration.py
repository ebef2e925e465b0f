"""The variance head of many molecules and lags: which are drawn, that it fits, and what one molecule gets."""

import pytest
import torch

from openmm_unisim.model.conditioned import ConditionedConfig, ConditionedField
from openmm_unisim.training.calibration import Residuals, calibrate, negative_log_likelihood
from openmm_unisim.training.molecule_set import MoleculeSet

SMALL = ConditionedConfig(
    hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8, displacement=0.4
)
LAGS = (2.0, 5.0)


@pytest.fixture(scope="module")
def field() -> ConditionedField:
    return ConditionedField(SMALL, torch.Generator().manual_seed(1)).eval()


@pytest.fixture(scope="module")
def molecules(walker, other_walker) -> MoleculeSet:
    return MoleculeSet.load([str(walker), str(other_walker)], LAGS)


def test_every_molecule_and_lag_is_drawn_within_the_atom_budget(field, molecules):
    residuals = Residuals(field, molecules, LAGS, atom_budget=70)
    generator = torch.Generator().manual_seed(0)
    sizes = {}
    for _ in range(12):
        drawn = residuals.draw(32, generator)
        sizes[drawn.molecule] = len(drawn.t)
        assert drawn.residual.shape == (len(drawn.t), 3 * molecules[drawn.molecule].n_atoms)
    assert [molecules[k].n_atoms for k in sorted(sizes)] == [22, 19] and sizes == {0: 3, 1: 3}
    assert residuals.draw(32, generator).residual.isfinite().all()


def test_the_fit_raises_the_likelihood_of_all_molecules(field, molecules):
    reported: list[float] = []
    head = calibrate(
        field, SMALL, molecules, LAGS, iterations=100, batch=4, progress=lambda _, v: reported.append(v)
    )
    assert len(reported) == 2 and max(reported) < 0
    fresh = calibrate(field, SMALL, molecules, LAGS, iterations=0)
    for k in range(2):
        one = Residuals(field, MoleculeSet([molecules[k]]), LAGS, atom_budget=704)
        drawn = one.draw(32, torch.Generator().manual_seed(5))
        with torch.no_grad():
            fitted, unfitted = (negative_log_likelihood(h, one, drawn).mean() for h in (head, fresh))
        assert fitted < unfitted
