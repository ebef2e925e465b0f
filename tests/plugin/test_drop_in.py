"""A stock OpenMM script in which only the integrator line changes."""

import csv
import os
import signal
import threading

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import UniSimIntegrator
from tests.plugin.systems import (
    add_wells,
    can_minimize,
    free_atoms,
    jumper,
    make_platform,
    positions_of,
    random_positions,
    simulate,
)

N_ATOMS = 4


@pytest.mark.parametrize("kind", ["md", "jumps"])
def test_reporters(toys, platform, tmp_path, kind: str) -> None:
    topology, system = free_atoms(N_ATOMS)
    add_wells(system, 500.0)
    if kind == "md":
        integrator = openmm.LangevinMiddleIntegrator(
            300 * unit.kelvin, 1 / unit.picosecond, 2 * unit.femtoseconds
        )
    else:
        integrator = UniSimIntegrator(toys["ou"], topology, 300 * unit.kelvin)
    simulation = app.Simulation(topology, system, integrator, *make_platform(platform))
    simulation.context.setPositions(random_positions(N_ATOMS))
    if can_minimize(platform):
        simulation.minimizeEnergy(maxIterations=3)
    fields = (
        "step time potentialEnergy kineticEnergy temperature progress remainingTime speed elapsedTime".split()
    )
    simulation.reporters = [
        app.StateDataReporter(str(tmp_path / "log.csv"), 2, totalSteps=20, **dict.fromkeys(fields, True)),
        app.XTCReporter(str(tmp_path / "t.xtc"), 2),
        app.DCDReporter(str(tmp_path / "t.dcd"), 2),
        app.CheckpointReporter(str(tmp_path / "c.chk"), 10),
    ]
    simulation.step(20)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    lag = integrator.getStepSize().value_in_unit(unit.picosecond)
    assert [float(row["Time (ps)"]) for row in rows] == pytest.approx([2 * lag * k for k in range(1, 11)])
    assert rows[-1]['#"Progress (%)"'] == "100.0%"
    assert all(float(row["Temperature (K)"]) > 0 for row in rows)
    assert (tmp_path / "c.chk").stat().st_size > 0
    if kind == "jumps":
        check_speed(rows, lag)
    check_frames(tmp_path, simulation, lag)


def check_speed(rows: list[dict], lag: float) -> None:
    """The speed column counts model time: far above what elapsed femtosecond steps would show."""
    last = rows[-1]
    elapsed = float(last["Elapsed Time (s)"])
    speed = float(last["Speed (ns/day)"])
    first = float(rows[0]["Elapsed Time (s)"])
    assert speed == pytest.approx(18 * lag * 1e-3 / (elapsed - first) * 86400, rel=0.35)


def check_frames(folder, simulation: app.Simulation, lag: float) -> None:
    import mdtraj

    topology = mdtraj.Topology.from_openmm(simulation.topology)
    trajectory = mdtraj.load_xtc(str(folder / "t.xtc"), top=topology)
    assert len(trajectory) == 10
    assert np.allclose(np.diff(trajectory.time), 2 * lag)
    assert np.allclose(trajectory.xyz[-1], positions_of(simulation), atol=1e-3)


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt, also where whoever started the tests ignores it (nohup, cron)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_between_substeps_leaves_the_last_whole_jump(toys) -> None:
    topology, system = free_atoms(N_ATOMS)
    simulation, integrator = jumper(
        toys["ou"], topology, system, random_positions(N_ATOMS), numSubsteps=100000
    )
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        integrator.step(1000)
    timer.join()
    assert integrator.getNumProposed() < 1000
    assert simulation.context.getTime()._value == integrator.getNumProposed()
    if integrator.getNumProposed() == 0:
        assert np.array_equal(positions_of(simulation), random_positions(N_ATOMS))
    integrator.setNumSubsteps(2)
    integrator.step(1)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_within_a_compound_integrator(toys) -> None:
    """OpenMM's own wrapper knows one kind of exception only."""
    topology, system = free_atoms(N_ATOMS)
    compound = openmm.CompoundIntegrator()
    compound.addIntegrator(UniSimIntegrator(toys["ou"], topology, 300, 100000))
    simulation = simulate(compound, topology, system, random_positions(N_ATOMS))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(openmm.OpenMMException, match="The jump was interrupted"):
        compound.step(1000)
    timer.join()
    assert simulation.context.getTime()._value < 1000


def test_other_threads_work_during_a_jump(toys) -> None:
    topology, system = free_atoms(N_ATOMS)
    simulation, _ = jumper(toys["ou"], topology, system, random_positions(N_ATOMS))
    done = threading.Event()
    beats = 0

    def beat() -> None:
        nonlocal beats
        while not done.wait(0.001):
            beats += 1

    thread = threading.Thread(target=beat)
    thread.start()
    simulation.integrator.step(500)
    done.set()
    thread.join()
    assert beats > 5


def test_ownership(toys) -> None:
    import gc

    topology, system = free_atoms(N_ATOMS)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(N_ATOMS))
    assert simulation.context.getIntegrator() is integrator
    del integrator
    gc.collect()
    simulation.step(1)
    assert simulation.integrator.getNumProposed() == 1
    del simulation
    gc.collect()


def test_replica_exchange_may_vary_the_temperature(toys) -> None:
    topology, system = free_atoms(N_ATOMS)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(N_ATOMS))
    for temperature in (260.0, 300.0, 340.0):
        simulation.integrator.setTemperature(temperature * unit.kelvin)
        simulation.step(1)
    assert integrator.getNumAccepted() == 3
