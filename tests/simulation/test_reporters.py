"""JumpReporter in a plain OpenMM script."""

import csv
import math
from pathlib import Path

import pytest
from openmm import app

from openmm_unisim.errors import ConfigError, OutputError
from openmm_unisim.integrator import UniSimIntegrator
from openmm_unisim.simulation.quality import QualityMonitor
from openmm_unisim.simulation.reporters import COLUMNS, JumpReporter
from openmm_unisim.system import create_system, get_platform, load_molecule
from tests.toy_models import write_toy


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "constant": write_toy(folder / "constant.unisim.pt", "constant", sigma=0.0005),
        "nan": write_toy(folder / "nan.unisim.pt", "nan", k=2),
    }


def simulation_with(model: Path) -> tuple[app.Simulation, QualityMonitor]:
    molecule = load_molecule("ACE-ALA-NME")
    system = create_system(molecule, "vacuum")
    integrator = UniSimIntegrator(model, molecule.topology, 300.0, randomNumberSeed=4)
    simulation = app.Simulation(molecule.topology, system, integrator, get_platform("Reference"))
    simulation.context.setPositions(molecule.positions)
    return simulation, QualityMonitor(molecule.topology, system, molecule.positions)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_one_row_a_jump_beside_openmms_own_reporters(models: dict[str, Path], tmp_path: Path) -> None:
    simulation, monitor = simulation_with(models["constant"])
    state_data = app.StateDataReporter(str(tmp_path / "state.csv"), 1, step=True, potentialEnergy=True)
    simulation.reporters += [JumpReporter(tmp_path / "jumps.csv", 1, monitor), state_data]
    simulation.step(6)
    table = rows(tmp_path / "jumps.csv")
    assert tuple(table[0]) == COLUMNS and [int(row["jump"]) for row in table] == [1, 2, 3, 4, 5, 6]
    energies = [float(row["potential_energy_kj_mol"]) for row in table]
    theirs = [
        float(line.split(",")[1])
        for line in (tmp_path / "state.csv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert energies == pytest.approx(theirs)
    assert all(0 < float(row["max_bond_deviation_nm"]) < 0.05 for row in table)
    assert all(int(row["accepted"]) == 1 and int(row["nan"]) == 0 for row in table)
    assert all(float(row["wall_s"]) > 0 for row in table)


def test_longer_intervals_count_what_lies_between(models: dict[str, Path], tmp_path: Path) -> None:
    simulation, monitor = simulation_with(models["nan"])
    simulation.integrator.setKeepsStereocenters(False)
    simulation.reporters.append(JumpReporter(tmp_path / "jumps.csv", 5, monitor))
    simulation.step(20)
    table = rows(tmp_path / "jumps.csv")
    assert [int(row["jump"]) for row in table] == [5, 10, 15, 20]
    assert all(int(row["accepted"]) + int(row["nan"]) == 5 for row in table)
    assert sum(int(row["nan"]) for row in table) == simulation.integrator.getNumNaN() > 0


def test_without_a_monitor_nothing_is_measured(models: dict[str, Path], tmp_path: Path) -> None:
    simulation, _ = simulation_with(models["constant"])
    simulation.reporters.append(JumpReporter(tmp_path / "jumps.csv"))
    simulation.step(2)
    assert all(math.isnan(float(row["max_bond_deviation_nm"])) for row in rows(tmp_path / "jumps.csv"))


def test_append_continues_the_table(models: dict[str, Path], tmp_path: Path) -> None:
    simulation, monitor = simulation_with(models["constant"])
    for append in (False, True):
        simulation.reporters = [JumpReporter(tmp_path / "jumps.csv", 1, monitor, append=append)]
        simulation.step(2)
    assert [int(row["jump"]) for row in rows(tmp_path / "jumps.csv")] == [1, 2, 3, 4]


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1 jump"):
        JumpReporter(tmp_path / "jumps.csv", 0)
    with pytest.raises(OutputError, match="Can't write"):
        JumpReporter(tmp_path / "nowhere" / "jumps.csv")
