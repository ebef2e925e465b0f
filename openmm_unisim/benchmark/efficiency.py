"""`openmm-unisim benchmark efficiency`: effective samples per second of UniSim and of MD at its best, in turn.

Both sides run on this machine with the same number of threads, each run in a process of its own, alternating
(UniSim seed 1, MD seed 1, UniSim seed 2, ...) so that what else the machine does hits both. After each run the JSON is
written; the same command continues it.
"""

import os
import platform as machine_info
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from ..errors import ConfigError, ModelDomainError, StructureError
from ..evaluation.estimators.features import backbone_torsions
from ..evaluation.page.jsonable import jsonable
from ..evaluation.reference import TorsionReference, shipped_reference, trajectory_reference
from ..export.metadata import read_metadata
from ..pretrained.registry import resolve_model
from ..provenance import provenance, sha256_of_file
from ..simulation.preparation import input_hash
from ..system import Molecule, load_molecule
from .candidates import Engine, list_engines
from .isolation import Outcome, run_isolated, run_or_raise
from .md import MD_FORMAT, MDBenchmarkSettings, Report, benchmark_md
from .observables import ESTIMATOR
from .result_file import ResultFile, read_result
from .side_record import make_record
from .summary import LEAST_SEEDS, summarise

__all__ = ["EFFICIENCY_FORMAT", "EfficiencySettings", "benchmark_efficiency"]

EFFICIENCY_FORMAT = 1
_START_UP_S = 300.0
_CHOICE_S = 2.0  # wall time of timing jumps on each platform, ...
_CHOICE_TURNS = 2  # ... so many times in turn: the best counts, since noise only slows
STATEMENT = (
    ESTIMATOR,
    "Observables: alpha-basin indicator of psi, cos and sin of phi and psi of every residue; 'slowest' is the one of "
    "fewest effective samples of each run by itself.",
    "Rates are geometric means over seeds, intervals 95 % (Student's t of the logarithms).",
    "Frames are kept in memory, writing them to disk is left out on both sides; MD keeps one every frame_spacing_ps.",
    "A rejected jump repeats its frame and its time counts.",
)


@dataclass(frozen=True)
class EfficiencySettings:
    """What `benchmark_efficiency` is asked to do.

    Attributes
    ----------
    model, input : str
    environment : str or None
    temperature : float or None
        K; None: the model's, as for the environment.
    seeds : int
        Runs of each side; seeds are 1 .. seeds.
    seconds_per_side : float
        Wall time of sampling in each run.
    jumps : int or None
        Number of jumps of a UniSim run instead; MD then samples for as long as the jumps took.
    threads : int
        Limit of every thread pool on both sides.
    platforms : tuple of str
        To choose from on both sides; empty: all.
    substeps : int
    thermalise_ps, frame_spacing_ps, friction
        Both sides thermalise; spacing and friction (1/ps) are MD's.
    md : Path or None
        Result of `benchmark md` with as many threads, whose MD to use; None: find it now.
    reference : Path or None
        Trajectory that judges the samples; None: the shipped one, if there is one for this molecule.
    long_run : Path or None
        Long UniSim trajectory of this model and molecule, e.g. of `simulate`, that tells its bias more exactly.
    json : Path or None
        Written after each run, and continued.
    """

    model: str
    input: str
    environment: str | None = None
    temperature: float | None = None
    seeds: int = 5
    seconds_per_side: float = 60.0
    jumps: int | None = None
    threads: int = 1
    platforms: tuple[str, ...] = ()
    substeps: int = 0
    thermalise_ps: float = 50.0
    frame_spacing_ps: float = 1.0
    friction: float = 1.0
    md: Path | None = None
    reference: Path | None = None
    long_run: Path | None = None
    json: Path | None = None

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        if self.seeds < LEAST_SEEDS:
            raise ConfigError(
                f"seeds = {self.seeds} gives no error bar; at least {LEAST_SEEDS} are needed, 5 are better."
            )
        if self.jumps is not None and self.jumps < 3:
            raise ConfigError(f"jumps = {self.jumps} is too few to sample anything; ask for hundreds.")
        for name in ("seconds_per_side", "frame_spacing_ps", "friction"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value} must be a positive number.")


