"""OpenMM's replica exchange with exact jumps: `openmm.app.ReplicaExchangeSampler` for Metropolis jumps and local MD.

==========  ======================================================  ==================
symbol      meaning                                                 name here
==========  ======================================================  ==================
beta_i U_i  reduced energy of thermodynamic state i                 reduced
log p       u_i(x_i) - u_j(x_i) + u_j(x_j) - u_i(x_j), u = beta U   log_ratio
==========  ======================================================  ==================

What OpenMM's own class does with a `UniSimIntegrator`, and why it isn't enough:

- it keeps each replica as a State, and puts the integrator's seed and jump number back with it, so that all replicas
  would draw the same noise. Here each replica and iteration has jump numbers of its own;
- of a `CompoundIntegrator` it never sets the temperature, and needs one to name it. Here each part's is set;
- force groups of a state count in the exchange only, not in the dynamics. Here sets of groups count in both, and
  weighted groups, which no integrator can follow, are refused;
- it draws from Python's global generator. Here exchanges are a function of seed and iteration.

Jumps that are accepted without a test sample no known distribution, so an exchange between them would be exact in name
only: any mode but Metropolis is refused.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from ...errors import ConfigError, ModelDomainError
from ...export.metadata import read_metadata
from ...units import BOLTZMANN, in_unit

__all__ = ["UniSimReplicaExchangeSampler"]

_JUMPS_OF_AN_ITERATION = 1 << 20  # jump numbers kept for one replica in one iteration


class UniSimReplicaExchangeSampler(app.ReplicaExchangeSampler):
    """Replica exchange between states that are sampled by Metropolis jumps, by local MD, or by both in turn.

    The Simulation's integrator is a `UniSimIntegrator` in Metropolis mode, or a `CompoundIntegrator` of one such and
    one local integrator (Langevin, or an exact kernel). With a local integrator, jumps are made only in states whose
    temperature the model was made for; elsewhere they would hardly ever be accepted.

    Parameters
    ----------
    states : list of dict
        As for `openmm.app.ReplicaExchangeSampler`: 'temperature', Context parameters, and 'groups' as sets.
    simulation : openmm.app.Simulation
        Positions are set; all replicas start there, unless `replicaConformation` is changed.
    stepsPerIteration : int
        Steps of the local integrator between exchanges; of a lone `UniSimIntegrator`, jumps.
    jumpsPerIteration : int
        Jumps between exchanges, after the local steps; not used with a lone `UniSimIntegrator`.
    reinitializeVelocities : bool
        As for OpenMM's class; each jump draws velocities anyhow.

    Attributes
    ----------
    exchangeAttempts, exchangesAccepted : ndarray of int, shape (n_states, n_states)
        Symmetric.
    jumpsProposed, jumpsAccepted : ndarray of int, shape (n_states,)
    """

    def __init__(
        self,
        states: Sequence[dict[str, Any]],
        simulation: app.Simulation,
        stepsPerIteration: int,
        jumpsPerIteration: int = 1,
        reinitializeVelocities: bool = False,
    ):
        self._jumper, self._local = _parts(simulation.integrator)
        self.jumpsPerIteration = stepsPerIteration if self._local is None else int(jumpsPerIteration)
        ladder = [_state(state, self._jumper.getTemperature()) for state in states]
        self._temperatures = [state["temperature"].value_in_unit(unit.kelvin) for state in ladder]
        self._groups = [state.get("groups") for state in ladder]
        low, high = read_metadata(self._jumper.getModelFile()).temperature_range_K
        self._jumps = [low <= kelvin <= high for kelvin in self._temperatures]
        if self._local is None and not all(self._jumps):
            raise ModelDomainError(
                f"The model is for {low:g} to {high:g} K and the states reach from {min(self._temperatures):g} to "
                f"{max(self._temperatures):g} K, where nothing else would move the replicas; use a CompoundIntegrator "
                "with a local integrator, too."
            )
        if self._local is not None and len(set(self._temperatures)) > 1:
            _set_temperature(self._local, self._temperatures[0])  # refuses by name what can't be set
        super().__init__(ladder, simulation, stepsPerIteration, reinitializeVelocities)
        n = len(ladder)
        self.exchangeAttempts = np.zeros((n, n), dtype=np.int64)
        self.exchangesAccepted = np.zeros((n, n), dtype=np.int64)
        self.jumpsProposed, self.jumpsAccepted = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self._made: dict[tuple[int, int], int] = {}
        self._seed = _seed_of(simulation.context)

    def simulateReplica(self, index: int, steps: int | None = None) -> None:
        """Move one replica: local steps, then jumps (as OpenMM's method, which `simulate` calls)."""
        context = self.simulation.context
        context.setState(self.replicaConformation[index])
        self._adapt_velocities(index)
        state = self.replicaStateIndex[index]
        self._previousReplicaStateIndex[index] = state
        self._sampler.applyState(state)
        self._apply(state)
        number = self.stepsPerIteration if steps is None else steps
        if self._local is None:
            self._jump(index, state, number)
        else:
            self.simulation.integrator.setCurrentIntegrator(self._local_index())
            self.simulation.integrator.step(number)
            if self._jumps[state]:
                self.simulation.integrator.setCurrentIntegrator(1 - self._local_index())
                self._jump(index, state, self.jumpsPerIteration)
        self.replicaConformation[index] = context.getState(
            positions=True, velocities=True, parameters=True, integratorParameters=True
        )

    def exchangeReplicas(self) -> None:
        """Attempt exchanges between random pairs; which, and with which outcome, follows from seed and iteration."""
        n = len(self.states)
        if n < 2:
            return
        generator = np.random.Generator(
            np.random.Philox(key=self._seed % 2**32, counter=[0, self.currentIteration, 0, 0])
        )
        reduced = self._reduced_energies()
        for _ in range(self.exchangesPerIteration):
            i, j = (int(k) for k in generator.choice(n, 2, replace=False))
            si, sj = self.replicaStateIndex[i], self.replicaStateIndex[j]
            log_ratio = reduced[i, si] - reduced[i, sj] + reduced[j, sj] - reduced[j, si]
            accepted = bool(np.log(generator.random()) < log_ratio)
            self.exchangeAttempts[[si, sj], [sj, si]] += 1
            if accepted:
                self.exchangesAccepted[[si, sj], [sj, si]] += 1
                self.replicaStateIndex[i], self.replicaStateIndex[j] = sj, si

    def _reduced_energies(self) -> NDArray[np.float64]:
        """Energy of replica i in state j over kT_j, (n, n)."""
        energies = [
            [energy.value_in_unit(unit.kilojoule_per_mole) for energy in of_replica]
            for of_replica in self.replicaStateEnergy
        ]
        return np.array(energies) / (BOLTZMANN * np.array(self._temperatures))

    def _jump(self, index: int, state: int, number: int) -> None:
        """Jumps of a replica, with jump numbers, and so noise, that no other replica or iteration has."""
        key = (self.currentIteration, index)
        made = self._made.get(key, 0)
        if made == 0:
            self._made = {old: jumps for old, jumps in self._made.items() if old[0] == self.currentIteration}
        first = (self.currentIteration * len(self.states) + index) * _JUMPS_OF_AN_ITERATION + made
        self._made[key] = made + number
        self._jumper.setJumpIndex(first)
        proposed, accepted = self._jumper.getNumProposed(), self._jumper.getNumAccepted()
        self.simulation.integrator.step(number)
        self.jumpsProposed[state] += self._jumper.getNumProposed() - proposed
        self.jumpsAccepted[state] += self._jumper.getNumAccepted() - accepted

    def _apply(self, state: int) -> None:
        """Temperature and force groups of a state, for all integrators."""
        ladder = len(set(self._temperatures)) > 1
        for part in (self._jumper, self._local):
            if part is None:
                continue
            if ladder and (part is not self._jumper or self._jumps[state]):
                _set_temperature(part, self._temperatures[state])
            if self._groups[state] is not None:
                part.setIntegrationForceGroups(self._groups[state])

    def _adapt_velocities(self, index: int) -> None:
        """After an exchange: velocities of the new temperature, drawn or rescaled."""
        before, now = self._previousReplicaStateIndex[index], self.replicaStateIndex[index]
        if before == now:
            return
        context, kelvin = self.simulation.context, self._temperatures
        if self.reinitializeVelocities:
            context.setVelocitiesToTemperature(kelvin[now])
        elif kelvin[before] != kelvin[now]:
            velocities = self.replicaConformation[index].getVelocities(asNumpy=True)
            context.setVelocities(velocities * np.sqrt(kelvin[now] / kelvin[before]))

    def _local_index(self) -> int:
        """Which part of the CompoundIntegrator is the local one."""
        from ...integrator import UniSimIntegrator

        return int(UniSimIntegrator.isinstance(self.simulation.integrator.getIntegrator(0)))


def _parts(integrator: openmm.Integrator) -> tuple[Any, openmm.Integrator | None]:
    """The `UniSimIntegrator`, and the local integrator if there is one."""
    from ...integrator import UniSimIntegrator

    parts = [integrator]
    if isinstance(integrator, openmm.CompoundIntegrator):
        parts = [integrator.getIntegrator(index) for index in range(integrator.getNumIntegrators())]
    jumpers = [part for part in parts if UniSimIntegrator.isinstance(part)]
    others = [part for part in parts if not UniSimIntegrator.isinstance(part)]
    if len(jumpers) != 1 or len(others) > 1:
        raise ConfigError(
            f"Replica exchange needs one UniSimIntegrator and at most one local integrator, and there are "
            f"{len(jumpers)} and {len(others)}; for MD alone use openmm.app.ReplicaExchangeSampler."
        )
    jumper = UniSimIntegrator.cast(jumpers[0])
    if jumper.getAcceptanceMode() != UniSimIntegrator.MetropolisHastings:
        raise ConfigError(
            "Replica exchange needs jumps of known distribution, and this UniSimIntegrator accepts all of its; set its "
            "acceptance mode to MetropolisHastings before making the Simulation."
        )
    return jumper, others[0] if others else None


def _state(state: dict[str, Any], temperature: unit.Quantity) -> dict[str, Any]:
    """A state that names its temperature; weighted force groups are refused."""
    groups = state.get("groups")
    if groups is not None and not isinstance(groups, (set, frozenset)):
        raise ConfigError(
            f"The force groups {groups} are weighted, which no integrator can follow; give a set of groups, or scale "
            "forces by a Context parameter."
        )
    kelvin = in_unit(state.get("temperature", temperature), unit.kelvin, "temperature of a state")
    return {**state, "temperature": kelvin * unit.kelvin}


def _set_temperature(integrator: Any, kelvin: float) -> None:
    """Set an integrator's temperature, also of a CustomIntegrator with a global variable `temperature` or `kT`."""
    if isinstance(integrator, openmm.CustomIntegrator) and not hasattr(integrator, "setTemperature"):
        names = [integrator.getGlobalVariableName(i) for i in range(integrator.getNumGlobalVariables())]
        for name, value in (("temperature", kelvin), ("kT", BOLTZMANN * kelvin)):
            if name in names:
                integrator.setGlobalVariableByName(name, value)
                return
    if not hasattr(integrator, "setTemperature"):
        raise ConfigError(
            f"The temperature of a {type(integrator).__name__} can't be set, so it can't serve a ladder of "
            "temperatures; use a LangevinMiddleIntegrator or states of one temperature."
        )
    integrator.setTemperature(kelvin)


def _seed_of(context: openmm.Context) -> int:
    """The seed in use, also where 0 was given, from the Context's State; it may be negative."""
    text = openmm.XmlSerializer.serialize(context.getState(integratorParameters=True))
    start = text.index(' seed="') + len(' seed="')
    return int(text[start : text.index('"', start)])
