"""UniSim time-coarsened dynamics for OpenMM."""

__version__ = "0.1.0"
