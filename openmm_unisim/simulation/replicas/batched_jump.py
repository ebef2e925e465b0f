"""One jump of all copies: what the settings of a `UniSimIntegrator` mean for a batch."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ...errors import ConfigError
from ...export.metadata import GUIDANCE_SOURCES, ModelMetadata, read_metadata
from ...pretrained.registry import resolve_model
from ..guidance import Resampling, draw_proposal
from ..reference import Proposal, ReferenceJump
from .shared_context import SharedContext
from .torch_scope import torch_scope

__all__ = ["BatchedJump", "metropolis_mode"]

_SMALL_MOLECULE = 200  # atoms; arrays of fewer are too small to share out among threads (UniSimJump.cpp)
_ALL_GROUPS = 0xFFFFFFFF


def metropolis_mode(model: Any) -> bool:
    """Whether `model` is an integrator in Metropolis mode."""
    if not isinstance(model, openmm.Integrator):
        return False
    kind = _integrator_class()
    return bool(kind.cast(model).getAcceptanceMode() == kind.MetropolisHastings)


def _integrator_class() -> Any:
    from ...integrator import UniSimIntegrator  # loads the compiled plugin

    return UniSimIntegrator


class BatchedJump:
    """Proposes jumps for all copies with one call of the model for each substep.

    Parameters
    ----------
    topology, system, model
        As for `ReplicaSimulation`.
    exact : bool
        The jumps are proposals for Metropolis acceptance.
    temperature, substeps, seed
        For a model that is no integrator.
    device : str
    threads : int

    Attributes
    ----------
    integrator : UniSimIntegrator
        Checks everything, and never steps.
    law : ReferenceJump
        Once `connect` was called.
    particles : ndarray of int, shape (n_jumping,)
        Those that jump; the others are virtual sites.
    """

    def __init__(
        self,
        topology: app.Topology,
        system: openmm.System,
        model: Any,
        exact: bool,
        temperature: Any,
        substeps: int,
        seed: int,
        device: str,
        threads: int,
    ):
        self._exact, self._device, self._asked_threads, self._system = exact, device, threads, system
        self.integrator = _integrator(topology, model, exact, temperature, substeps, seed)
        everything = range(system.getNumParticles())
        self.particles = np.array(self.integrator.getParticles() or everything, dtype=np.int64)
        left = sorted(set(everything) - set(self.particles.tolist()))
        still = [index for index in left if not system.isVirtualSite(index)]
        if still:
            raise ConfigError(
                f"Particle {still[0]} is no virtual site and doesn't jump; copies are of whole molecules, so let all "
                "particles jump, or use a Simulation with a UniSimIntegrator."
            )

    def connect(self, shared: SharedContext) -> None:
        """Set up the law of the jump; forces for guidance come from the shared Context."""
        integrator = self.integrator
        metadata = read_metadata(integrator.getModelFile())
        self.source = GUIDANCE_SOURCES[integrator.getGuidanceSource()]
        order = {int(particle): index for index, particle in enumerate(self.particles)}
        box = self._system.getDefaultPeriodicBoxVectors()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the integrator has warned of the temperature
            self.law = ReferenceJump(
                integrator.getModelFile(),
                atomic_numbers=list(integrator.getAtomicNumbers()),
                bonds=[(order[a], order[b]) for a, b in integrator.getBonds()],
                temperature=integrator.getTemperature()._value,
                n_substeps=integrator.getNumSubsteps(),
                guidance_scale=integrator.getGuidanceScale(),
                guidance_source=self.source,
                **self._forces(shared, metadata),
                box_vectors=[list(vector._value) for vector in box] if metadata.periodic else None,
                device=self._device,
                exact=self._exact,
            )
        small = len(self.particles) < _SMALL_MOLECULE or metadata.operators
        self._threads = self._asked_threads or integrator.getNumThreads() or int(bool(small))

    def propose(self, positions: NDArray[np.float64], seeds: NDArray[np.int64], step: int) -> Proposal:
        """Propose a jump of each copy.

        Parameters
        ----------
        positions : ndarray, shape (n_copies, n_particles, 3), nm
        seeds : ndarray of int, shape (n_copies,)
        step : int
            Number of the jump, from 0.
        """
        with torch_scope(self._threads):
            return draw_proposal(self.law, positions[:, self.particles], seeds, step)

    def _forces(self, shared: SharedContext, metadata: ModelMetadata) -> dict[str, Any]:
        """What the law asks of OpenMM: the whole potential for force means, else what guides it."""
        whole = metadata.force_means_nm > 0
        guided = self.integrator.getGuidanceScale() > 0 and self.source not in ("none", "learned")
        if not whole and not guided:
            return {}
        if len(self.particles) < self._system.getNumParticles():
            raise ConfigError(
                "OpenMM's forces and energies of jumps are of atoms only, and this System has virtual sites; use a "
                "System without them"
                + (", or a model without force means." if whole else ", or set the guidance scale to 0.")
            )
        if whole:
            every = self.integrator.getIntegrationForceGroups() & _ALL_GROUPS
            return {"forces": lambda positions: shared.forces(positions, every)}
        groups = self.integrator.getGuidanceForceGroups() & _ALL_GROUPS
        limit = self.integrator.getGuidanceForceLimit()
        found: dict[str, Any] = {
            "forces": lambda positions: shared.forces(positions, groups),
            "force_limit": limit.value_in_unit(unit.kilojoule_per_mole / unit.nanometer),
        }
        if self.source == "resample":
            number = self.integrator.getNumResampled()
            found = {"resampling": Resampling(lambda positions: shared.energies(positions, groups), number)}
        return found


def _integrator(
    topology: app.Topology, model: Any, exact: bool, temperature: Any, substeps: int, seed: int
) -> Any:
    """The given integrator, or one of the given name or file."""
    kind = _integrator_class()
    if isinstance(model, openmm.Integrator):
        if temperature is not None or substeps or seed:
            raise ConfigError(
                "Temperature, substeps and seed are the integrator's where one is given; set them there."
            )
        given = kind.cast(model)
        if exact and given.getAcceptanceMode() != kind.MetropolisHastings:
            raise ConfigError(
                "Metropolis acceptance was asked for, and the integrator is in another mode; set its acceptance mode."
            )
        return given
    if not isinstance(model, (str, Path)):
        raise ConfigError(
            f"The model {model!r} is neither a name, nor a file, nor a UniSimIntegrator; give one."
        )
    if temperature is None:
        temperature = read_metadata(resolve_model(model)).training_temperature_K
    mode = kind.MetropolisHastings if exact else kind.AcceptAll
    return kind(model, topology, temperature, substeps, acceptanceMode=mode, randomNumberSeed=seed)
