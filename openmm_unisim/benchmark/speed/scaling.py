"""`openmm-unisim benchmark scaling`: time and memory of the published form from tens to thousands of atoms.

Random weights of the published sizes: time doesn't depend on their values. Each size is measured in processes of its
own: one for time and peak memory of the model file, one for the share of its parts.

=======================  =====================================================================  ====================
figure                   meaning                                                                name here
=======================  =====================================================================  ====================
microseconds an atom     processor time of a step over the atoms                                us_per_atom
cost ratio               the same over that of the size in `REFERENCE_ATOMS`, timed in turn     cost_ratio
                         in the same process
peak memory              largest resident set of the process, torch included                    peak_memory_MiB
=======================  =====================================================================  ====================
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...provenance import provenance
from ..candidates import Engine
from ..isolation import run_or_raise
from .scaling_systems import molecule_of_size
from .scaling_tasks import write_structure

__all__ = ["SCALING_FORMAT", "ScalingSettings", "measure_scaling"]

SCALING_FORMAT = 1
REFERENCE_ATOMS = 1000  # the goal: cost per atom at 10,000 within 1.5 times that at 1,000
CONDITIONED_ATOMS = (22, 50, 100, 200, 400, 800)
LONGEST_STEP_MS, MOST_MEMORY_MIB = 1000.0, 4096.0  # the conditioned form is tried up to here
_PATIENCE_S = 1800.0
_KEPT_SHAPE = 0.01  # scale of the random outputs with which a molecule survives a jump

Report = Callable[[str], None]


@dataclass(frozen=True)
class ScalingSettings:
    """What `measure_scaling` is asked to do.

    Attributes
    ----------
    atoms : tuple of int
        Sizes, about.
    repeats : int
        Timings of each call; medians are reported.
    threads : int
    protein : Path or None
        PDB file to cut from; None is the one that pdbfixer ships.
    jump : bool
        Also jump with `UniSimIntegrator`, at the largest size.
    platform : str
        Of those jumps.
    substeps : int
        Of those jumps.
    conditioned : bool
        Also find where the conditioned form, which joins every pair, gets too slow or large.
    """

    atoms: tuple[int, ...] = (22, 150, 1000, 10000)
    repeats: int = 5
    threads: int = 1
    protein: Path | None = None
    jump: bool = True
    platform: str = "Reference"
    substeps: int = 4
    conditioned: bool = False


def measure_scaling(settings: ScalingSettings, report: Report = lambda _: None) -> dict[str, Any]:
    """Measure all sizes.

    Parameters
    ----------
    settings : ScalingSettings
    report : callable
        Told what is being done.

    Returns
    -------
    dict
        `settings`, `sizes` (one entry each), `jump`, `conditioned` and `provenance`; plain values.
    """
    if not settings.atoms or settings.repeats < 1 or settings.threads < 1 or settings.substeps < 2:
        raise ConfigError(
            "Sizes, repeats, threads and substeps must be positive, substeps at least 2; change them."
        )
    with tempfile.TemporaryDirectory(prefix="unisim-scaling-") as name:
        bench = _Bench(settings, Path(name), report)
        sizes = [bench.size(atoms) for atoms in settings.atoms]
        jump = bench.jump(max(settings.atoms)) if settings.jump else None
        conditioned = bench.conditioned() if settings.conditioned else []
    return {
        "settings": {**asdict(settings), "protein": str(settings.protein or "shipped")},
        "sizes": sizes,
        "jump": jump,
        "conditioned": conditioned,
        "provenance": provenance(seed=1, torch_threads=settings.threads),
    }


class _Bench:
    """Structures and model files in a folder, and the tasks that read them."""

    def __init__(self, settings: ScalingSettings, folder: Path, report: Report):
        self.settings, self.folder, self.report = settings, folder, report
        self.model = folder / "published.unisim.pt"
        report("exporting random weights of the published sizes")
        _export_published(self.model)

    def run(self, kind: str, **task: Any) -> dict[str, Any]:
        """A task in a process of its own."""
        plain = {key: str(value) if isinstance(value, Path) else value for key, value in task.items()}
        common = {"repeats": self.settings.repeats, "threads": self.settings.threads}
        engine = Engine(self.settings.platform, self.settings.threads)
        return run_or_raise(kind, {**common, **plain}, engine, _PATIENCE_S)

    def structure(self, atoms: int) -> Path:
        """PDB file of a molecule of about so many atoms, made once."""
        path = self.folder / f"{atoms}.pdb"
        if not path.is_file():
            self.report(f"building a molecule of about {atoms} atoms")
            write_structure(molecule_of_size(atoms, self.settings.protein), path)
        return path

    def size(self, atoms: int) -> dict[str, Any]:
        """Figures of one size."""
        structure = self.structure(atoms)
        beside = self.structure(REFERENCE_ATOMS) if atoms > REFERENCE_ATOMS else None
        self.report(f"timing {atoms} atoms")
        timed = self.run("time_step", structure=structure, model=self.model, beside=beside)
        profile = self.run("profile_step", structure=structure)
        figures, n_atoms = timed["figures"], timed["n_atoms"]
        entry = {
            **timed,
            "us_per_atom": 1000 * figures["step"]["milliseconds"] / n_atoms,
            "edges_per_atom": profile["edges_per_atom"],
            "profile": profile,
            "shares": _shares(profile["milliseconds"]),
            "cost_ratio": None,
        }
        if beside is not None:
            other = self.run("profile_step", structure=beside)["n_atoms"]
            entry["cost_ratio"] = (
                entry["us_per_atom"] * other / (1000 * figures["step beside"]["milliseconds"])
            )
        return entry

    def jump(self, atoms: int) -> dict[str, Any]:
        """Jumps of the integrator."""
        self.report(f"jumping with {atoms} atoms on {self.settings.platform}")
        structure, substeps = self.structure(atoms), self.settings.substeps
        return self.run("jump_protein", structure=structure, model=self.model, substeps=substeps)

    def conditioned(self) -> list[dict[str, Any]]:
        """Steps of the conditioned form up to its limits."""
        model, found = self.folder / "conditioned.unisim.pt", []
        _export_conditioned(model, self.folder)
        for atoms in CONDITIONED_ATOMS:
            structure = self.structure(atoms)
            self.report(f"conditioned form, {atoms} atoms")
            found.append(self.run("time_step", structure=structure, model=model, beside=None))
            step = found[-1]["figures"]["step"]["milliseconds"]
            if step > LONGEST_STEP_MS or found[-1]["peak_memory_MiB"] > MOST_MEMORY_MIB:
                break
        return found


def _shares(milliseconds: dict[str, float]) -> dict[str, float]:
    total = sum(milliseconds.values())
    return {name: value / total for name, value in milliseconds.items()}


def _export_published(path: Path) -> None:
    from ...export.published import export_published_networks, random_vector_field
    from ...model.config import PublishedConfig

    config = PublishedConfig()
    export_published_networks(random_vector_field(config, scale=_KEPT_SHAPE), config, path)


def _export_conditioned(path: Path, folder: Path) -> None:
    """Random weights at the size of `ala2`."""
    from torch import Generator

    from ...export.conditioned import export_conditioned, save_conditioned
    from ...model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
    from ...model.spread import SpreadHead

    config = ConditionedConfig(filters=32, refine_layers=2, displacement=0.464)
    generator = Generator().manual_seed(1)
    field = ConditionedField(config, generator)
    spread = SpreadHead(config.place_width, TIME_CENTRES, generator=generator)
    protocol = {
        "name": "none", "environment": "vacuum", "force_field": "none", "temperature_K": 300.0,
        "atomic_numbers": [1, 6, 7, 8, 16], "hydrogen_mass_Da": 4.0, "friction_per_ps": 1.0,
    }  # fmt: skip
    weights = folder / "conditioned.safetensors"
    save_conditioned(weights, field, spread, config, 20.0, protocol, {"data": {}})
    export_conditioned(weights, path)
