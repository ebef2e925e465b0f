"""OpenMM's reporters on each copy: a copy looks to them like an `openmm.app.Simulation`."""

from typing import TYPE_CHECKING, Any

import openmm
from openmm import app, unit

from .counts import ReplicaCounts

if TYPE_CHECKING:
    from .replica_simulation import ReplicaSimulation

__all__ = ["Replica", "ReplicaIntegrator"]


class ReplicaIntegrator:
    """What reporters ask of an integrator, with the counters of one copy; everything else is the real one's.

    Parameters
    ----------
    owner : ReplicaSimulation
    index : int
        Of the copy.
    """

    def __init__(self, owner: "ReplicaSimulation", index: int):
        self._owner, self._index = owner, index

    def _counts(self) -> ReplicaCounts:
        return self._owner.getCounts(self._index)

    def getStepSize(self) -> unit.Quantity:
        """The lag time: one step is one jump."""
        return self._owner.getLagTime()

    def getNumProposed(self) -> int:
        """Jumps of this copy."""
        return self._counts().proposed

    def getNumAccepted(self) -> int:
        """Jumps of this copy that were kept."""
        return self._counts().accepted

    def getNumNaN(self) -> int:
        """Jumps of this copy that weren't finite."""
        return self._counts().nan

    def getLastLogAcceptance(self) -> float:
        """ln a of this copy's last jump."""
        return self._owner.getLastLogAcceptance(self._index)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner.integrator, name)


class Replica:
    """One copy of a `ReplicaSimulation`, as its reporters see it.

    Attributes
    ----------
    topology, system, context, integrator, currentStep
        As of `openmm.app.Simulation`. The Context is shared: it holds whichever copy visited it last.
    index : int
    reporters : list
    """

    def __init__(self, owner: "ReplicaSimulation", index: int):
        self._owner, self.index = owner, index
        self.reporters: list[Any] = []
        self.integrator = ReplicaIntegrator(owner, index)
        self._due: list[tuple[Any, int, dict[str, Any]]] = []

    @property
    def topology(self) -> app.Topology:
        """Of all copies."""
        return self._owner.topology

    @property
    def system(self) -> openmm.System:
        """Of all copies."""
        return self._owner.system

    @property
    def context(self) -> openmm.Context:
        """Of all copies."""
        return self._owner.context

    @property
    def currentStep(self) -> int:
        """Jumps made so far."""
        return self._owner.currentStep

    def getState(self, **what: Any) -> openmm.State:
        """As `openmm.Context.getState`."""
        return self._owner.getState(self.index, **what)

    def ask(self) -> None:
        """Before a jump: ask each reporter that has no date yet when it wants to report, and what."""
        dated = {id(reporter): (reporter, due, report) for reporter, due, report in self._due}
        self._due = []
        for reporter in self.reporters:
            entry = dated.get(id(reporter))
            if entry is None:
                report = _as_dictionary(reporter.describeNextReport(self))
                entry = (reporter, self.currentStep + int(report["steps"]), report)
            self._due.append(entry)

    def report(self) -> None:
        """After a jump: let those report whose date it is, with one State for wrapped and one for other positions."""
        now = [entry for entry in self._due if entry[1] == self.currentStep]
        self._due = [entry for entry in self._due if entry[1] > self.currentStep]
        periodic = self.system.usesPeriodicBoundaryConditions()
        for wrapped in (True, False):
            group = [entry for entry in now if _wraps(entry[2], periodic) == wrapped]
            if not group:
                continue
            what = {name: True for _, _, report in group for name in report["include"]}
            groups = self.integrator.getIntegrationForceGroups()
            state = self.getState(groups=groups, enforcePeriodicBox=wrapped, parameters=True, **what)
            for reporter, _, _ in group:
                reporter.report(self, state)


def _wraps(report: dict[str, Any], periodic: bool) -> bool:
    wanted = report.get("periodic")
    return periodic if wanted is None else bool(wanted)


def _as_dictionary(report: Any) -> dict[str, Any]:
    """The description of a report; older reporters give a tuple."""
    if isinstance(report, dict):
        return report
    names = ("positions", "velocities", "forces", "energy")
    include = [name for name, wanted in zip(names, report[1:5]) if wanted]
    return {"steps": report[0], "periodic": report[5] if len(report) > 5 else None, "include": include}
