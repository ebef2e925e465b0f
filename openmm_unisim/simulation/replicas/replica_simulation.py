"""`ReplicaSimulation`: many copies of one molecule, moved by one batched evaluation of the model.

The noise of copy k is that of seed + k, so a copy's trajectory doesn't depend on how many others there are, but for the
rounding of batched arithmetic; it is the one of a `UniSimIntegrator` with that seed.
"""

import hashlib
import io
import math
import secrets
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ...errors import CheckpointError, ConfigError, NonFiniteError, QualityError, check_choice
from ...notices import warn_of_unfelt_forces
from ...pretrained.trust import trust_model, vouches
from ...units import BOLTZMANN
from ...whole_numbers import whole_number
from ..exactness import PathMetropolis
from ..noise import VELOCITIES, standard_normals
from ..quality import QualityLimits, QualityMonitor
from ..refinement import RestrainedRefinement
from .acceptance import ACCEPTANCE_MODES, Acceptance, CheckedAcceptance, MetropolisAcceptance
from .batched_jump import BatchedJump, metropolis_mode
from .checkpoint import ReplicaCheckpoint
from .counts import ReplicaCounts
from .reporting import Replica
from .shared_context import SharedContext

__all__ = ["ReplicaSimulation"]

MAX_CONSECUTIVE_NAN = 20  # as the C++ integrator's limit


