"""`openmm-unisim benchmark md`: the fastest MD that passes its checks, and what it is worth in samples.

1. Every engine (platform, threads) times every time step in a process of its own, in turn, several times.
2. The fastest candidate samples for the given time; a run of 2 fs on a trusted platform does the same.
3. If a check fails (`validation`), the candidate is listed as failed with the reason, and the next one is tried.
4. Effective samples per second of every observable (`observables`) from that sample, or from a given long one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, UniSimError, check_choice
from ..evaluation.page.jsonable import jsonable
from ..provenance import provenance
from ..simulation.preparation import derive_seeds, input_hash
from ..simulation.relaxation import SMALL_MOLECULE, MDProtocol, thermalise
from ..system import ENVIRONMENTS, Molecule, load_molecule
from .candidates import Engine, list_engines
from .isolation import run_isolated, run_or_raise
from .observables import ESTIMATOR, ObservableSamples, measure_observables, slowest
from .validation import check_agreement, check_sample, first_failure

__all__ = ["MD_FORMAT", "MDBenchmarkSettings", "benchmark_md", "spread"]

MD_FORMAT = 1
BASELINE_TIME_STEP_FS = 2.0
_START_UP_S = 240.0  # patience beyond the measured time: imports, kernels to compile, a busy machine
_PS_PER_S = 1.0 / 86.4  # of 1 ns/day

Report = Callable[[str], None]


@dataclass(frozen=True)
class MDBenchmarkSettings:
    """What `benchmark_md` is asked to do.

    Attributes
    ----------
    input : str
        As for `load_molecule`.
    environment : str
    temperature, friction : float
        K; 1/ps. Low friction is faster and no longer the kinetics of the models' training data.
    platforms, threads : tuple
        To try (`list_engines`); empty: all.
    time_steps : tuple of float
        fs.
    repeats : int
        Timings of each candidate.
    repeat_seconds : float
        Wall time of each.
    seconds : float
        Wall time of the sample of the fastest candidate, and of that of 2 fs.
    frame_spacing_ps, thermalise_ps : float
    seed : int
    reference : Path or None
        Long trajectory to take correlation times from, instead of the sample.
    """

    input: str
    environment: str = "obc2"
    temperature: float = 300.0
    friction: float = 1.0
    platforms: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    time_steps: tuple[float, ...] = (2.0, 4.0, 5.0)
    repeats: int = 5
    repeat_seconds: float = 0.5
    seconds: float = 60.0
    frame_spacing_ps: float = 1.0
    thermalise_ps: float = 50.0
    seed: int = 1
    reference: Path | None = None

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        check_choice("Environment", self.environment, ENVIRONMENTS)
        for name in ("temperature", "friction", "repeat_seconds", "seconds", "frame_spacing_ps"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value} must be a positive number.")
        for name in ("repeats", "seed"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least 1.")
        if not self.time_steps or not all(0 < step < 100 for step in self.time_steps):
            raise ConfigError(f"Time steps {self.time_steps} must be numbers of fs, such as 2, 4.")

    def task(self) -> dict[str, Any]:
        """What all tasks of the worker read."""
        names = ("input", "environment", "temperature", "friction", "seed")
        return {**{name: getattr(self, name) for name in names}, "thermalise": self.thermalise_ps}


def benchmark_md(settings: MDBenchmarkSettings, report: Report = lambda text: None) -> dict[str, Any]:
    """Find the fastest correct MD.

    Parameters
    ----------
    settings : MDBenchmarkSettings
    report : callable, optional
        Told what is being done.

    Returns
    -------
    dict
        Plain values: ``candidates`` (fastest first, each with ``status`` and ``reason``), ``fastest``,
        ``validation``, ``effective_samples``, ``provenance``.

    Raises
    ------
    UniSimError
        If the input can't be used, or no candidate passes.
    """
    settings.check()
    engines = list_engines(settings.platforms, settings.threads)
    molecule = load_molecule(settings.input)
    given = None if settings.reference is None else _reference_samples(settings.reference, molecule)
    report("MD to a start structure")
    start = _start(settings, molecule)
    candidates: list[dict[str, Any]] = []
    for engine in engines:
        report(f"timing {engine.label}")
        candidates += _time_engine(settings, engine, start)
    candidates.sort(key=lambda candidate: -(candidate["ns_per_day"] or 0.0))
    winner, sample, validation = _validate(settings, candidates, len(start), report)
    rate = winner["ns_per_day"] * _PS_PER_S
    return jsonable(
        {
            "format": MD_FORMAT,
            "benchmark": "md",
            "settings": asdict(settings),
            "input_sha256": input_hash(settings.input, molecule),
            "molecule": {"name": molecule.name, "n_atoms": len(start)},
            "protocol": asdict(_protocol(settings, winner["time_step_fs"])),
            "candidates": candidates,
            "fastest": winner,
            "validation": validation,
            "effective_samples": _effective_samples(sample, given, rate),
            "provenance": provenance(seed=settings.seed),
        }
    )


def _protocol(settings: MDBenchmarkSettings, time_step_fs: float = 4.0) -> MDProtocol:
    return MDProtocol.run_well(
        settings.environment,
        settings.temperature,
        time_step_fs=time_step_fs,
        friction_per_ps=settings.friction,
    )


def _trusted(n_atoms: int, threads: tuple[int, ...]) -> Engine:
    """Double precision where it is fast enough."""
    return Engine("Reference", 1) if n_atoms < SMALL_MOLECULE else Engine("CPU", max(threads or (1,)))


def _start(settings: MDBenchmarkSettings, molecule: Molecule) -> NDArray[np.float64]:
    """A thermalised structure, shape (n_atoms, 3), nm."""
    protocol = _protocol(settings, BASELINE_TIME_STEP_FS)
    engine = _trusted(len(molecule.positions), settings.threads)
    seeds = derive_seeds(settings.seed)[:2]
    duration = min(10.0, settings.thermalise_ps)
    return thermalise(
        molecule, protocol.system(molecule), protocol, duration, seeds, engine.platform
    ).positions


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and largest of repeated measurements."""
    return {"median": float(np.median(values)), "least": min(values), "largest": max(values)}


