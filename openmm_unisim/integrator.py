"""`UniSimIntegrator` as Python users see it: Topologies, units and named errors around the C++ integrator."""

import operator
import warnings
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import openmm
from openmm import app, unit

from ._plugin import load_plugin
from .acceptance import describe_acceptance
from .errors import (
    ConfigError,
    ModelDomainError,
    ModelFileError,
)
from .export.metadata import ModelMetadata, read_metadata
from .jumping_atoms import jumping_atoms, jumping_bonds
from .notices import remind
from .pretrained.registry import resolve_model
from .pretrained.trust import authorise
from .provenance import sha256_of_file
from .units import in_unit
from .whole_numbers import whole_number, whole_numbers

__all__ = ["UniSimIntegrator"]

_swig = load_plugin()
_MANY_JUMPS = 10  # the most steps that Simulation.step makes in one call of the integrator's


class UniSimIntegrator(_swig.UniSimIntegrator):  # type: ignore[name-defined,misc]
    """An OpenMM integrator whose steps are jumps of a trained UniSim model.

    One step advances the System by the model's lag time, typically 10 to 100 ps. It replaces a femtosecond
    integrator in any script: only the line that creates the integrator changes, and with it what a step is.
    ``step(n)``, intervals of reporters and frequencies of barostats count jumps, of which a `JumpWarning` reminds.
    Jumps that are all accepted (the default) don't feel the System's Forces; Metropolis acceptance and guidance do.
    A jump that turns a stereocentre over, or isn't finite, is rejected and counted in any case (`getNumTurned`,
    `getNumNaN`; `setKeepsStereocenters(False)` lets the former pass).

    Parameters
    ----------
    model : str or Path
        A registered name (``openmm-unisim models`` lists them) or the path of a ``.unisim.pt`` or ``.unisim.pt2`` file.
    topology : openmm.app.Topology
        Gives elements and bonds. Atoms without an element (virtual sites) follow their molecule.
    temperature : float or Quantity
        K.
    numSubsteps : int
        Substeps of a jump; 0 is the number that the model was made for.
    particles : sequence of int, optional
        Indices of the atoms that jump, whole molecules only; the others stay where they are. Default: all.
    acceptanceMode : int
        ``UniSimIntegrator.AcceptAll``, or ``UniSimIntegrator.MetropolisHastings``, which is exact whatever
        the quality of the model.
    randomNumberSeed : int
        0 chooses one for each Context. The same seed gives the same noise on every platform.
    trusted : bool
        You know where the model file comes from: model files are programs. Needless for shipped models, and for files
        that this account made or trusts.
    sha256 : str, optional
        The SHA-256 that the file must have, which then is trusted.

    Notes
    -----
    ``setNumThreads(n)`` says how many threads the network may use on the CPU; see there for what it does unless told.

    Raises
    ------
    ModelFileError
        If there is no such model, or its file is damaged, of a newer format, or fails its checksum.
    UntrustedModelError
        If nothing says that the file may be run.
    ModelDomainError
        If the temperature, the number of substeps or the molecules are outside what the model was made for.
    UnknownElementError, MissingHydrogensError
        If the Topology has atoms that the model doesn't know, or lacks hydrogens.
    ConfigError
        If a unit or an index is wrong.

    Examples
    --------
    >>> integrator = UniSimIntegrator("ala2", pdb.topology, 300 * unit.kelvin)  # doctest: +SKIP
    >>> simulation = app.Simulation(pdb.topology, system, integrator)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path,
        topology: app.Topology,
        temperature: Any,
        numSubsteps: int = 0,
        *,
        particles: Sequence[int] | None = None,
        acceptanceMode: int = _swig.UniSimIntegrator.AcceptAll,
        randomNumberSeed: int = 0,
        trusted: bool = False,
        sha256: str | None = None,
    ):
        path = Path(resolve_model(model)).resolve()
        metadata = read_metadata(path)
        kelvin = in_unit(temperature, unit.kelvin, "temperature")
        _check_temperature(kelvin, metadata, acceptanceMode)
        atoms = jumping_atoms(topology, particles, metadata.elements, metadata.periodic)
        bonds = jumping_bonds(topology, atoms)
        digest = authorise(path, sha256_of_file(path), trusted, sha256)
        try:
            super().__init__(str(path), kelvin, 0, digest)  # the plugin loads these bytes or none
        except openmm.OpenMMException as error:
            raise ModelFileError(str(error)) from error
        self.setNumSubsteps(numSubsteps)
        self.setAcceptanceMode(acceptanceMode)
        self.setRandomNumberSeed(randomNumberSeed)
        everything = len(atoms) == topology.getNumAtoms()
        self.setParticles([] if everything and particles is None else [atom.index for atom in atoms])
        self.setAtomicNumbers([atom.element.atomic_number for atom in atoms])
        self.setBonds(bonds)

    def step(self, steps: int) -> None:
        """Make jumps.

        Parameters
        ----------
        steps : int
            How many.

        Warns
        -----
        JumpWarning
            Once a process, when many are made in one call, of what steps count; once each, of what `getNotices` tells.
        """
        steps = whole_number(steps, "number of jumps")
        if steps >= _MANY_JUMPS:
            remind(super().getLagTime())
        super().step(steps)

    def computeSystemTemperature(self) -> unit.Quantity:
        """Temperature that the current velocities have, from the kinetic energy."""
        return super().computeSystemTemperature() * unit.kelvin

    def getLagTime(self) -> unit.Quantity:
        """Time by which one step advances the System."""
        return super().getLagTime() * unit.picosecond

    def getTemperature(self) -> unit.Quantity:
        """Temperature of the heat bath."""
        return super().getTemperature() * unit.kelvin

    def setTemperature(self, temperature: Any) -> None:
        """Set the temperature of the heat bath, K or a Quantity, within the model's range."""
        kelvin = in_unit(temperature, unit.kelvin, "temperature")
        _check_temperature(kelvin, self._metadata(), self.getAcceptanceMode())
        super().setTemperature(kelvin)

    def setStepSize(self, size: Any) -> None:
        """Set the step size, ps or a Quantity: every value but the lag time is an error."""
        super().setStepSize(in_unit(size, unit.picosecond, "step size"))

    def setNumSubsteps(self, number: int) -> None:
        """Set the number of substeps of a jump; 0 is the number that the model was made for."""
        try:
            super().setNumSubsteps(whole_number(number, "number of substeps"))
        except openmm.OpenMMException as error:
            raise ModelDomainError(str(error)) from error

    def setProposalBatchSize(self, number: int) -> None:
        """Set how many jumps MetropolisHastings draws at once (1 by default); it doesn't change the chain."""
        super().setProposalBatchSize(whole_number(number, "proposal batch size"))

    def setNumResampled(self, number: int) -> None:
        """Set among how many jumps one is chosen with the guidance source Resampling (8 by default)."""
        super().setNumResampled(whole_number(number, "number of resampled jumps"))

    def setNumThreads(self, number: int) -> None:
        """Set how many threads the network may use on the CPU.

        With 0, the default, molecules of fewer than 200 atoms and model files with fused operators have one. Otherwise
        there are as many as are set for torch (OMP_NUM_THREADS), but on a platform with a property "Threads", such as
        CPU, no more than that says.
        """
        super().setNumThreads(whole_number(number, "number of threads"))

    def setModelDevice(self, device: Any) -> None:
        """Set the device of torch on which the network is, such as "cuda:0", on any platform; "cpu" unless told.

        Positions go there and back in each call of the network. Jumps on two devices agree to rounding only. Where
        torch or the machine has no such device, that is an error, and the network stays where it was. Never run on
        a GPU yet (docs/performance.md).
        """
        try:
            super().setModelDevice(str(device))
        except openmm.OpenMMException as error:
            raise ModelDomainError(str(error)) from error

    def setRandomNumberSeed(self, seed: int) -> None:
        """Set the seed of all noise; 0 chooses one for each Context."""
        super().setRandomNumberSeed(whole_number(seed, "random number seed"))

    def setAcceptanceMode(self, mode: int) -> None:
        """Set whether jumps are tested: ``AcceptAll`` or ``MetropolisHastings``, attributes of this class."""
        super().setAcceptanceMode(whole_number(mode, "acceptance mode"))

    def setGuidanceSource(self, source: int) -> None:
        """Set where guidance comes from, a `GuidanceSource` that the model file serves."""
        try:
            super().setGuidanceSource(whole_number(source, "guidance source"))
        except openmm.OpenMMException as error:
            raise ModelDomainError(str(error)) from error

    def setGuidanceScale(self, scale: float) -> None:
        """Set the strength of the guidance in units of the calibrated one; 0: off."""
        if not isinstance(scale, Real):
            raise ConfigError(f"guidance scale = {scale!r} must be a number.")
        super().setGuidanceScale(float(scale))

    def setJumpIndex(self, index: int) -> None:
        """Set the number that selects the noise of the next jump."""
        super().setJumpIndex(whole_number(index, "jump index", bits=64))

    def getGuidanceForceLimit(self) -> unit.Quantity:
        """Largest length of a guiding force on a particle; 0: no limit."""
        return super().getGuidanceForceLimit() * (unit.kilojoule_per_mole / unit.nanometer)

    def setGuidanceForceLimit(self, limit: Any) -> None:
        """Set the largest length of a guiding force, kJ/mol/nm or a Quantity; longer ones are shortened and counted."""
        super().setGuidanceForceLimit(
            in_unit(limit, unit.kilojoule_per_mole / unit.nanometer, "guidance force limit")
        )

    def setGuidanceForceGroups(self, groups: Any) -> None:
        """Set which force groups guide: bit flags, or a set of their numbers as OpenMM's methods take it."""
        if isinstance(groups, set | frozenset | list | tuple):
            groups = sum(1 << group for group in set(_force_groups(groups)))
        elif isinstance(groups, bool) or not hasattr(groups, "__index__"):
            raise ConfigError(f"groups = {groups!r} must be bit flags, or a set of numbers of force groups.")
        flags = operator.index(groups)
        if not -(2**31) <= flags < 2**32:
            raise ConfigError(f"groups = {flags} must be 32 bit flags; force groups are numbered 0 to 31.")
        super().setGuidanceForceGroups(flags - 2**32 if flags >= 2**31 else flags)

    def getTimings(self) -> dict[str, float]:
        """Where the time of the jumps went since this integrator was made, or since `resetTimings`.

        Wall time in s: `model`, inside the network; `forces`, OpenMM's forces and energies; `noise`, random numbers;
        `hand_over`, everything else in a jump. Counts: `jumps`, `model_calls`, `force_evaluations`. A measurement is
        no state, so neither XML, copies nor checkpoints hold it.
        """
        timings = super().getTimings()
        return {
            "model": timings.model, "forces": timings.forces, "noise": timings.noise, "hand_over": timings.handOver,
            "jumps": timings.jumps, "model_calls": timings.modelCalls, "force_evaluations": timings.forceEvaluations,
        }  # fmt: skip

    def getAcceptanceStatistics(self) -> dict[str, Any]:
        """What the acceptance ratios a of the jumps judged by MetropolisHastings were.

        `judged`, their number; `mean_acceptance`, the mean of min(1, a); `quantiles` of ln a, which come from the bins
        and are no better known than `quantile_resolution`;
        `histogram` of ln a with the `edges` of its bins, of which the first and the last are unbounded. Counted since
        the integrator was made or `resetCounters`; checkpoints and States hold the counts.
        """
        found = super().getAcceptanceStatistics()
        return describe_acceptance(found.judged, found.meanAcceptance, found.edges, found.histogram)

    def setParticles(self, particles: Iterable[int]) -> None:
        """Set the System indices of the particles that jump; none means all. For the next Context."""
        super().setParticles(whole_numbers(particles, "particles"))

    def setAtomicNumbers(self, atomicNumbers: Iterable[int]) -> None:
        """Set the atomic numbers of the particles that jump, in their order. For the next Context."""
        super().setAtomicNumbers(whole_numbers(atomicNumbers, "atomicNumbers"))

    def setBonds(self, bonds: Iterable[Sequence[int]]) -> None:
        """Set the bonds between the particles that jump, as pairs of System indices. For the next Context."""
        if not isinstance(bonds, Iterable):
            raise ConfigError(f"bonds = {bonds!r} must be pairs of particle indices.")
        pairs = [whole_numbers(pair, "bonds") for pair in bonds]
        if any(len(pair) != 2 for pair in pairs):
            raise ConfigError("bonds must be pairs of particle indices.")
        super().setBonds([(first, second) for first, second in pairs])

    @classmethod
    def isinstance(cls, integrator: openmm.Integrator) -> bool:
        """Whether an OpenMM integrator, however it was obtained, is a UniSimIntegrator."""
        return bool(_swig.UniSimIntegrator._isinstance(integrator))

    @classmethod
    def cast(cls, integrator: openmm.Integrator) -> "UniSimIntegrator":
        """The given integrator as a `UniSimIntegrator`.

        `openmm.XmlSerializer.deserialize` and `openmm.CompoundIntegrator.getIntegrator` return a plain
        `openmm.Integrator`, since OpenMM knows its own classes only.
        """
        if not cls.isinstance(integrator):
            raise ConfigError(f"{integrator!r} is no UniSimIntegrator; give one.")
        found = cls._adopt(_swig.UniSimIntegrator._cast(integrator))
        found._original = integrator  # owns the C++ object, so it has to stay alive
        return found

    @classmethod
    def _adopt(cls, raw: Any) -> "UniSimIntegrator":
        """An object of this class around the C++ object of another one."""
        new: UniSimIntegrator = cls.__new__(cls)
        new.this = raw.this
        return new

    def _metadata(self) -> ModelMetadata:
        return ModelMetadata.from_strings(
            {key: self.getModelMetadata(key) for key in ModelMetadata.model_fields}, self.getModelFile()
        )

    def __getstate__(self) -> str:
        return str(self._toXml())

    def __setstate__(self, xml: str) -> None:
        self.this = _swig.UniSimIntegrator._fromXml(xml).this

    def __copy__(self) -> "UniSimIntegrator":
        return self._adopt(_swig.UniSimIntegrator._fromXml(self._toXml()))

    def __deepcopy__(self, memo: dict) -> "UniSimIntegrator":
        return self.__copy__()


def _force_groups(groups: Iterable[Any]) -> list[int]:
    numbers = whole_numbers(groups, "groups")
    for number in numbers:
        if not 0 <= number < 32:
            raise ConfigError(f"groups holds {number}, and force groups are numbered 0 to 31.")
    return numbers


def _check_temperature(kelvin: float, metadata: ModelMetadata, mode: int) -> None:
    """Outside the model's range: an error; in Metropolis mode, where only efficiency suffers, a warning."""
    low, high = metadata.temperature_range_K
    if low <= kelvin <= high:
        return
    if kelvin <= 0:
        raise ConfigError(f"temperature = {kelvin:g} K must be positive.")
    message = f"Temperature {kelvin:g} K is outside the {low:g} to {high:g} K that the model was made for"
    if mode != UniSimIntegrator.MetropolisHastings:
        raise ModelDomainError(f"{message}; choose one within, or a model trained for it.")
    warnings.warn(f"{message}; jumps stay exact but will rarely be accepted.", UserWarning, stacklevel=3)
