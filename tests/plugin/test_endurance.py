"""Memory, files and threads of runs that go on; benchmarks/endurance.py has the long form."""

import gc
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compatibility import ROOT
from tests.plugin.systems import free_atoms, jumper, random_positions

PAGE = resource.getpagesize()


def resident_memory() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * PAGE


JUMPS = """
import sys
from pathlib import Path
from openmm_unisim import UniSimIntegrator
from tests.plugin.systems import free_atoms, jumper, random_positions
from tests.plugin.test_endurance import resident_memory
topology, system = free_atoms(3)
simulations = [
    jumper(Path(file), topology, system, random_positions(3), acceptanceMode=mode)[0]
    for file, mode in ((sys.argv[1], 0), (sys.argv[2], 0), (sys.argv[1], UniSimIntegrator.MetropolisHastings))
]
for _ in range(3):
    for simulation in simulations:
        simulation.step(700)
    print(resident_memory())
"""


def test_memory_does_not_grow_with_jumps(toys) -> None:
    """Less than 2 % in 4,000 jumps, Metropolis ones and rejected ones among them, in a process of their own."""
    command = [sys.executable, "-W", "ignore", "-c", JUMPS, str(toys["ou"]), str(toys["nan"])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    memory = [int(line) for line in result.stdout.split()]
    assert memory[-1] < 1.02 * memory[0]


def test_contexts_that_are_dropped_leave_nothing(toys) -> None:
    """The model and its buffers, threads and open files included."""

    def rounds(number: int) -> tuple[int, int]:
        for _ in range(number):
            topology, system = free_atoms(200)
            simulation, _ = jumper(toys["ou"], topology, system, random_positions(200))
            simulation.step(1)
            del simulation
        return resident_memory(), len(os.listdir("/proc/self/fd"))

    rounds(10)
    first, files = rounds(20)
    last, more = rounds(40)
    assert last < 1.02 * first and more == files


def test_an_object_of_the_integrator_dies_with_its_context(toys) -> None:
    import weakref

    topology, system = free_atoms(3)
    simulation, integrator = jumper(toys["ou"], topology, system, random_positions(3))
    gone = [weakref.ref(simulation.context), weakref.ref(integrator)]
    simulation.step(1)
    del simulation, integrator
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


RUN = """
import os, sys
from pathlib import Path
from tests.plugin.systems import free_atoms, jumper, random_positions
topology, system = free_atoms(3)
simulation, _ = jumper(Path(sys.argv[1]), topology, system, random_positions(3), seed=int(sys.argv[2]))
simulation.step(20)
opened = {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
print(sorted(os.listdir(".")), sorted(path for path in opened if path.startswith(("/tmp", os.getcwd()))))
"""


@pytest.mark.slow
def test_concurrent_runs_share_no_files(toys, tmp_path: Path) -> None:
    """Two at once, in one folder, write nothing and hold nothing open."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RUN, str(toys["ou"]), str(seed)], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, text=True,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    for run in runs:
        assert run.communicate(timeout=300)[0].strip() == "[] []" and run.returncode == 0


def test_the_long_runs_were_flat() -> None:
    """What benchmarks/endurance.py has found: 100,000 jumps of the toy, 10,000 of a real model."""
    written = ROOT / "benchmarks" / "results" / "endurance.json"
    runs = json.loads(written.read_text(encoding="utf-8"))["runs"]
    assert runs["toy"]["jumps"] >= 100_000 and runs["molecule"]["jumps"] >= 10_000
    for run in runs.values():
        assert run["memory_growth_percent"] < 2.0
    for name in ("toy", "molecule"):
        run = runs[name]
        assert run["open_files_more"] == 0
        assert run["jumps_per_cpu_s_last_tenth"] > 0.8 * run["jumps_per_cpu_s_second_tenth"]
