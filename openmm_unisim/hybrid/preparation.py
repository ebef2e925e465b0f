"""A hybrid run before anything is spent: protocol, molecule, model and platform fit together, or an error says why."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openmm
from openmm import unit

from ..simulation.preparation import PreparedRun, RunSettings, prepare_run
from ..simulation.quality import QualityLimits, QualityMonitor
from ..simulation.relaxation import MDProtocol
from ..system import get_platform
from ..units import BOLTZMANN
from .after_jump import Relaxation
from .ghmc import GHMCIntegrator
from .hybrid_simulation import HybridSimulation
from .protocol import Protocol, RelaxPart

__all__ = ["HybridSettings", "PreparedHybrid", "prepare_hybrid"]


@dataclass(frozen=True)
class HybridSettings:
    """What `run_hybrid` is asked to do.

    Attributes
    ----------
    input, model, output, environment, temperature, seed, platform, repair
        As of `openmm_unisim.simulation.preparation.RunSettings`.
    protocol : Protocol
    """

    input: str
    model: str
    output: Path
    protocol: Protocol
    environment: str | None = None
    temperature: float | None = None
    seed: int = 1
    platform: str | None = None
    repair: bool = False

    def as_run(self) -> RunSettings:
        """The same as settings of `simulate`, which share most of the checks."""
        protocol = self.protocol
        return RunSettings(
            self.input,
            self.model,
            self.output,
            max(1, protocol.cycles * protocol.jump.number),
            self.environment,
            self.temperature,
            protocol.jump.substeps,
            self.seed,
            self.platform,
            thermalise_ps=protocol.thermalise_ps,
            md_timing_s=0.0,
            checkpoint_interval=protocol.output.checkpoint_every,
            repair=self.repair,
            guidance_scale=protocol.jump.guidance_scale,
        )


@dataclass
class PreparedHybrid:
    """A hybrid run that nothing stands in the way of.

    Attributes
    ----------
    settings : HybridSettings
    run : PreparedRun
        Molecule, model, jumps' integrator, platform, seeds, warnings.
    md : MDProtocol
        Of the MD, with the protocol's constraints and time step.
    system : openmm.System
        With these constraints.
    identity : dict
        What must be the same for a run to be resumed.
    """

    settings: HybridSettings
    run: PreparedRun
    md: MDProtocol
    system: openmm.System
    identity: dict[str, Any]

    def simulation(self, monitor: QualityMonitor | None = None) -> HybridSimulation:
        """The simulation, without positions."""
        protocol, run = self.settings.protocol, self.run
        run.integrator.setKeepsStereocenters(True)  # the cycle counts what it rejects
        return HybridSimulation(
            run.molecule.topology,
            self.system,
            run.integrator,
            self._md_integrator(),
            mdSteps=protocol.md.steps,
            numJumps=protocol.jump.number,
            afterJump=protocol.jump.after,
            relaxation=self._relaxation(),
            randomNumberSeed=run.seeds[0],
            platform=get_platform(run.platform),
            qualityMonitor=monitor,
        )

    def monitor(self, start: Any) -> QualityMonitor:
        """Judges by the handedness of the given positions, shape (n_atoms, 3), nm."""
        relaxation = self._relaxation()
        return QualityMonitor(
            self.run.molecule.topology, self.system, start, relaxation.limits if relaxation else None
        )

    def _md_integrator(self) -> openmm.Integrator:
        md = self.settings.protocol.md
        if md.integrator == "langevin-middle":
            return self.md.integrator(self.run.seeds[1])
        step = md.time_step_fs * unit.femtosecond
        integrator = GHMCIntegrator(self.md.temperature_K, md.friction_per_ps, step)
        integrator.setRandomNumberSeed(self.run.seeds[1])
        return integrator

    def _relaxation(self) -> Relaxation | None:
        protocol = self.settings.protocol
        if protocol.jump.after != "relax":
            return None
        part = protocol.relax or RelaxPart()
        rise = part.energy_rise_kT
        limit = float("inf") if rise is None else rise * BOLTZMANN * self.md.temperature_K
        return Relaxation(
            part.minimisation_steps,
            part.md_steps,
            limit,
            QualityLimits(bond=part.bond_nm, clash_fraction=part.clash_fraction),
        )


def prepare_hybrid(settings: HybridSettings) -> PreparedHybrid:
    """Check the settings against molecule, model and machine.

    Raises
    ------
    UniSimError
        One of its subclasses, naming what is wrong and what to do.
    """
    protocol = settings.protocol
    run = prepare_run(settings.as_run())
    md = replace(
        run.protocol,
        constraints=protocol.md.constraints,
        time_step_fs=protocol.md.time_step_fs,
        friction_per_ps=protocol.md.friction_per_ps,
    )
    if md.constraints == "none" and md.time_step_fs > 0.5 * md.hydrogen_mass_amu:
        run.warnings.append(
            f"md.time_step_fs = {md.time_step_fs:g} is long for flexible bonds and hydrogens of "
            f"{md.hydrogen_mass_amu:g} Da; 1 is safe."
        )
    shared = {name: value for name, value in run.identity.items() if name != "policy"}
    return PreparedHybrid(
        settings, run, md, md.system(run.molecule), {**shared, "protocol": protocol.shaping()}
    )
