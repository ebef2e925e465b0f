"""A model and a molecule, ready to jump: what the benchmarks of a jump start from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray

from ...errors import NonFiniteError
from ...export.metadata import ModelMetadata, read_metadata
from ...integrator import UniSimIntegrator
from ...pretrained.registry import resolve_model
from ...provenance import sha256_of_file
from ...simulation.relaxation import SMALL_MOLECULE, MDProtocol, thermalise
from ...system import Molecule, create_system, get_platform, load_molecule

__all__ = ["JumpSetup", "platforms_here", "prepare", "require_whole_jumps"]

PS_PER_MS_TO_NS_PER_DAY = 86400.0  # lag time in ps over ms of a jump


@dataclass(frozen=True)
class JumpSetup:
    """Attributes
    ----------
    name : str
        As the model was asked for.
    path : Path
    metadata : ModelMetadata
    molecule : Molecule
    system : openmm.System
    positions : ndarray, shape (n_atoms, 3), nm
        Thermalised.
    substeps : int
    """

    name: str
    path: Path
    metadata: ModelMetadata
    molecule: Molecule
    system: openmm.System
    positions: NDArray[np.float64]
    substeps: int

    def context(self, platform: str, threads: int = 0) -> openmm.Context:
        """A Context with a `UniSimIntegrator`, at the start.

        Parameters
        ----------
        platform : str
        threads : int
            Of the network, and of the CPU platform; 0 leaves both to choose.
        """
        kelvin = self.metadata.training_temperature_K
        integrator = UniSimIntegrator(
            self.path, self.molecule.topology, kelvin, self.substeps, randomNumberSeed=1
        )
        integrator.setNumThreads(threads)
        properties = {"Threads": str(threads)} if threads and platform == "CPU" else {}
        context = openmm.Context(self.system, integrator, get_platform(platform), properties)
        context.setPositions(self.positions)
        return context

    def nominal_ns_per_day(self, milliseconds: float) -> float:
        """Lag time per day of a jump that takes so long."""
        return self.metadata.lag_time_ps / milliseconds * PS_PER_MS_TO_NS_PER_DAY

    def record(self) -> dict[str, Any]:
        """What was timed."""
        return {
            "molecule": {"name": self.molecule.name, "n_atoms": len(self.positions)},
            "model": {
                "name": self.name,
                "sha256": sha256_of_file(self.path),
                "lag_time_ps": self.metadata.lag_time_ps,
                "calls_operators": bool(self.metadata.operators),
            },
            "substeps": self.substeps,
        }


def prepare(model: str, input: str, substeps: int, thermalise_ps: float) -> JumpSetup:
    """Load a model and a molecule of any size, and thermalise it.

    Parameters
    ----------
    model : str
        Registered name or path.
    input : str
        As for `load_molecule`.
    substeps : int
        0: the model's default.
    thermalise_ps : float
        MD before the first jump.
    """
    path = Path(resolve_model(model))
    metadata = read_metadata(path)
    molecule = load_molecule(input)
    system = create_system(molecule, metadata.environment)
    platform = "Reference" if len(molecule.positions) < SMALL_MOLECULE else "CPU"
    protocol = MDProtocol(metadata.environment, metadata.training_temperature_K)
    start = thermalise(molecule, system, protocol, thermalise_ps, (1, 2), platform)
    return JumpSetup(
        str(model), path, metadata, molecule, system, start.positions, substeps or metadata.default_substeps
    )


def require_whole_jumps(integrator: UniSimIntegrator, name: str) -> None:
    """Refuse timings of jumps that ended early."""
    if integrator.getNumNaN() > 0:
        raise NonFiniteError(
            f"{integrator.getNumNaN()} jumps of {name} ended early with NaN, so their times would be too short; use "
            "a model that knows this molecule."
        )


def platforms_here(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The wanted platforms; Reference and, if it is here, CPU, if none is."""
    for name in wanted:
        get_platform(name)
    there = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    return wanted or tuple(name for name in ("Reference", "CPU") if name in there)
