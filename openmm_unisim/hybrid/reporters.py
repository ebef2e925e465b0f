"""cycles.csv: one row a cycle of a hybrid simulation, from the command or from a reporter in anybody's script.

=========================  ===============================================================================
column                     meaning
=========================  ===============================================================================
cycle                      number of the cycle, from 1
time_ps                    clock after it: MD and jumps together, ps
potential_energy_kj_mol    at its end, kJ/mol
energy_before_jump_kj_mol  after its MD, before its first jump, kJ/mol
jump_energy_kj_mol         of its last jump as proposed, before any relaxation, kJ/mol; nan if the
                           integrator itself rejected it
jumps, accepted            how many were tried, and kept
log_acceptance             ln a of the last jump's Metropolis test; 0 where there is none, -inf if not finite
reason                     why jumps were rejected, joined by ";": nan, metropolis, bond, chirality, clash
                           or energy
ghmc_acceptance            share of the exact kernel's steps that were accepted; nan for other MD
wall_s                     wall time of the cycle, s
=========================  ===============================================================================
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..simulation.reporters import RowTable
from .cycle import CycleRecord
from .hybrid_simulation import HybridSimulation

__all__ = ["COLUMNS", "CycleReporter", "cycle_table"]

COLUMNS = tuple(field.name for field in fields(CycleRecord))


def cycle_table(path: str | Path, append: bool = False) -> RowTable:
    """Writer of cycles.csv."""
    return RowTable(path, COLUMNS, append)


class CycleReporter:
    """Writes cycles.csv from a `HybridSimulation`, like OpenMM's own reporters.

    With an interval above 1 a row is that of the last cycle, not a sum.

    Parameters
    ----------
    file : str or Path
    reportInterval : int
        In cycles.
    append : bool
        Continue an existing file.
    """

    def __init__(self, file: str | Path, reportInterval: int = 1, append: bool = False):
        if reportInterval < 1:
            raise ConfigError(f"reportInterval = {reportInterval} must be at least 1 cycle.")
        self._interval = int(reportInterval)
        self._table = cycle_table(file, append)

    def describeNextReport(self, simulation: HybridSimulation) -> dict[str, Any]:
        """Cycles to the next report and what it needs (OpenMM's reporter protocol)."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": []}

    def report(self, simulation: HybridSimulation, state: Any) -> None:
        """Write one row (OpenMM's reporter protocol)."""
        if simulation.lastCycle is not None:
            self._table.write(simulation.lastCycle)