def benchmark_efficiency(settings: EfficiencySettings, report: Report = lambda text: None) -> dict[str, Any]:
    """Measure, or continue to measure.

    Returns
    -------
    dict
        ``statement`` (definitions in words), ``md`` and ``unisim`` (what ran), ``runs`` (`side_record`), ``summary``
        (`summary`), ``provenance`` (one entry for each time the benchmark was started).

    Raises
    ------
    UniSimError
        One of its subclasses; what was measured stays in the JSON.
    """
    settings.check()
    list_engines(settings.platforms, (settings.threads,))  # refuse an unknown platform before anything else
    job = _Job(settings)
    file = ResultFile(settings.json, "efficiency", EFFICIENCY_FORMAT)
    record = file.continued(job.identity) or {
        "identity": job.identity, "statement": list(STATEMENT), "runs": [], "summary": None, "provenance": [],
    }  # fmt: skip
    job.check_md_file()
    record["provenance"].append(provenance(settings=jsonable(asdict(settings))))
    for key, choose in (("unisim", job.choose_unisim), ("md", job.choose_md)):
        if key not in record:
            record[key] = choose(report)
            file.save(record)
    done = {(run["side"], run["seed"]) for run in record["runs"]}
    for seed in range(1, settings.seeds + 1):
        for side in ("unisim", "md"):
            if (side, seed) in done:
                continue
            report(f"{'UniSim' if side == 'unisim' else 'MD'}, seed {seed} of {settings.seeds}")
            sample = job.sample_unisim(record, seed) if side == "unisim" else job.sample_md(record, seed)
            record["runs"].append(jsonable(make_record(side, seed, sample)))
            record["summary"] = summarise(record["runs"], job.reference, job.long_run, seed=1)
            file.save(record)
    record["summary"] = summarise(record["runs"], job.reference, job.long_run, seed=1)
    file.save(record)
    return record


