"""Plans spend their budget and can be read back."""

import json

import pytest

from openmm_unisim.data.plan import DataPlan
from openmm_unisim.data.planner import Sized, archive_megabytes, make_plan, ns_per_day
from openmm_unisim.errors import ConfigError

MOLECULES = [Sized("ACE-A-NME", 22, 1), Sized("ACE-AV-NME", 38, 2), Sized("butane", 14, 0)]


def test_rates_follow_the_table():
    assert ns_per_day(22, "obc2") == pytest.approx(5305)
    assert ns_per_day(27, "vacuum") < ns_per_day(22, "vacuum")
    assert 100 < ns_per_day(200, "obc2") < 337
    assert archive_megabytes(40, 10.0, 5.0) == pytest.approx(40 * 3.3 * 2000 / 1e6)


def test_budget_is_spent_and_single_residues_get_double():
    plan = make_plan(MOLECULES, 2.0, 80.0)
    assert 1.6 < plan.estimate["core_hours"] <= 2.0
    lengths = {
        name: part.nanoseconds
        for part in plan.trajectories
        if part.environment == "obc2" and part.start == "built"
        for name in part.molecules
    }
    assert lengths["ACE-A-NME"] == pytest.approx(2 * lengths["ACE-AV-NME"], abs=0.2)
    fast = make_plan(MOLECULES, 2.0, 80.0, speed=2.0)
    assert fast.estimate["nanoseconds"] > 1.8 * plan.estimate["nanoseconds"]
    assert {part.start for part in plan.trajectories} == {"built", "hot", "other-environment"}


def test_plan_survives_its_file(tmp_path):
    plan = make_plan(MOLECULES, 1.0, 80.0)
    plan.save(tmp_path / "plan.json")
    assert DataPlan.load(tmp_path / "plan.json") == plan


def test_impossible_plans_are_named(tmp_path):
    with pytest.raises(ConfigError, match="more hours"):
        make_plan(MOLECULES, 0.001, 80.0)
    with pytest.raises(ConfigError, match="archive"):
        make_plan(MOLECULES, 10.0, 0.1)
    with pytest.raises(ConfigError, match="positive"):
        make_plan([], 10.0, 80.0)
    path = tmp_path / "plan.json"
    with pytest.raises(ConfigError, match="can't be read"):
        DataPlan.load(path)
    path.write_text(
        json.dumps({"labels": [{"molecules": ["butane"], "frames": {"dft": 3}}]}), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="dft"):
        DataPlan.load(path)
    path.write_text(
        json.dumps({"labels": [{"molecules": ["caffeine"], "frames": {"mmff94": 3}}]}), encoding="utf-8"
    )
    with pytest.raises(Exception, match="caffeine"):
        DataPlan.load(path)
