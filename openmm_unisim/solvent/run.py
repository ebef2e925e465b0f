"""`openmm-unisim solvent` as a function: a peptide in a box of water, MD and moves, into a folder that resumes.

===============  ==========================================================================
file             contents (beside those of `SolventSimulation`)
===============  ==========================================================================
topology.pdb     the solvated start
trajectory.xtc   frames of the MD
md.csv           OpenMM's StateDataReporter: step, time, energies, temperature, volume
run.json         settings, counts, provenance; written at the start and at the end
run.lock         empty; held by the process that writes the folder
===============  ==========================================================================
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import openmm
from openmm import app, unit

from ..errors import ConfigError, check_choice
from ..export.metadata import read_metadata
from ..pretrained.registry import resolve_model
from ..provenance import provenance
from ..simulation.outputs import write_json
from ..simulation.preparation import input_hash
from ..system import Molecule, get_platform, load_molecule
from .explore import RelaxingMove
from .move import SoluteMove, SwitchingMove
from .preparation import Solution, implicit_screen, solvate
from .protocol import SwitchingProtocol
from .simulation import SolventSimulation

__all__ = ["SCREENS", "SolventSettings", "run_solvent"]

SCREENS = ("obc2", "vacuum", "none")
_STEP = 0.002  # ps; the solute's hydrogens weigh 4 Da


@dataclass(frozen=True)
class SolventSettings:
    """What `run_solvent` is asked to do.

    Attributes
    ----------
    input : str
        PDB file or capped sequence; parameters are those of ff14SB.
    model : str
    output : Path
    cycles : int
        In all; a resumed run may raise it.
    edge : float
        nm, of the cubic box.
    md_steps, moves : int
        In a cycle; MD steps are 2 fs.
    protocol : SwitchingProtocol
    screen : {"obc2", "vacuum", "none"}
    explore : bool
        Approximate moves (`RelaxingMove`).
    pressure : float or None
        bar; None is constant volume.
    temperature : float or None
        K; None is the model's.
    substeps, seed : int
    equilibration : float
        ps of MD before the first cycle.
    platform : str
    frame_interval, checkpoint_interval : int
        MD steps; cycles.
    """

    input: str
    model: str
    output: Path
    cycles: int = 100
    edge: float = 2.6
    md_steps: int = 250
    moves: int = 1
    protocol: SwitchingProtocol = field(default_factory=SwitchingProtocol)
    screen: str = "obc2"
    explore: bool = False
    pressure: float | None = 1.0
    temperature: float | None = None
    substeps: int = 0
    seed: int = 1
    equilibration: float = 10.0
    platform: str = "CPU"
    frame_interval: int = 250
    checkpoint_interval: int = 10

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        for name, least in (("cycles", 1), ("seed", 1), ("frame_interval", 1), ("equilibration", 0)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least {least}.")
        check_choice("Screen", self.screen, SCREENS)


def run_solvent(settings: SolventSettings, resume: bool = False) -> dict[str, Any]:
    """Prepare or continue the run, and make its cycles.

    Returns
    -------
    dict
        The record, as in run.json.

    Raises
    ------
    UniSimError
        One of its subclasses, naming what is wrong and what to do.
    """
    settings.check()
    molecule = load_molecule(settings.input)
    solution = solvate(molecule, settings.edge)
    temperature = settings.temperature or read_metadata(resolve_model(settings.model)).training_temperature_K
    move = _move(settings, molecule, solution, temperature)
    simulation = _simulation(settings, solution, temperature)
    files = {name: settings.output / name for name in ("trajectory.xtc", "md.csv")}
    run = SolventSimulation(
        simulation, move, settings.md_steps, settings.output, movesPerCycle=settings.moves,
        checkpointInterval=settings.checkpoint_interval, growing=files.values(),
        identity={
            "input": input_hash(settings.input, molecule), "edge": settings.edge, "pressure": settings.pressure,
            "platform": settings.platform, "screen": settings.screen,
        },
    )  # fmt: skip
    if not resume:
        run.folder.check_free()
    with run.folder.held(new=not resume):
        return _make_cycles(settings, run, solution, temperature, files, resume)


def _make_cycles(
    settings: SolventSettings,
    run: SolventSimulation,
    solution: Solution,
    temperature: float,
    files: dict[str, Path],
    resume: bool,
) -> dict[str, Any]:
    """The cycles that are left, in a folder that is held; returns the record."""
    resumed = run.resume() if resume else False
    if not resumed:
        _start(settings, run, solution, temperature)
    append = resumed and files["md.csv"].is_file() and files["trajectory.xtc"].is_file()
    _report(run.simulation, settings, files, append)
    run.run(max(0, settings.cycles - run.getCycle()))
    record = _record(settings, run, solution)
    write_json(run.folder.run_record, record)
    return record


def _move(
    settings: SolventSettings, molecule: Molecule, solution: Solution, temperature: float
) -> SoluteMove:
    common: dict[str, Any] = {"numSubsteps": settings.substeps, "randomNumberSeed": settings.seed}
    place = (settings.model, solution.topology, solution.system, solution.particles, temperature)
    if settings.explore:
        return RelaxingMove(*place, **common)
    screen = None if settings.screen == "none" else implicit_screen(molecule, settings.screen)
    return SwitchingMove(*place, protocol=settings.protocol, screen=screen, **common)


def _simulation(settings: SolventSettings, solution: Solution, temperature: float) -> app.Simulation:
    system = openmm.XmlSerializer.clone(solution.system)
    if settings.pressure is not None:
        barostat = openmm.MonteCarloBarostat(settings.pressure * unit.bar, temperature * unit.kelvin, 25)
        barostat.setRandomNumberSeed(settings.seed)
        system.addForce(barostat)
    integrator = openmm.LangevinMiddleIntegrator(temperature, 1.0, _STEP)
    integrator.setRandomNumberSeed(settings.seed)
    platform = get_platform(settings.platform)
    simulation = app.Simulation(solution.topology, system, integrator, platform)
    simulation.context.setPositions(solution.positions)
    return simulation


def _start(settings: SolventSettings, run: SolventSimulation, solution: Solution, temperature: float) -> None:
    """Minimise and equilibrate, then write what describes the run."""
    write_json(run.folder.run_record, _record(settings, run, solution))
    simulation = run.simulation
    simulation.minimizeEnergy(maxIterations=200)
    simulation.context.setVelocitiesToTemperature(temperature, settings.seed)
    simulation.step(round(settings.equilibration / _STEP))
    simulation.context.setTime(0)
    simulation.currentStep = 0
    positions = simulation.context.getState(positions=True, enforcePeriodicBox=True).getPositions()
    with open(run.folder.topology, "w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(solution.topology, positions, stream)


def _report(
    simulation: app.Simulation, settings: SolventSettings, files: dict[str, Path], append: bool
) -> None:
    interval = settings.frame_interval
    simulation.reporters.append(app.XTCReporter(str(files["trajectory.xtc"]), interval, append=append))
    simulation.reporters.append(
        app.StateDataReporter(
            str(files["md.csv"]), interval, step=True, time=True, potentialEnergy=True, temperature=True,
            volume=True, append=append,
        )
    )  # fmt: skip


def _record(settings: SolventSettings, run: SolventSimulation, solution: Solution) -> dict[str, Any]:
    counts = run.move.getCounts()
    return {
        "format": "solvent 1",
        "exact": run.move.exact,
        "settings": asdict(settings),
        "move": run.move.describe(),
        "waters": solution.n_waters,
        "cycles": run.getCycle(),
        "counts": counts,
        "acceptance": counts["accepted"] / counts["proposed"] if counts["proposed"] else None,
        "provenance": provenance(seed=settings.seed),
    }
