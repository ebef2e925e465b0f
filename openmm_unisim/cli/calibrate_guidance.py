"""`openmm-unisim calibrate-guidance`: strength of guidance by OpenMM's forces or energies, stored with a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .run_options import ModelArgument, Sha256, Trust, vouched

if TYPE_CHECKING:
    from ..export.metadata import ModelMetadata

ENOUGH_PAIRS = 300  # that count; below, jumps rarely lead where the other environment is


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("calibrate-guidance")(calibrate_guidance)


def calibrate_guidance(
    model: ModelArgument,
    data: Annotated[
        list[str],
        typer.Option(help="MD of the model's own environment (`generate`'s files); may be repeated."),
    ],
    output: Annotated[Path, typer.Option(help="Model file to write; may be the same one.")],
    environment: Annotated[
        str | None, typer.Option(help="Environment to be guided to: vacuum or obc2.")
    ] = None,
    force: Annotated[
        list[Path] | None,
        typer.Option(help="XML of an OpenMM Force that is the environment instead; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the metadata call an environment given by --force.")] = "",
    parameters: Annotated[Path, typer.Option(help="Folder of small molecules' Amber files.")] = Path(
        "data/parameters"
    ),
    trust: Trust = False,
    sha256: Sha256 = None,
) -> None:
    """Estimate alpha from pairs of MD and store it, so that a guidance scale of 1 is the calibrated strength.

    alpha = <eps^2> / (<eps^2> + <eps_0 eps_tau>), 1/2 where the environment's energy outlives a jump, 1 where it
    doesn't (docs/theory.md, section 9).
    """
    from ..errors import ConfigError
    from ..export.change import change_metadata
    from ..export.metadata import read_metadata
    from ..pretrained.registry import resolve_model
    from ..pretrained.trust import authorise
    from ..provenance import sha256_of_file
    from ..training.guidance_strength import calibrate_strength
    from ..training.molecule_set import MoleculeSet, protocol_difference

    if (environment is None) == (not force):
        raise ConfigError("Name the environment to be guided to by --environment, or give it by --force.")
    path = Path(resolve_model(vouched(model, trust, sha256)))
    metadata = read_metadata(path)
    authorise(path, sha256_of_file(path))  # before the work, not after it
    target = environment or name or "given forces"
    _refuse_another_kernel(metadata, target, path)
    molecules = MoleculeSet.load(data, (metadata.lag_time_ps,))
    own = {"environment": metadata.environment, "temperature_K": metadata.training_temperature_K}
    difference = protocol_difference(molecules.protocol, own)
    if difference:
        raise ConfigError(
            f"The data have {difference} as the model '{path}'; give MD of its own environment."
        )
    found = calibrate_strength(
        molecules, metadata.lag_time_ps, _energies(environment, force or [], parameters)
    )
    change_metadata(path, output, {"guidance_alpha": found["alpha"], "guidance_environment": target})
    counting = found["effective_share"] * found["pairs"]
    print(
        f"{output}: alpha {found['alpha']:.3f} to {target}; {found['memory']:.3f} of its energy outlives a jump; of "
        f"{found['pairs']} pairs {found['effective_share']:.2%} count there"
    )
    if counting < ENOUGH_PAIRS:
        print(
            f"Warning: that is {counting:.0f} pairs, few to rest alpha on: give more MD. If the share is small, too, "
            "the model's environment rarely goes where the other one is, and a resampled jump needs many candidates."
        )


def _refuse_another_kernel(metadata: "ModelMetadata", target: str, path: Path) -> None:
    """One strength a file: that of its kernel, if it has one."""
    from ..errors import ConfigError

    if "learned" in metadata.served_sources and metadata.guidance_environment != target:
        raise ConfigError(
            f"'{path}' holds a kernel to '{metadata.guidance_environment}' with a strength of its own; calibrate a "
            f"file without kernel for '{target}'."
        )


def _energies(environment: str | None, files: list[Path], parameters: Path) -> Any:
    """eps of a molecule's frames, less its mean."""
    import openmm
    import torch

    from ..data.environment_energy import EnvironmentEnergy, ForceEnergy, molecule_of_frames
    from ..system import read_force
    from ..units import ANGSTROM_PER_NM, BOLTZMANN

    forces: list[openmm.Force] = [read_force(path) for path in files]

    def of(molecule: Any) -> torch.Tensor:
        attributes = molecule.source.attributes
        loaded = molecule_of_frames(attributes, parameters)
        if environment is None:
            energy: Any = ForceEnergy(loaded, forces)
        else:
            energy = EnvironmentEnergy(loaded, attributes["environment"], environment)
        frames = next(iter(molecule.samplers.values())).frames.numpy() / ANGSTROM_PER_NM
        found = torch.from_numpy(energy(frames)) / (BOLTZMANN * float(attributes["temperature_K"]))
        return found - found.mean()

    return of
