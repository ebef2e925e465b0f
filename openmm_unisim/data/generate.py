"""OpenMM molecular dynamics as a source of training pairs.

By default bonds are flexible, since a model trained on constrained X-H bonds could never be exact: hydrogen mass 4 Da,
2 fs, LangevinMiddle with friction 1/ps. Constrained X-H bonds at 4 fs give twice the MD for the same time, for
references and for molecules whose MD is dear. Masses, friction and constraints shape what the model learns, so they
travel with the data into the model file.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from ..errors import CheckpointError, ConfigError, NonFiniteError
from ..provenance import provenance
from ..repair import repair_structure
from ..system import HYDROGEN_MASS, Molecule, create_system, get_platform, load_molecule
from . import trajectory_file
from .start_frames import StartFrames

CONSTRAINTS = {"none": None, "h-bonds": app.HBonds}  # names as in the model file's metadata
LONGEST_TIME_STEP = {"none": 0.003, "h-bonds": 0.005}  # ps; a flexible X-H bond of 4 Da vibrates in 0.018 ps
PROPERTIES = {"CPU": {"Threads": "1"}, "OpenCL": {"Precision": "mixed"}, "CUDA": {"Precision": "mixed"}}
SMALL_MOLECULE = 50  # atoms; below this the Reference platform is faster than CPU (shared training facts)


@dataclass(frozen=True)
class GenerateConfig:
    """One walker of MD.

    Attributes
    ----------
    molecule : str
        Sequence or file, as `load_molecule` takes it.
    environment : str
    nanoseconds : float
        Length of the stored trajectory.
    seed : int
        Of velocities and Langevin noise; walkers differ in it.
    temperature, friction, time_step, frame_spacing
        K, 1/ps, ps, ps.
    scramble_temperature, scramble_time, equilibration_time
        K, ps, ps: a hot start decorrelates the walkers, the equilibration after it isn't stored.
    platform : str
        "auto" is Reference below 50 atoms, CPU above.
    block : int
        Frames between writes.
    constraints : {"none", "h-bonds"}
        "h-bonds" holds bonds to hydrogen at their lengths, so that 4 fs can be taken.
    repair : bool
        Complete a PDB or mmCIF file first (`repair_structure`).
    start_from : str
        Trajectory file of this molecule (hot, or of another environment), in the output's folder unless absolute, whose
        frames the walker starts from; empty: the built structure. Pairs of such a walker are no equilibrium pairs
        and are never reversed in time, but each is a draw of the end given its start.
    segment_time : float
        ps between restarts from another frame of `start_from`, drawn at random; each restart is followed by
        `equilibration_time`. 0: one start.
    store_starts : bool
        Store the frame that a segment starts from, after `equilibration_time`, as its first. Where `start_from` is
        another environment's, this and no equilibration give pairs that start as a guided jump will (docs/training.md).
    """

    molecule: str
    environment: str = "obc2"
    nanoseconds: float = 10.0
    seed: int = 1
    temperature: float = 300.0
    friction: float = 1.0
    time_step: float = 0.002
    frame_spacing: float = 1.0
    scramble_temperature: float = 600.0
    scramble_time: float = 50.0
    equilibration_time: float = 100.0
    platform: str = "auto"
    block: int = 500
    repair: bool = False
    start_from: str = ""
    segment_time: float = 0.0
    constraints: str = "none"
    store_starts: bool = False

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        positive = ("nanoseconds", "temperature", "friction", "time_step", "frame_spacing", "block")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} = {getattr(self, name)} must be positive.")
        if self.seed < 1:
            raise ConfigError(f"seed = {self.seed} must be at least 1; 0 would mean a random one in OpenMM.")
        if self.n_frames < 1:
            raise ConfigError(
                f"nanoseconds = {self.nanoseconds:g} is less than one frame of {self.frame_spacing:g} ps; run longer."
            )
        if self.constraints not in CONSTRAINTS:
            raise ConfigError(
                f"constraints = '{self.constraints}' is unknown; choose one of {', '.join(CONSTRAINTS)}."
            )
        longest = LONGEST_TIME_STEP[self.constraints]
        if self.time_step > longest:
            raise ConfigError(
                f"time_step = {self.time_step:g} ps is too long with constraints = '{self.constraints}'; "
                f"take at most {longest:g} ps{', or h-bonds' if self.constraints == 'none' else ''}."
            )
        self._check_frames()

    def _check_frames(self) -> None:
        steps = self.frame_spacing / self.time_step
        if abs(steps - round(steps)) > 1e-6:
            raise ConfigError(
                f"frame_spacing = {self.frame_spacing} ps is no multiple of {self.time_step} ps."
            )
        segments = self.segment_time / self.frame_spacing
        if self.segment_time < 0 or abs(segments - round(segments)) > 1e-6:
            raise ConfigError(
                f"segment_time = {self.segment_time} ps is no multiple of frame_spacing = {self.frame_spacing} ps."
            )
        if self.segment_time > 0 and self.n_frames % self.segment_frames:
            raise ConfigError(
                f"nanoseconds = {self.nanoseconds:g} is no whole number of segments of {self.segment_time:g} ps."
            )
        if self.segment_time > 0 and not self.start_from:
            raise ConfigError(
                f"segment_time = {self.segment_time} ps needs start_from, the file of frames to restart from."
            )
        if self.store_starts and not self.segment_time > 0:
            raise ConfigError("store_starts needs segments, each with a start; give segment_time.")

    def load(self) -> Molecule:
        """The molecule, repaired if that is asked for."""
        return repair_structure(self.molecule) if self.repair else load_molecule(self.molecule)

    @property
    def n_frames(self) -> int:
        """Frames in the finished file."""
        return round(self.nanoseconds * 1000 / self.frame_spacing)

    @property
    def segment_frames(self) -> int:
        """Frames between restarts; 0 for one start."""
        return round(self.segment_time / self.frame_spacing)


Progress = Callable[[int, int, float], None]


def generate(
    config: GenerateConfig, path: Path, progress: Progress | None = None, molecule: Molecule | None = None
) -> Path:
    """Run one walker, or continue it, until `path` holds the requested frames.

    Parameters
    ----------
    config : GenerateConfig
    path : Path
        HDF5 file; an existing one of the same settings is continued from its checkpoint.
    progress : callable (frames_done, frames_total, ns_per_day), optional
        Called after each write; it may raise to stop, and what was written stays.
    molecule : Molecule, optional
        Where `config.molecule` is only its name; otherwise it is loaded as `config` says.

    Returns
    -------
    Path
        The file.
    """
    config.check()
    molecule = molecule or config.load()
    starts = (
        StartFrames.read(path.parent / config.start_from, molecule, config.seed)
        if config.start_from
        else None
    )
    context = _context(config, molecule)
    if path.exists():
        done = _resume(config, path, context, starts)
    else:
        trajectory_file.create(path, _attributes(config, molecule, starts))
        done = 0
    if done == 0:
        _start(config, molecule, context, starts)
    steps = round(config.frame_spacing / config.time_step)
    began, first = time.perf_counter(), done
    held: list[tuple[np.ndarray, np.ndarray]] = []
    while done < config.n_frames:
        count = min(config.block, config.n_frames - done)
        if starts is not None and config.segment_frames:
            into = done % config.segment_frames
            if into == 0 and done > 0:
                starts.restart(context, config.equilibration_time, done // config.segment_frames)
            count = min(count, config.segment_frames - into)
        at_start = config.store_starts and done % config.segment_frames == 0
        held.append(_run_block(context, count, steps, at_start))
        done += count
        short = (
            0 < config.segment_frames <= config.block
        )  # many to a block, so that the file isn't copied for each
        if short and sum(len(energies) for _, energies in held) < config.block and done < config.n_frames:
            continue
        positions, potential = (np.concatenate(arrays) for arrays in zip(*held))
        trajectory_file.append(path, positions, potential, context.createCheckpoint())
        held = []
        if progress is not None:
            nanoseconds = (done - first) * config.frame_spacing / 1000
            progress(done, config.n_frames, nanoseconds / (time.perf_counter() - began) * 86400)
    return path


def _context(config: GenerateConfig, molecule: Molecule) -> openmm.Context:
    system = create_system(
        molecule,
        config.environment,
        constraints=CONSTRAINTS[config.constraints],
        hydrogen_mass=HYDROGEN_MASS,
    )
    integrator = openmm.LangevinMiddleIntegrator(config.temperature, config.friction, config.time_step)
    integrator.setRandomNumberSeed(config.seed)
    name = config.platform
    if name == "auto":
        name = "Reference" if system.getNumParticles() < SMALL_MOLECULE else "CPU"
    platform = get_platform(name)
    return openmm.Context(system, integrator, platform, PROPERTIES.get(name, {}))


def _attributes(config: GenerateConfig, molecule: Molecule, starts: StartFrames | None) -> dict:
    extra = {} if starts is None else {"start_sha256": starts.sha256}
    return {
        **asdict(config),
        "name": molecule.name,
        "atomic_numbers": molecule.atomic_numbers.tolist(),
        "bonds": molecule.bonds.tolist(),
        "frame_spacing_ps": config.frame_spacing,
        "temperature_K": config.temperature,
        "friction_per_ps": config.friction,
        "hydrogen_mass_Da": HYDROGEN_MASS,
        "force_field": molecule.force_field,
        "reversible": starts is None,
        "segment_frames": config.segment_frames,
        "provenance": provenance(seed=config.seed),
        **extra,
    }


def _start(
    config: GenerateConfig, molecule: Molecule, context: openmm.Context, starts: StartFrames | None
) -> None:
    """Minimise, decorrelate by a hot start, equilibrate; or start from a given frame."""
    if starts is not None:
        starts.restart(context, config.equilibration_time, 0)
        return
    integrator = context.getIntegrator()
    context.setPositions(_minimised(context, molecule))
    if config.scramble_time > 0:
        integrator.setTemperature(config.scramble_temperature)
        context.setVelocitiesToTemperature(config.scramble_temperature, config.seed)
        integrator.step(round(config.scramble_time / config.time_step))
        integrator.setTemperature(config.temperature)
    context.setVelocitiesToTemperature(config.temperature, config.seed)
    integrator.step(round(config.equilibration_time / config.time_step))


def _minimised(context: openmm.Context, molecule: Molecule) -> unit.Quantity:
    """Minimised positions; away from GPU platforms, whose minimiser crashes the process on PoCL 3.1."""
    if context.getPlatform().getName() not in ("Reference", "CPU"):
        context = openmm.Context(
            context.getSystem(), openmm.VerletIntegrator(0.001), get_platform("Reference")
        )
    context.setPositions(molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0)
    return context.getState(getPositions=True).getPositions()


def _resume(config: GenerateConfig, path: Path, context: openmm.Context, starts: StartFrames | None) -> int:
    done, checkpoint, attributes = trajectory_file.read_progress(path)
    for name, value in asdict(config).items():
        begun_with = attributes.get(
            name, getattr(GenerateConfig, name, None)
        )  # files older than a setting lack it
        if name not in ("nanoseconds", "block") and begun_with != value:
            raise CheckpointError(
                f"'{path}' was begun with {name} = {begun_with!r}, not {value!r}; "
                "use its settings or another file."
            )
    if starts is not None and attributes["start_sha256"] != starts.sha256:
        raise CheckpointError(
            f"'{path}' was begun from another '{config.start_from}'; restore it or start anew."
        )
    if done == 0:
        return 0
    try:
        context.loadCheckpoint(checkpoint)
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint in '{path}' doesn't load on this OpenMM or platform ({error}); "
            "continue on the machine that wrote it or generate the walker again."
        ) from error
    return done


def _run_block(
    context: openmm.Context, count: int, steps: int, at_start: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and energies of `count` frames; `at_start` the first is the present one."""
    integrator = context.getIntegrator()
    positions = np.empty((count, context.getSystem().getNumParticles(), 3))
    energies = np.empty(count)
    for frame in range(count):
        integrator.step(0 if at_start and frame == 0 else steps)
        state = context.getState(getPositions=True, getEnergy=True)
        coordinates = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        positions[frame] = coordinates - coordinates.mean(0)
        energies[frame] = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    if not (np.isfinite(positions).all() and np.isfinite(energies).all()):
        raise NonFiniteError(
            "MD produced NaN; the last stored block is intact, so try a shorter time step or another seed."
        )
    return positions, energies