class _Job:
    """Input, model and judge of a benchmark, read and checked once."""

    def __init__(self, settings: EfficiencySettings):
        self._settings = settings
        self._model = Path(resolve_model(settings.model))
        metadata = read_metadata(self._model)
        self._molecule = load_molecule(settings.input)
        sampled = metadata.sampled_environment()
        self._environment = settings.environment or sampled
        self._temperature = (
            metadata.training_temperature_K if settings.temperature is None else settings.temperature
        )
        if sampled not in ("", self._environment):
            raise ModelDomainError(
                f"{settings.model} samples environment '{sampled}', and MD in "
                f"'{self._environment}' is other physics; leave --environment out."
            )
        if not _torsions(self._molecule):
            raise StructureError(
                f"'{settings.input}' has no residue with phi and psi, which this benchmark observes; give a peptide."
            )
        self.reference = self._judge()
        self.long_run = None
        if settings.long_run is not None:
            topology = mdtraj.Topology.from_openmm(self._molecule.topology)
            self.long_run = trajectory_reference(settings.long_run, topology)
        self._md_settings = MDBenchmarkSettings(
            settings.input, self._environment, self._temperature, settings.friction, settings.platforms,
            (settings.threads,), seconds=min(20.0, settings.seconds_per_side),
            frame_spacing_ps=settings.frame_spacing_ps, thermalise_ps=settings.thermalise_ps,
        )  # fmt: skip
        self._md_settings.check()

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a result to be continued; a larger number of seeds may be asked for."""
        settings = self._settings
        return {
            "input": input_hash(settings.input, self._molecule),
            "model": sha256_of_file(self._model),
            "environment": self._environment,
            "temperature": self._temperature,
            "substeps": settings.substeps,
            "seconds_per_side": settings.seconds_per_side,
            "jumps": settings.jumps,
            "threads": settings.threads,
            "thermalise_ps": settings.thermalise_ps,
            "frame_spacing_ps": settings.frame_spacing_ps,
            "friction": settings.friction,
            "machine": f"{machine_info.node()}, {os.cpu_count()} cores",
        }

    def _judge(self) -> TorsionReference | None:
        """The given reference, or the shipped one where it is of this molecule, environment and temperature."""
        topology = mdtraj.Topology.from_openmm(self._molecule.topology)
        if self._settings.reference is not None:
            return trajectory_reference(self._settings.reference, topology)
        names = "-".join(residue.name for residue in self._molecule.topology.residues())
        shipped = shipped_reference(names, self._environment)
        same = shipped is not None and shipped.details.get("temperature_K") == self._temperature
        return shipped if same else None

    def check_md_file(self) -> None:
        """A file of `benchmark md` that can't be used is told before anything is timed."""
        if self._settings.md is not None:
            self._check_md(read_result(self._settings.md, "md", MD_FORMAT), self._settings.md)

    def choose_md(self, report: Report) -> dict[str, Any]:
        """Platform and time step of MD at its best, and where that is known from."""
        path = self._settings.md
        if path is None:
            result = benchmark_md(self._md_settings, report)
        else:
            result = read_result(path, "md", MD_FORMAT)
            self._check_md(result, path)
        names = ("platform", "threads", "time_step_fs", "ns_per_day", "ns_per_day_range", "checks")
        chosen = {name: result["fastest"].get(name) for name in names}
        return jsonable(
            {**chosen, "candidates": result["candidates"], "source": str(path or "measured here")}
        )

    def _check_md(self, result: dict[str, Any], path: Path) -> None:
        wanted = {
            "environment": (result["settings"]["environment"], self._environment),
            "temperature": (result["settings"]["temperature"], self._temperature),
            "friction": (result["settings"]["friction"], self._settings.friction),
        }
        if result["input_sha256"] != self.identity["input"]:
            raise ConfigError(
                f"'{path}' is of another molecule ({result['molecule']['name']}) than {self._settings.input}; run "
                "`benchmark md` for it or leave --md out."
            )
        for name, (found, needed) in wanted.items():
            if found != needed:
                raise ConfigError(
                    f"'{path}' is of {name} {found}, and this benchmark of {needed}; run `benchmark md` for it or "
                    "leave --md out."
                )
        if result["fastest"]["threads"] > self._settings.threads:
            raise ConfigError(
                f"The fastest MD in '{path}' takes {result['fastest']['threads']} threads and --threads is "
                f"{self._settings.threads}; run `benchmark md --threads {self._settings.threads}`."
            )

    def choose_unisim(self, report: Report) -> dict[str, Any]:
        """The platform on which jumps are fastest."""
        settings = self._settings
        engines = list_engines(settings.platforms, (settings.threads,))
        record: dict[str, Any] = {"model": settings.model, "path": str(self._model), "platforms": {}}
        task = {
            **self._jump_task(seed=1),
            "seconds": min(_CHOICE_S, settings.seconds_per_side),
            "thermalise": min(1.0, settings.thermalise_ps),
        }
        rates: dict[Engine, float] = {}
        failures: dict[Engine, Outcome] = {}
        for _ in range(_CHOICE_TURNS if len(engines) > 1 else 1):
            for engine in engines:
                report(f"timing jumps on {engine.label}")
                outcome = run_isolated("time_jumps", task, engine, _START_UP_S)
                record["platforms"].setdefault(engine.label, []).append(
                    outcome.result or {"failure": outcome.failure}
                )
                if outcome.result is None:
                    failures[engine] = outcome
                    continue
                seconds = outcome.result["seconds_per_jump"]
                rates[engine] = min(seconds, rates.get(engine, seconds))
        if not rates:
            engine, outcome = next(iter(failures.items()))
            raise outcome.as_error("time_jumps", engine)
        return {**record, **asdict(min(rates, key=lambda engine: rates[engine]))}

    def _jump_task(self, seed: int) -> dict[str, Any]:
        settings = self._settings
        return {
            "input": settings.input,
            "model": str(self._model),
            "environment": self._environment,
            "temperature": self._temperature,
            "substeps": settings.substeps,
            "thermalise": settings.thermalise_ps,
            "seed": seed,
            "seconds": settings.seconds_per_side,
            "jumps": settings.jumps,
        }

    def sample_unisim(self, record: dict[str, Any], seed: int) -> dict[str, Any]:
        """A run of jumps."""
        engine = Engine(record["unisim"]["platform"], record["unisim"]["threads"])
        patience = 3.0 * self._settings.seconds_per_side + 10.0 * (self._settings.jumps or 0) + _START_UP_S
        return run_or_raise("sample_jumps", self._jump_task(seed), engine, patience)

    def sample_md(self, record: dict[str, Any], seed: int) -> dict[str, Any]:
        """A run of MD: of the settings' wall time, or of as much as the jumps of the same seed took."""
        jumps = next(run for run in record["runs"] if (run["side"], run["seed"]) == ("unisim", seed))
        seconds = jumps["times_s"]["sampling"] if self._settings.jumps else self._settings.seconds_per_side
        task = {
            **self._md_settings.task(),
            "seed": seed,
            "time_step": record["md"]["time_step_fs"],
            "seconds": seconds,
            "frame_spacing": self._settings.frame_spacing_ps,
            "energies": False,
        }
        engine = Engine(record["md"]["platform"], record["md"]["threads"])
        return run_or_raise("sample_md", task, engine, 3.0 * seconds + _START_UP_S)


def _torsions(molecule: Molecule) -> list[Any]:
    frame = molecule.positions[None].astype(np.float32)
    return backbone_torsions(frame, mdtraj.Topology.from_openmm(molecule.topology))