def _time_engine(
    settings: MDBenchmarkSettings, engine: Engine, start: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """A candidate for each time step."""
    task = {
        **settings.task(),
        "positions": start.tolist(),
        "time_steps": settings.time_steps,
        "repeats": settings.repeats,
        "seconds": settings.repeat_seconds,
    }
    measured = (settings.repeats + 1) * settings.repeat_seconds * len(settings.time_steps)
    outcome = run_isolated("time_md", task, engine, 3.0 * measured + _START_UP_S)
    found = []
    for time_step in settings.time_steps:
        candidate: dict[str, Any] = {
            "engine": engine.label,
            "platform": engine.platform,
            "threads": engine.threads,
            "time_step_fs": time_step,
            "ns_per_day": None,
            "status": "failed",
            "reason": outcome.failure,
        }
        if outcome.result is not None:
            candidate |= _timing(outcome.result, f"{time_step:g}")
        found.append(candidate)
    return found


def _timing(result: dict[str, Any], time_step: str) -> dict[str, Any]:
    """Speeds of a candidate, and whether its platform computes what Reference computes."""
    timed, checks = result["time_steps"][time_step], check_agreement(result["agreement"])
    reason = first_failure(checks) or timed.get("failure", "")
    record: dict[str, Any] = {
        "status": "failed" if reason else "timed",
        "reason": reason,
        "checks": [check.as_dict() for check in checks],
    }
    if timed["speeds"]:
        wall = spread([speed["ns_per_day"] for speed in timed["speeds"]])
        processor = spread([speed["ns_per_cpu_day"] for speed in timed["speeds"]])
        record |= {
            "ns_per_day": wall["median"],
            "ns_per_day_range": [wall["least"], wall["largest"]],
            "ns_per_cpu_day": processor["median"],
        }
    return record


def _validate(
    settings: MDBenchmarkSettings, candidates: list[dict[str, Any]], n_atoms: int, report: Report
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The fastest candidate that passes its checks, its sample, and the record of the comparison."""
    engine = _trusted(n_atoms, settings.threads)
    report(f"sampling {BASELINE_TIME_STEP_FS:g} fs on {engine.label}")
    baseline = _sample(settings, engine, BASELINE_TIME_STEP_FS, settings.seed + 1)
    for candidate in candidates:
        if candidate["status"] != "timed":
            continue
        report(f"sampling {candidate['time_step_fs']:g} fs on {candidate['engine']}")
        try:
            sample = _sample(
                settings,
                Engine(candidate["platform"], candidate["threads"]),
                candidate["time_step_fs"],
                settings.seed,
            )
        except UniSimError as error:
            candidate |= {"status": "failed", "reason": str(error)}
            continue
        checks = check_sample(sample, baseline, settings.temperature)
        candidate["checks"] = [*candidate["checks"], *(check.as_dict() for check in checks)]
        reason = first_failure(checks)
        if not reason:
            candidate["status"] = "fastest"
            record = {"baseline": engine.label, "time_step_fs": BASELINE_TIME_STEP_FS}
            frames = {"baseline_frames": baseline["n_frames"], "frames": sample["n_frames"]}
            return candidate, sample, {**record, **frames, "checks": [check.as_dict() for check in checks]}
        candidate |= {"status": "failed", "reason": reason}
    reasons = "; ".join(f"{c['engine']}, {c['time_step_fs']:g} fs: {c['reason']}" for c in candidates[:3])
    raise UniSimError(
        f"No MD of '{settings.input}' passed its checks ({reasons}); try shorter --time-steps or other --platforms."
    )


def _sample(settings: MDBenchmarkSettings, engine: Engine, time_step: float, seed: int) -> dict[str, Any]:
    task = {
        **settings.task(),
        "seed": seed,
        "time_step": time_step,
        "seconds": settings.seconds,
        "frame_spacing": settings.frame_spacing_ps,
        "energies": True,
    }
    return run_or_raise("sample_md", task, engine, 3.0 * settings.seconds + _START_UP_S)


@dataclass(frozen=True)
class _GivenSamples:
    """Observables of a long trajectory of known frame spacing, ps."""

    name: str
    frame_spacing_ps: float
    samples: list[ObservableSamples]


def _reference_samples(path: Path, molecule: Molecule) -> _GivenSamples:
    import mdtraj

    from ..evaluation.reference import trajectory_reference

    reference = trajectory_reference(path, mdtraj.Topology.from_openmm(molecule.topology))
    if reference.frame_spacing_ps is None:
        raise ConfigError(
            f"'{path}' doesn't say how far apart its frames are; give a trajectory with times, or none."
        )
    torsions = [{"label": r.label, "phi": r.phi, "psi": r.psi} for r in reference.torsions]
    return _GivenSamples(str(path), reference.frame_spacing_ps, measure_observables(torsions))


def _effective_samples(
    sample: dict[str, Any], given: _GivenSamples | None, ps_per_s: float
) -> dict[str, Any]:
    """Effective samples per second of each observable, and of the slowest.

    ESS/s = speed / (g * frame spacing): speed from the timings, g and spacing from the trajectory.
    """
    spacing = sample["frame_spacing_ps"] if given is None else given.frame_spacing_ps
    observables = measure_observables(sample["torsions"]) if given is None else given.samples
    rows = []
    for item in observables:
        time_ps = None if item.inefficiency is None else item.inefficiency * spacing
        rate = None if time_ps is None else ps_per_s / time_ps
        rows.append({**item.as_dict(), "ps_per_effective_sample": time_ps, "ess_per_s": rate})
    if not rows:
        missing = {"name": "none", "ess_per_s": None, "reason": "no residue has both phi and psi"}
        return {"estimator": ESTIMATOR, "slowest": missing, "observables": []}
    name = slowest(observables).name
    return {
        "source": "sample of the fastest candidate" if given is None else given.name,
        "frame_spacing_ps": spacing,
        "estimator": ESTIMATOR,
        "slowest": next(row for row in rows if row["name"] == name),
        "observables": rows,
    }
