"""Basins of a file: borders, wrap-around, overlap, and the shipped set against the two-state definition."""

import json

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.estimators.features import ResidueTorsions
from openmm_unisim.evaluation.estimators.kinetics import assign_basin
from openmm_unisim.evaluation.metrics.basins import (
    BasinSet,
    Interval,
    load_basins,
    shipped_basins,
    state_series,
)
from tests.evaluation.pairs_of_runs import ALPHA, PII, pair, shipped_torsions


def torsions(phi, psi, label="ALA 2"):
    return ResidueTorsions(label, np.asarray(phi, dtype=float), np.asarray(psi, dtype=float))


def box(low, high, torsion="psi", residue=0):
    return {"residue": residue, "torsion": torsion, "low_degrees": low, "high_degrees": high}


def basin_set(*regions, **fields):
    basins = [{"name": f"b{index}", "regions": [region]} for index, region in enumerate(regions)]
    return BasinSet.model_validate({"name": "test", "basins": basins, **fields})


def test_intervals_hold_their_lower_border_only_and_run_over_180():
    plain, over = Interval(**box(-120, 50)), Interval(**box(50, -120))
    angles = [-120.0, 49.999, 50.0, -120.001, 180.0, -180.0, np.nan]
    assert plain.holds(angles).tolist() == [True, True, False, False, False, False, False]
    assert over.holds(angles).tolist() == [False, False, True, True, True, True, False]
    assert (plain.width, over.width, Interval(**box(-180, 180)).width) == (170.0, 190.0, 360.0)


def test_states_of_hand_placed_frames():
    shipped = shipped_basins("ACE-ALA-NME")
    phi = [-70, -70, -150, 60, 170, 150, -115.001, -115, -70]
    psi = [-20, 150, 160, 30, 170, 0, 100, 100, np.nan]
    states = shipped.states([torsions(phi, psi)])
    assert shipped.names == ["alphaR", "PII", "C5", "alphaL", "other"]
    assert states.tolist() == [0, 1, 2, 3, 2, 0, 2, 1, -1]
    assert shipped.uncertain == [False, False, False, True, False]


def test_shipped_basins_cover_the_torus_and_refine_the_two_states_of_p_stay():
    grid = np.arange(-180.0, 180.0, 1.0)
    phi, psi = (angles.ravel() for angles in np.meshgrid(grid, grid))
    shipped = shipped_basins("ACE-ALA-NME")
    states = shipped.states([torsions(phi, psi)])
    assert set(states.tolist()) == {0, 1, 2, 3}
    visited = states != 3
    assert ((states[visited] == 0) == (assign_basin(psi[visited]) == 0)).all()
    assert (states[(phi >= 0) & (phi < 140)] == 3).all()
    assert shipped.comment
    md = shipped_torsions(0, 30000)
    assert not (shipped.states([torsions(md[:, 0], md[:, 1])]) == 3).any()


def test_no_basins_are_shipped_for_another_molecule():
    assert shipped_basins("ACE-GLY-NME") is None


def test_a_union_of_regions_and_the_default():
    found = BasinSet.model_validate(
        {
            "name": "x",
            "default": "rest",
            "basins": [{"name": "ends", "regions": [[box(-180, -170)], [box(170, 180)]]}],
        }
    )
    assert found.states([torsions([0, 0, 0], [-175, 175, 0])]).tolist() == [0, 0, 1]
    assert found.names == ["ends", "rest"]


def test_overlap_is_refused_and_touching_is_not():
    basin_set([box(0, 50)], [box(50, 100)])
    basin_set([box(0, 50), box(0, 90, "phi")], [box(20, 70), box(90, 180, "phi")])
    for second in ([box(49, 100)], [box(170, 10)], [box(10, 20)], [box(0, 90, "phi")]):
        with pytest.raises(ValueError, match="'b0' and 'b1' overlap"):
            basin_set([box(0, 50)], second)


def test_boxes_of_two_residues_meet_somewhere():
    with pytest.raises(ValueError, match="overlap"):
        basin_set([box(0, 50, residue=0)], [box(60, 90, residue=1)])
    basin_set([box(0, 50, residue=0)], [box(60, 90, residue=0), box(0, 50, residue=1)])


def test_an_absent_residue_is_named():
    for residue in (1, -1, "GLY 7"):
        with pytest.raises(ConfigError, match=r"name residue .* and the molecule has \['ALA 2'\]"):
            basin_set([box(0, 50, residue=residue)]).states([torsions([0], [0])])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"basins": []}, "basins: List should have at least 1 item"),
        ({"default": "b0"}, "repeat"),
        ({"basins": [{"name": "b0", "regions": [[]]}]}, "without intervals"),
        ({"basins": [{"name": "b0", "regions": [[box(5, 5)]]}]}, "is empty"),
        ({"basins": [{"name": "b0", "regions": [[box(0, 200)]]}]}, "less than or equal to 180"),
        (
            {"basins": [{"name": "b0", "regions": [[box(0, 9), box(0, 9, residue="ALA 2")]]}]},
            "by label and by index",
        ),
        ({"colour": "red"}, "colour: Extra inputs"),
    ],
)
def test_a_bad_file_is_one_named_error(tmp_path, change, message):
    content = {"name": "x", "basins": [{"name": "b0", "regions": [[box(0, 50)]]}], **change}
    path = tmp_path / "basins.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_basins(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        load_basins(tmp_path / "none.json")


def test_state_series_with_and_without_a_file():
    model, reference = np.array([ALPHA, PII] * 30), np.array([PII] * 60)
    comparison = pair(model, reference)
    (coarse,) = state_series(comparison, None)
    assert coarse.suffix == "ALA 2" and coarse.names == ["alpha", "beta"]
    assert coarse.model.tolist() == [0, 1] * 30 and coarse.reference.tolist() == [1] * 60
    (fine,) = state_series(comparison, shipped_basins("ACE-ALA-NME"))
    assert fine.names == ["alphaR", "PII", "C5", "alphaL"]  # nothing is in the default
    assert fine.model.tolist() == [0, 1] * 30
    assert (coarse.state_name(0), fine.state_name(0)) == ("alpha, ALA 2", "alphaR")
