"""Cycles of MD and moves: files, reporters, the barostat, and runs that are cut off."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim.errors import CheckpointError, ConfigError, OutputError
from openmm_unisim.solvent.move import SwitchingMove
from openmm_unisim.solvent.protocol import SwitchingProtocol
from openmm_unisim.solvent.record import COLUMNS
from openmm_unisim.solvent.simulation import SolventSimulation
from tests.solvent.toy_solutions import water_box, wrong_model

SHORT = SwitchingProtocol("straight", 0.008, 0.002)


def build(folder: Path, platform: str = "Reference", md_steps: int = 4, seed: int = 1) -> SolventSimulation:
    """A box of water with a barostat every second step."""
    topology, system, positions = water_box(1.35)
    model = folder.parent / "wrong.unisim.pt"
    if not model.is_file():
        wrong_model(folder.parent, a=1.0, s=0.002, sigma=0.003)
    move = SwitchingMove(model, topology, system, [0, 1], protocol=SHORT, randomNumberSeed=seed)
    barostat = openmm.MonteCarloBarostat(1 * unit.bar, 300 * unit.kelvin, 2)
    barostat.setRandomNumberSeed(5)
    pressed = openmm.XmlSerializer.clone(system)
    pressed.addForce(barostat)
    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.001)
    integrator.setRandomNumberSeed(2)
    properties = {"Threads": "1"} if platform == "CPU" else {}
    simulation = app.Simulation(
        topology, pressed, integrator, openmm.Platform.getPlatformByName(platform), properties
    )
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy(maxIterations=20)
    simulation.context.setVelocitiesToTemperature(300, 3)
    growing = [folder / "md.xtc", folder / "md.csv"]
    return SolventSimulation(simulation, move, md_steps, folder, checkpointInterval=2, growing=growing)


def report(run: SolventSimulation, append: bool = False) -> None:
    folder = run.folder.path
    folder.mkdir(exist_ok=True)
    run.simulation.reporters += [
        app.XTCReporter(str(folder / "md.xtc"), 4, append=append),
        app.StateDataReporter(
            str(folder / "md.csv"), 4, step=True, potentialEnergy=True, volume=True, append=append
        ),
    ]


def outcome(run: SolventSimulation) -> tuple[bytes, ...]:
    """Positions, velocities and box, and the files without the column of wall time."""
    state = run.simulation.context.getState(positions=True, velocities=True)
    rows = [line.rsplit(",", 1)[0] for line in run.folder.moves.read_text(encoding="utf-8").splitlines()]
    return (
        state.getPositions(asNumpy=True)._value.tobytes(),
        state.getVelocities(asNumpy=True)._value.tobytes(),
        np.array(state.getPeriodicBoxVectors()._value).tobytes(),
        "\n".join(rows).encode(),
        (run.folder.path / "md.xtc").read_bytes(),
        (run.folder.path / "md.csv").read_bytes(),
    )


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.slow
def test_a_resumed_run_repeats_the_bits_of_a_whole_one(tmp_path: Path, platform: str) -> None:
    whole = build(tmp_path / "whole", platform)
    report(whole)
    whole.run(6)
    cut = build(tmp_path / "cut", platform)
    report(cut)
    cut.run(4)
    with open(cut.folder.moves, "ab") as stream:  # what a kill leaves behind the checkpoint
        stream.write(b"4,1,0,")
    with open(cut.folder.path / "md.xtc", "ab") as stream:
        stream.write(b"half a frame")
    resumed = build(tmp_path / "cut", platform)
    assert resumed.resume() and resumed.getCycle() == 4
    report(resumed, append=True)
    resumed.run(2)
    assert resumed.simulation.currentStep == 24
    for one, other in zip(outcome(whole), outcome(resumed), strict=True):
        assert one == other
    volumes = {
        line.split(",")[-1]
        for line in (tmp_path / "whole/md.csv").read_text(encoding="utf-8").splitlines()[1:]
    }
    assert len(volumes) > 1  # the barostat acted


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """kill -9 at any moment after the first checkpoint."""
    code = (
        "import sys; from pathlib import Path; from tests.solvent.test_simulation import build, report\n"
        "run = build(Path(sys.argv[1])); report(run); run.run(10**6)"
    )
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not _cycle_of(folder) >= 4:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = build(folder)
    assert resumed.resume()
    report(resumed, append=True)
    target = resumed.getCycle() + 2
    resumed.run(2)
    whole = build(tmp_path / "whole")
    report(whole)
    whole.run(target)
    for one, other in zip(outcome(whole), outcome(resumed), strict=True):
        assert one == other


def _cycle_of(folder: Path) -> int:
    import json

    try:
        return int(json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))["cycle"])
    except (OSError, ValueError):
        return -1


def test_moves_leave_clock_and_barostat_alone_and_rows_are_written(tmp_path: Path) -> None:
    run = build(tmp_path / "run", md_steps=0)
    before = run.simulation.context.getState()
    records = run.run(2)
    after = run.simulation.context.getState()
    assert after.getTime() == before.getTime() and run.simulation.currentStep == 0
    assert after.getPeriodicBoxVectors() == before.getPeriodicBoxVectors()
    lines = run.folder.moves.read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(COLUMNS) and len(lines) == 1 + len(records) == 3


def test_a_run_of_other_settings_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "run", md_steps=0).run(1)
    with pytest.raises(OutputError, match="resume"):
        build(tmp_path / "run", md_steps=0).run(1)
    with pytest.raises(CheckpointError, match="move"):
        build(tmp_path / "run", md_steps=0, seed=2).resume()
    with pytest.raises(CheckpointError, match="md_steps"):
        build(tmp_path / "run", md_steps=3).resume()
    assert not build(tmp_path / "other", md_steps=0).resume()
    run = build(tmp_path / "third", md_steps=0)
    with pytest.raises(ConfigError, match="checkpointInterval"):
        SolventSimulation(run.simulation, run.move, 1, tmp_path, checkpointInterval=0)
    with pytest.raises(ConfigError, match="share a name"):
        SolventSimulation(run.simulation, run.move, 1, tmp_path, growing=["a/x.xtc", "b/x.xtc"])