class ReplicaSimulation:
    """Copies of one molecule, one batched model evaluation, one OpenMM Context.

    Like `openmm.app.Simulation`, with a copy's number where that matters::

        simulation = ReplicaSimulation(topology, system, "ala2", 16, randomNumberSeed=1)
        simulation.setPositions(positions)
        simulation.addReporters(lambda copy: app.XTCReporter(f"{copy}.xtc", 1))
        simulation.step(1000)

    Parameters
    ----------
    topology : openmm.app.Topology
    system : openmm.System
        Every particle jumps (virtual sites follow). No barostats or thermostats.
    model : str, Path or UniSimIntegrator
        A registered name, a model file, or an integrator that isn't part of a Context yet; its settings are those of
        the copies, and later changes of it don't count.
    numReplicas : int
    platform : openmm.Platform, optional
        Of the Context.
    platformProperties : mapping of str to str, optional
    acceptance : {"all", "quality", "metropolis"}, optional
        "metropolis" if the given integrator is in that mode, else "all" (`acceptance` has the table).
    temperature : float or Quantity, optional
        K; for a name or file: the training temperature unless given.
    numSubsteps : int
        For a name or file; 0 is the model's default.
    randomNumberSeed : int
        For a name or file; 0 chooses one. Copy k has the noise of this seed + firstReplica + k.
    firstReplica : int
        Number of the first copy: for a run that is split into several.
    refinement : RestrainedRefinement, optional
        Part of the System already; applied to each finite proposal, not with "metropolis".
    qualityLimits : QualityLimits, optional
        Of the mode "quality".
    device : str
        Where torch evaluates the model.
    numThreads : int
        Of torch; 0: one for molecules of fewer than 200 atoms and for fused operators, else as many as are set.
    trusted, sha256
        Of a file from elsewhere, as for `UniSimIntegrator`.

    Attributes
    ----------
    topology, system, integrator, context
        The Context holds whichever copy visited it last.
    replicas : list of Replica
        What a copy's reporters see.
    """

    def __init__(
        self,
        topology: app.Topology,
        system: openmm.System,
        model: Any,
        numReplicas: int,
        platform: openmm.Platform | None = None,
        platformProperties: Mapping[str, str] | None = None,
        *,
        acceptance: str | None = None,
        temperature: Any = None,
        numSubsteps: int = 0,
        randomNumberSeed: int = 0,
        firstReplica: int = 0,
        refinement: RestrainedRefinement | None = None,
        qualityLimits: QualityLimits | None = None,
        device: str = "cpu",
        numThreads: int = 0,
        trusted: bool = False,
        sha256: str | None = None,
    ):
        numReplicas = whole_number(numReplicas, "numReplicas")
        firstReplica = whole_number(firstReplica, "firstReplica")
        if numReplicas < 1 or firstReplica < 0:
            text = f"numReplicas = {numReplicas} must be at least 1, and firstReplica = {firstReplica} at least 0."
            raise ConfigError(text)
        self.topology, self.system, self.numReplicas = topology, system, numReplicas
        self.acceptance = check_choice(
            "Acceptance", acceptance or ("metropolis" if metropolis_mode(model) else "all"), ACCEPTANCE_MODES
        )
        if isinstance(model, (str, Path)) and vouches(trusted, sha256):
            trust_model(model, sha256)
        self._jump = BatchedJump(
            topology, system, model, self.acceptance == "metropolis", temperature, numSubsteps, randomNumberSeed,
            device, numThreads,
        )  # fmt: skip
        self.integrator = self._jump.integrator
        self._shared = SharedContext(system, self.integrator, platform, platformProperties)
        self.context = self._shared.context
        self._system_digest = hashlib.sha256(openmm.XmlSerializer.serialize(system).encode()).hexdigest()[:16]
        self._jump.connect(self._shared)
        warn_of_unfelt_forces(self.integrator, self.acceptance)
        self._seed = self.integrator.getRandomNumberSeed() or 1 + secrets.randbelow(2**31 - 1)
        self._first = firstReplica
        self._refinement, self._limits = refinement, qualityLimits
        if refinement is not None:
            if self.acceptance == "metropolis":
                raise ConfigError(
                    "Refinement and Metropolis acceptance exclude each other: minimising isn't reversible; "
                    "leave one out."
                )
            refinement.check(self.context)
        self._rule = self._make_rule()
        self.replicas = [Replica(self, index) for index in range(self.numReplicas)]
        self._counts = [ReplicaCounts() for _ in range(self.numReplicas)]
        self._positions: NDArray[np.float64] | None = None
        self._reference: NDArray[np.float64] | None = None
        self._energies = np.full(self.numReplicas, np.nan)
        self._parameters = dict(self.context.getParameters())  # with which they were evaluated
        self._log_acceptance = np.zeros(self.numReplicas)
        self.currentStep = 0

    @property
    def reporters(self) -> list[list[Any]]:
        """Of each copy: ``simulation.reporters[k].append(...)``."""
        return [replica.reporters for replica in self.replicas]

    @property
    def positions(self) -> NDArray[np.float64]:
        """Of all copies, (numReplicas, n_particles, 3), nm."""
        return np.array(self._known_positions())

    def addReporters(self, factory: Callable[[int], Any]) -> None:
        """Append to each copy the reporter that `factory` makes for its number (firstReplica + k)."""
        for replica in self.replicas:
            replica.reporters.append(factory(self._first + replica.index))

    def getLagTime(self) -> unit.Quantity:
        """Time of one jump."""
        lag_time: unit.Quantity = self.integrator.getLagTime()
        return lag_time

    def getRandomNumberSeed(self) -> int:
        """The seed in use, also where 0 was given; copy k has the noise of this + firstReplica + k."""
        return self._seed

    def getCounts(self, replica: int) -> ReplicaCounts:
        """What became of a copy's jumps."""
        return self._counts[replica]

    def getLastLogAcceptance(self, replica: int) -> float:
        """ln a of a copy's last jump: 0 without a Metropolis test, -inf for a proposal that wasn't finite."""
        return float(self._log_acceptance[replica])

    def setPositions(self, positions: Any) -> None:
        """Set the positions of all copies.

        Parameters
        ----------
        positions : array_like or Quantity, shape (n_particles, 3) or (numReplicas, n_particles, 3)
            nm; one set for all copies, or one each. Molecules whole. In the mode "quality" those of the first copy say
            which handedness is right.
        """
        if unit.is_quantity(positions):
            positions = positions.value_in_unit(unit.nanometer)
        array = np.array(positions, dtype=np.float64)
        wanted = (self.numReplicas, self.system.getNumParticles(), 3)
        if array.shape == wanted[1:]:
            array = np.repeat(array[None], self.numReplicas, axis=0)
        if array.shape != wanted:
            raise ConfigError(
                f"The positions have the shape {array.shape}; {wanted} or {wanted[1:]} is needed."
            )
        if not np.isfinite(array).all():
            copy = int(np.argmin(np.isfinite(array).all(axis=(1, 2))))
            raise NonFiniteError(
                f"Copy {copy} starts with NaN or infinite positions; give another structure."
            )
        self._positions = array
        self._energies = np.full(self.numReplicas, np.nan)
        if self._reference is None:
            self._watch(array[0])
        self._check_starts()

    def getState(self, replica: int, **what: Any) -> openmm.State:
        """OpenMM's State of one copy; arguments as of `openmm.Context.getState`.

        Velocities, and with them kinetic energies, are those of a `UniSimIntegrator` after the same jump: drawn from
        the Maxwell-Boltzmann distribution; zero before the first jump.
        """
        needs = what.get("velocities") or what.get("energy")
        velocities = self._velocities(replica) if needs else None
        time = self.currentStep * self.getLagTime().value_in_unit(unit.picosecond)
        return self._shared.state(self._known_positions()[replica], velocities, time, self.currentStep, what)

    def getPotentialEnergies(self) -> NDArray[np.float64]:
        """Potential energy of each copy, (numReplicas,), kJ/mol."""
        parameters = dict(self.context.getParameters())
        if parameters != self._parameters:
            self._energies, self._parameters = np.full(self.numReplicas, np.nan), parameters
        unknown = np.isnan(self._energies)
        if unknown.any():
            self._energies[unknown] = self._shared.energies(self._known_positions()[unknown])
        return self._energies.copy()

    def minimizeEnergy(self, tolerance: Any = 10.0, maxIterations: int = 0) -> None:
        """Minimise each copy, as `openmm.app.Simulation.minimizeEnergy`: for starts, not between jumps."""
        minimised = [
            self._shared.visit(
                copy, lambda c: openmm.LocalEnergyMinimizer.minimize(c, tolerance, maxIterations)
            )
            for copy in self._known_positions()
        ]
        self.setPositions(np.array(minimised))

    def step(self, steps: int) -> None:
        """Make so many jumps of each copy."""
        for _ in range(steps):
            for replica in self.replicas:
                replica.ask()
            self._jump_once()
            for replica in self.replicas:
                replica.report()

    def createCheckpoint(self) -> bytes:
        """All that is needed to go on exactly, as bytes; reporters' files are theirs to continue."""
        checkpoint = ReplicaCheckpoint(
            self._identity(), self.currentStep, self._seed, self._known_positions(), self._energies,
            self._log_acceptance, np.asarray(self._reference), self._counts,
        )  # fmt: skip
        return checkpoint.to_bytes()

    def saveCheckpoint(self, file: str | Path | io.BufferedIOBase) -> None:
        """Write `createCheckpoint` to a file (name or stream)."""
        with _stream(file, "wb") as stream:
            stream.write(self.createCheckpoint())

    def loadCheckpoint(self, file: str | Path | io.BufferedIOBase) -> None:
        """Go on from a checkpoint of a ReplicaSimulation with the same settings."""
        with _stream(file, "rb") as stream:
            self.setCheckpoint(stream.read())

    def setCheckpoint(self, data: bytes) -> None:
        """Go on from what `createCheckpoint` gave."""
        checkpoint = ReplicaCheckpoint.from_bytes(data)
        for key, value in self._identity().items():
            found = checkpoint.identity.get(key)
            if found != value:
                raise CheckpointError(
                    f"The checkpoint was made with {key} = {found}, and this simulation has {value}; load one "
                    "that fits."
                )
        self.currentStep, self._seed = checkpoint.step, checkpoint.seed
        self._positions, self._energies = checkpoint.positions, checkpoint.energies
        self._log_acceptance, self._counts = checkpoint.log_acceptance, checkpoint.counts
        self._watch(checkpoint.reference)

    def _jump_once(self) -> None:
        positions = self._known_positions()
        energies = self._energies
        if self.acceptance == "metropolis":
            energies = self.getPotentialEnergies()
        seeds = self._seeds()
        proposal = self._jump.propose(positions, seeds, self.currentStep)
        full = positions.copy()
        full[:, self._jump.particles] = proposal.positions
        verdict = self._rule.judge(proposal, full, positions, energies, seeds, self.currentStep)
        self._positions, self._energies = verdict.positions, verdict.energies
        self._log_acceptance = verdict.log_acceptance
        for k, counts in enumerate(self._counts):
            quality = None if verdict.qualities is None else verdict.qualities[k]
            counts.add(bool(verdict.accepted[k]), bool(verdict.finite[k]), quality)
            if self.acceptance == "metropolis":
                counts.sum_acceptance += math.exp(min(0.0, float(verdict.log_acceptance[k])))
        self.currentStep += 1
        self._check_stuck()

    def _make_rule(self) -> Acceptance:
        if self.acceptance == "metropolis":
            return MetropolisAcceptance(PathMetropolis(self._jump.law, self._shared.energies))
        return CheckedAcceptance(self._shared, self._refinement)

    def _watch(self, reference: NDArray[np.float64]) -> None:
        """Judge handedness by this structure, (n_particles, 3) nm."""
        self._reference = np.array(reference)
        if self.acceptance == "quality":
            monitor = QualityMonitor(self.topology, self.system, self._reference, self._limits)
            self._rule = CheckedAcceptance(self._shared, self._refinement, monitor)

    def _check_starts(self) -> None:
        if self.acceptance == "all":
            return
        energies = self.getPotentialEnergies()
        if not np.isfinite(energies).all():
            copy = int(np.argmin(np.isfinite(energies)))
            raise NonFiniteError(
                f"Copy {copy} starts with the energy {energies[copy]}; give another structure."
            )
        if isinstance(self._rule, CheckedAcceptance) and self._rule.monitor is not None:
            for copy, (positions, energy) in enumerate(zip(self._known_positions(), energies)):
                quality = self._rule.monitor.assess(positions, energy)
                if quality.broken:
                    raise QualityError(
                        f"Copy {copy} starts broken ({quality.describe()}); give another structure, or accept all "
                        "jumps."
                    )

    def _check_stuck(self) -> None:
        """A copy whose jumps fail again and again is told once; when all do, nothing is left to run."""
        runs = [counts.consecutive_nan for counts in self._counts]
        if min(runs) >= MAX_CONSECUTIVE_NAN:
            raise NonFiniteError(
                f"All {self.numReplicas} copies gave {MAX_CONSECUTIVE_NAN} NaN or infinite jumps in a row; the "
                "structure or its temperature are outside what the model was trained for, so start from a "
                "thermalised structure."
            )
        for copy, run in enumerate(runs):
            if run == MAX_CONSECUTIVE_NAN:
                warnings.warn(
                    f"Copy {self._first + copy} gave {run} NaN or infinite jumps in a row and stays where it is; the "
                    "others go on.",
                    stacklevel=4,
                )

    def _velocities(self, replica: int) -> NDArray[np.float64]:
        """Of one copy, (n_particles, 3) nm/ps."""
        masses = self._shared.masses[:, None]
        if self.currentStep == 0:
            return np.zeros((len(masses), 3))
        seed = int(self._seeds()[replica])
        normals = standard_normals(seed, self.currentStep - 1, 0, np.arange(len(masses)), stream=VELOCITIES)
        scale = np.sqrt(BOLTZMANN * self._jump.law.temperature / np.where(masses > 0, masses, np.inf))
        velocities = scale * normals
        if self._shared.removesDrift:
            velocities -= np.where(masses > 0, (masses * velocities).sum(axis=0) / masses.sum(), 0.0)
        return np.asarray(velocities)

    def _seeds(self) -> NDArray[np.int64]:
        return self._seed + self._first + np.arange(self.numReplicas, dtype=np.int64)

    def _known_positions(self) -> NDArray[np.float64]:
        if self._positions is None:
            raise ConfigError("The copies have no positions yet; call setPositions.")
        return self._positions

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the simulation that loads it."""
        return {
            "numReplicas": self.numReplicas,
            "firstReplica": self._first,
            "particles": self.system.getNumParticles(),
            "system": self._system_digest,
            "parameters": dict(self.context.getParameters()),
            "model": self.integrator.getModelHash(),
            "temperature": self._jump.law.temperature,
            "numSubsteps": self._jump.law.n_substeps,
            "guidanceSource": self._jump.source,
            "guidanceScale": self._jump.law.chosen_scale,
            "guidanceForceLimit": self._jump.law.force_limit,
            "acceptance": self.acceptance,
            "refinement": None if self._refinement is None else self._refinement.strength,
        }


def _stream(file: Any, mode: str) -> Any:
    """A context manager around a file given by name, or by an open stream that stays open."""
    return open(file, mode) if isinstance(file, (str, Path)) else nullcontext(file)
