"""The folder of a hybrid run: that of `simulate` (`openmm_unisim.simulation.outputs`) with another table.

================  ==========================================================================================
file              contents
================  ==========================================================================================
topology.pdb      topology, and the positions from which the first cycle starts (after thermalisation)
trajectory.xtc    a frame every `output.frame_every` cycles
cycles.csv        one row a cycle (`reporters`), flushed row by row
checkpoint.chk    OpenMM's checkpoint, counts included
checkpoint.json   where the other files stood at that checkpoint
run.json          `runner`
run.lock          empty; held by the process that writes the folder
seeds/            start points, of a protocol of kind "seed" (`seeds`)
================  ==========================================================================================
"""

from pathlib import Path

from ..simulation.outputs import RunFolder

__all__ = ["HybridFolder"]


class HybridFolder(RunFolder):
    """Paths of a hybrid run; survives kills as `RunFolder` does."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.cycles = self.path / "cycles.csv"
        self.seeds = self.path / "seeds"
        self._growing = (self.trajectory, self.cycles)
