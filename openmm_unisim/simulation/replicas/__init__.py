"""Many copies of one molecule in one run: one batched evaluation of the model, one OpenMM Context."""

from .replica_simulation import ReplicaSimulation

__all__ = ["ReplicaSimulation"]
