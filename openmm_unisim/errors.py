"""Named errors. Each message is one sentence that carries the offending value and what to do about it."""

from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "JumpWarning",
    "MissingHydrogensError",
    "ModelDomainError",
    "ModelFileError",
    "NonFiniteError",
    "OutputError",
    "PlatformError",
    "PluginError",
    "QualityError",
    "StructureError",
    "UniSimError",
    "UnknownElementError",
    "UntrustedModelError",
    "check_choice",
    "first_line",
    "tells_of_nan",
]


class UniSimError(Exception):
    """Base of every error that openmm_unisim raises on purpose."""


class ConfigError(UniSimError, ValueError):
    """A setting, argument or unit is not acceptable."""


class JumpWarning(UserWarning):
    """Something that works and may not do what a script written for MD means by it."""


class StructureError(UniSimError, ValueError):
    """An input structure (PDB, sequence, topology) can't be used."""


class MissingHydrogensError(StructureError):
    """A structure lacks the hydrogens that an all-atom model needs."""


class UnknownElementError(StructureError):
    """An element is outside the vocabulary of the network or of the model file."""


class DataError(UniSimError):
    """A trajectory or training-data file is broken, incomplete or of the wrong kind."""


class ModelFileError(UniSimError):
    """A model file is missing, truncated, foreign, of a newer format, or fails its checksum."""


class UntrustedModelError(ModelFileError):
    """A model file comes from elsewhere, and nobody has said that it may be run."""


class ModelDomainError(UniSimError, ValueError):
    """A model is asked for something it was not made for (temperature, substeps, elements, lag time)."""


class CheckpointError(UniSimError):
    """A training or simulation checkpoint doesn't belong to this run or is broken."""


class NonFiniteError(UniSimError, ArithmeticError):
    """Positions, forces or energies are NaN or infinite."""


class PlatformError(UniSimError):
    """The requested OpenMM platform doesn't exist here."""


class PluginError(UniSimError, ImportError):
    """The compiled plugin is absent or was built against another torch or OpenMM."""


class QualityError(UniSimError):
    """A jump broke the molecule and the run was told to stop at that."""


class OutputError(UniSimError, OSError):
    """An output file or folder can't be written."""


def check_choice(what: str, value: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`, else raise a `ConfigError` that names them."""
    if value not in choices:
        raise ConfigError(f"{what} '{value}' is unknown; choose one of {', '.join(choices)}.")
    return value


def tells_of_nan(error: Exception) -> bool:
    """Whether an exception of OpenMM's says that coordinates or energies aren't finite, which is a rejection to count.

    Any other one is the user's to see. OpenMM has one class for all, and names NaN in each such message.
    """
    return "NaN" in str(error)


def first_line(error: BaseException) -> str:
    """What an error says, in a line; its class where it says nothing, as some of torch's."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
