"""UniSim time-coarsened dynamics for OpenMM.

The public API, by name; each is loaded when it is first used, so that importing the package is quick and
works where the compiled plugin was not built (for training, say); `UniSimIntegrator` then raises
`PluginError`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    CheckpointError,
    ConfigError,
    DataError,
    JumpWarning,
    MissingHydrogensError,
    ModelDomainError,
    ModelFileError,
    NonFiniteError,
    OutputError,
    PlatformError,
    PluginError,
    QualityError,
    StructureError,
    UniSimError,
    UnknownElementError,
    UntrustedModelError,
)

if TYPE_CHECKING:
    from ._plugin import load_plugin, plugin_load_failures
    from .export.metadata import ModelMetadata, read_metadata
    from .export.validate import validate_model_file
    from .hybrid.after_jump import Relaxation
    from .hybrid.ghmc import GHMCIntegrator
    from .hybrid.hybrid_simulation import HybridSimulation
    from .hybrid.reporters import CycleReporter
    from .hybrid.runner import run_hybrid
    from .integrator import UniSimIntegrator
    from .pretrained.registry import resolve_model
    from .pretrained.trust import trust_model
    from .simulation.reference import ReferenceJump
    from .simulation.refinement import RestrainedRefinement
    from .simulation.replicas import ReplicaSimulation
    from .simulation.replicas.exchange import UniSimReplicaExchangeSampler
    from .simulation.reporters import JumpReporter
    from .simulation.runner import run_simulation
    from .solvent.explore import RelaxingMove
    from .solvent.move import SwitchingMove
    from .solvent.protocol import SwitchingProtocol
    from .solvent.simulation import SolventSimulation

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "CycleReporter",
    "DataError",
    "GHMCIntegrator",
    "HybridSimulation",
    "JumpReporter",
    "JumpWarning",
    "MissingHydrogensError",
    "ModelDomainError",
    "ModelFileError",
    "ModelMetadata",
    "NonFiniteError",
    "OutputError",
    "PlatformError",
    "PluginError",
    "QualityError",
    "ReferenceJump",
    "Relaxation",
    "RelaxingMove",
    "ReplicaSimulation",
    "RestrainedRefinement",
    "SolventSimulation",
    "StructureError",
    "SwitchingMove",
    "SwitchingProtocol",
    "UniSimError",
    "UniSimIntegrator",
    "UniSimReplicaExchangeSampler",
    "UnknownElementError",
    "UntrustedModelError",
    "load_plugin",
    "plugin_load_failures",
    "read_metadata",
    "resolve_model",
    "run_hybrid",
    "run_simulation",
    "trust_model",
    "validate_model_file",
]

_WHERE = {
    "CycleReporter": ".hybrid.reporters",
    "GHMCIntegrator": ".hybrid.ghmc",
    "HybridSimulation": ".hybrid.hybrid_simulation",
    "JumpReporter": ".simulation.reporters",
    "ModelMetadata": ".export.metadata",
    "ReferenceJump": ".simulation.reference",
    "Relaxation": ".hybrid.after_jump",
    "ReplicaSimulation": ".simulation.replicas",
    "RestrainedRefinement": ".simulation.refinement",
    "RelaxingMove": ".solvent.explore",
    "SolventSimulation": ".solvent.simulation",
    "SwitchingMove": ".solvent.move",
    "SwitchingProtocol": ".solvent.protocol",
    "UniSimIntegrator": ".integrator",
    "UniSimReplicaExchangeSampler": ".simulation.replicas.exchange",
    "load_plugin": "._plugin",
    "plugin_load_failures": "._plugin",
    "read_metadata": ".export.metadata",
    "resolve_model": ".pretrained.registry",
    "run_hybrid": ".hybrid.runner",
    "run_simulation": ".simulation.runner",
    "trust_model": ".pretrained.trust",
    "validate_model_file": ".export.validate",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'openmm_unisim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
