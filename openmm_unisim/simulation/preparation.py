"""All that can be refused is refused here, before any time is spent: input, model, platform, settings."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openmm

from ..elements import hill_formula
from ..errors import ConfigError, check_choice
from ..export.metadata import GUIDANCE_SOURCES, GuidanceName, ModelMetadata, read_metadata
from ..pretrained.registry import resolve_model
from ..provenance import sha256_of_file
from ..repair import repair_structure
from ..system import ENVIRONMENTS, HYDROGEN_MASS, Molecule, get_platform, load_molecule
from .guidance_settings import GuidanceSettings
from .quality import POLICIES
from .refinement import RestrainedRefinement
from .relaxation import SMALL_MOLECULE, MDProtocol

__all__ = ["PreparedRun", "RunSettings", "prepare_run"]


@dataclass(frozen=True)
class RunSettings:
    """What `run_simulation` is asked to do.

    Attributes
    ----------
    input : str
        PDB, mmCIF or prmtop file, or a capped sequence such as ACE-ALA-NME.
    model : str
        Registered name or path of a model file.
    output : Path
        Run folder.
    jumps : int
        Number of jumps in all (a resumed run may raise it).
    environment : str or None
        "vacuum" or "obc2"; None is the model's, or where its guidance leads.
    temperature : float or None
        K; None is the temperature of the model's training.
    substeps : int
        Network evaluations in a jump; 0 is the model's default.
    seed : int
        One seed for everything; at least 1.
    platform : str or None
        OpenMM platform; None is Reference below 50 atoms, CPU above.
    policy : {"reject", "stop", "keep"}
        For broken proposals (`openmm_unisim.simulation.guard`).
    thermalise_ps : float
        MD before the first jump.
    md_timing_s : float
        Wall time spent on timing MD for comparison; 0 for none.
    checkpoint_interval : int
        Jumps between checkpoints.
    repair : bool
        Complete a PDB or mmCIF file first (`repair_structure`).
    guidance_scale : float or None
        Strength of the model's guidance, 0 for none; None is the model's default.
    guidance : GuidanceSettings
        Where guidance comes from, and what belongs to it.
    refine : bool
        Minimise after each jump, held by a restraint (`openmm_unisim.simulation.refinement`).
    """

    input: str
    model: str
    output: Path
    jumps: int
    environment: str | None = None
    temperature: float | None = None
    substeps: int = 0
    seed: int = 1
    platform: str | None = None
    policy: str = "reject"
    thermalise_ps: float = 50.0
    md_timing_s: float = 2.5
    checkpoint_interval: int = 100
    repair: bool = False
    guidance_scale: float | None = None
    guidance: GuidanceSettings = field(default_factory=GuidanceSettings)
    refine: bool = False

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense."""
        for name, least in (("jumps", 1), ("seed", 1), ("checkpoint_interval", 1), ("substeps", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least {least}.")
        check_choice("Policy", self.policy, POLICIES)


@dataclass
class PreparedRun:
    """A run that nothing stands in the way of.

    Attributes
    ----------
    settings : RunSettings
    molecule : Molecule
    model_path : Path
    metadata : ModelMetadata
    protocol : MDProtocol
        Of the thermalisation: bonds and hydrogen mass as in the model's training.
    system : openmm.System
    integrator : UniSimIntegrator
    platform : str
    identity : dict
        What must be the same for a run to be resumed.
    seeds : tuple of int
        First velocities, Langevin noise, jump noise; each in 1 .. 2^31 - 1.
    warnings : list of str
    refinement : RestrainedRefinement or None
        Part of the System already.
    """

    settings: RunSettings
    molecule: Molecule
    model_path: Path
    metadata: ModelMetadata
    protocol: MDProtocol
    system: openmm.System
    integrator: Any
    platform: str
    identity: dict[str, Any]
    seeds: tuple[int, int, int]
    warnings: list[str] = field(default_factory=list)
    refinement: RestrainedRefinement | None = None


def derive_seeds(seed: int) -> tuple[int, int, int]:
    """Three independent OpenMM seeds (1 .. 2^31 - 1; OpenMM's 0 would mean a random one) from one."""
    words = np.random.SeedSequence(seed).generate_state(3, dtype=np.uint32)
    first, second, third = (int(word) % (2**31 - 1) + 1 for word in words)
    return first, second, third


def load_input(settings: RunSettings) -> Molecule:
    """The molecule of a run, completed where that is asked for."""
    return repair_structure(settings.input) if settings.repair else load_molecule(settings.input)


def prepare_run(settings: RunSettings) -> PreparedRun:
    """Check the settings against the molecule, the model and this machine.

    Raises
    ------
    UniSimError
        One of its subclasses, naming what is wrong and what to do.
    """
    settings.check()
    model_path = Path(resolve_model(settings.model))
    metadata = read_metadata(model_path)
    source = settings.guidance.check(metadata)
    molecule = load_input(settings)
    warnings: list[str] = []
    protocol = _protocol(settings, metadata, source, warnings)
    seeds = derive_seeds(settings.seed)
    integrator = _integrator(settings, molecule, model_path, protocol.temperature_K, seeds[2], source)
    platform = settings.platform or ("Reference" if len(molecule.positions) < SMALL_MOLECULE else "CPU")
    get_platform(platform)
    _warn_of_another_molecule(molecule, metadata, warnings)
    system = protocol.system(molecule)
    settings.guidance.apply(integrator, system, source)
    if settings.guidance.forces and metadata.guidance_environment in ENVIRONMENTS:
        warnings.append(
            f"The model's guidance was calibrated for '{metadata.guidance_environment}', and other forces guide: "
            "their strength is that one's. `openmm-unisim calibrate-guidance --force` finds their own."
        )
    refinement = _refinement(settings, molecule, system, warnings)
    substeps = settings.substeps or metadata.default_substeps
    identity = _identity(settings, molecule, model_path, protocol, platform, substeps)
    return PreparedRun(
        settings, molecule, model_path, metadata, protocol, system, integrator, platform, identity, seeds,
        warnings, refinement,
    )  # fmt: skip


def _refinement(
    settings: RunSettings, molecule: Molecule, system: openmm.System, warnings: list[str]
) -> RestrainedRefinement | None:
    """The refinement, its restraint added to the System before any Context is made of it."""
    if not settings.refine:
        return None
    refinement = RestrainedRefinement(molecule.topology)
    refinement.addToSystem(system)
    warnings.append(
        "Each jump is followed by a minimisation, which takes thermal motion out: don't read energies, bond lengths or "
        "populations off the refined structures."
    )
    return refinement


def _warn_of_another_molecule(molecule: Molecule, metadata: ModelMetadata, warnings: list[str]) -> None:
    """A model that names one formula knows that molecule only; elements alone can't tell."""
    formula = hill_formula(molecule.atomic_numbers)
    if "formula " in metadata.training_data and f"formula {formula}," not in metadata.training_data:
        warnings.append(
            f"The model was trained on {metadata.training_data}, and this molecule is {formula}; "
            "nothing is known of how good its jumps are there."
        )


def _protocol(
    settings: RunSettings, metadata: ModelMetadata, source: GuidanceName, warnings: list[str]
) -> MDProtocol:
    temperature = metadata.training_temperature_K if settings.temperature is None else settings.temperature
    sampled = metadata.sampled_environment(settings.guidance_scale, source)
    if settings.guidance.forces or sampled not in ENVIRONMENTS:
        sampled = metadata.environment  # guided to forces of the user's
    environment = settings.environment or sampled
    check_choice("Environment", environment, ENVIRONMENTS)
    if environment != sampled:
        made_for = "was trained in" if sampled == metadata.environment else "is guided to"
        warnings.append(
            f"The model {made_for} environment '{sampled}' and this run's is '{environment}'; the jumps go on sampling "
            f"'{sampled}'."
        )
    if sampled != metadata.environment:
        warnings.append(
            f"The model was trained in '{metadata.environment}' and is guided to '{sampled}': populations follow, "
            "kinetics don't, and what the training data never visited is missing."
        )
    return MDProtocol(
        environment,
        temperature,
        friction_per_ps=metadata.friction or 1.0,
        hydrogen_mass_amu=_hydrogen_mass(metadata.masses, warnings),
        constraints=metadata.constraints,
    )


def _integrator(
    settings: RunSettings,
    molecule: Molecule,
    model_path: Path,
    temperature: float,
    seed: int,
    source: GuidanceName,
) -> Any:
    """The integrator, which checks elements, hydrogens, temperature and substeps against the model."""
    from ..integrator import UniSimIntegrator  # loads the compiled plugin and torch

    integrator = UniSimIntegrator(
        model_path, molecule.topology, temperature, numSubsteps=settings.substeps, randomNumberSeed=seed
    )
    # The run's own monitor counts proposals that turn a stereocentre over, and its policy decides.
    integrator.setKeepsStereocenters(False)
    integrator.setGuidanceSource(GUIDANCE_SOURCES.index(source))
    if settings.guidance_scale is not None:
        integrator.setGuidanceScale(settings.guidance_scale)
    return integrator


def _hydrogen_mass(masses: str, warnings: list[str]) -> float:
    """Hydrogen mass (Da) from the metadata's description of masses, such as "hydrogen 4 Da"."""
    number = re.search(r"\d+(\.\d+)?", masses)
    if number is None:
        warnings.append(
            f"The model's masses are '{masses}', which names no hydrogen mass; {HYDROGEN_MASS:g} Da is used."
        )
        return HYDROGEN_MASS
    return float(number.group())


def _identity(
    settings: RunSettings,
    molecule: Molecule,
    model_path: Path,
    protocol: MDProtocol,
    platform: str,
    substeps: int,
) -> dict[str, Any]:
    asked = {} if settings.guidance_scale is None else {"guidance_scale": settings.guidance_scale}
    if settings.refine:
        asked["refine"] = True
    return (
        asked
        | settings.guidance.identity()
        | {
            "input": input_hash(settings.input, molecule),
            "model": sha256_of_file(model_path),
            "environment": protocol.environment,
            "temperature": protocol.temperature_K,
            "substeps": substeps,
            "seed": settings.seed,
            "platform": platform,
            "policy": settings.policy,
            "thermalise": settings.thermalise_ps,
        }
    )


def input_hash(source: str, molecule: Molecule) -> str:
    """SHA-256 of what identifies the input: atoms (names, elements, residues), bonds, bytes of the file."""
    atoms = [
        (a.name, a.element.symbol, a.residue.name, a.residue.id, a.residue.chain.id)
        for a in molecule.topology.atoms()
    ]
    text = repr(atoms) + repr(molecule.bonds.tolist())
    if Path(source).is_file():
        text += sha256_of_file(source)
    return hashlib.sha256(text.encode()).hexdigest()
