"""From weights of the published form to a model file.

Weights come as this program's own files (safetensors with a header: a vector field, and perhaps a guidance kernel), or
as the authors' state dict, saved with safetensors under its published names (`model.published_names`).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from torch import Generator

from .._plugin import operators_are_built
from ..errors import CheckpointError, ConfigError
from ..model.checkpoint import load_model, load_weights, read_header
from ..model.config import PublishedConfig
from ..model.fused import for_inference
from ..model.guidance_kernel import GuidanceKernel
from ..model.neighbour_search import NeighbourSearch
from ..model.published_names import load_published
from ..model.vector_field import VectorField
from ..units import noise_scale
from .exporter import save_model_file, weights_sha256
from .metadata import PACKAGE_SUFFIX, ModelMetadata
from .published_jump import GuidedPublishedJump, PublishedJump

__all__ = [
    "PublishedProtocol",
    "export_published",
    "export_published_networks",
    "random_jump",
    "random_vector_field",
]


@dataclass(frozen=True)
class PublishedProtocol:
    """What the weights were trained on; the defaults are the paper's peptide data (UniSim, spec section 11).

    Attributes
    ----------
    lag_time : float, ps
    temperature : float, K
    atomic_numbers : tuple of int
        Elements of the pairs that the vector field was trained on.
    environment, force_field, constraints, masses, training_data, license : str
        As in the model file's metadata (docs/model_file.md).
    friction : float, 1/ps
    """

    lag_time: float = 100.0
    temperature: float = 300.0
    atomic_numbers: tuple[int, ...] = (1, 6, 7, 8, 16)
    environment: str = "obc1"
    force_field: str = "amber14-all"
    constraints: str = "h-bonds"
    masses: str = "unchanged"
    friction: float = 0.5
    training_data: str = "PepMD as published"
    license: str = "unknown"


def random_vector_field(
    config: PublishedConfig | None = None, seed: int = 1, scale: float = 1.0
) -> VectorField:
    """Untrained weights, for timing and tests.

    Parameters
    ----------
    config : PublishedConfig, optional
        The published sizes unless told.
    seed : int
    scale : float
        Multiplies both outputs; small values let a molecule keep its shape over a jump.

    Returns
    -------
    VectorField
    """
    field = VectorField(config or PublishedConfig(), Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        for head in (field.velocity_head, field.denoiser_head):
            head.second.weight.mul_(scale)
            head.second.bias.mul_(scale)
    return field


def random_jump(seed: int = 1) -> PublishedJump:
    """The step of untrained networks of the published sizes, in memory and packed for inference."""
    config, protocol = PublishedConfig(), PublishedProtocol()
    field = random_vector_field(config, seed)
    jump = _jump(field, config, noise_scale(protocol.temperature), protocol.atomic_numbers, None, 0.0)
    return for_inference(jump)


def export_published_networks(
    field: VectorField,
    config: PublishedConfig,
    output: str | Path,
    *,
    kernel: GuidanceKernel | None = None,
    protocol: PublishedProtocol | None = None,
    substeps: int = 15,
    alpha: float = 1.0,
    plain: bool = False,
) -> ModelMetadata:
    """Write the model file of networks in memory.

    Parameters
    ----------
    field : VectorField
        Packed in place unless `plain`.
    config : PublishedConfig
    output : str or Path
    kernel : GuidanceKernel, optional
        Packed in place unless `plain`.
    protocol : PublishedProtocol, optional
    substeps : int
        Default number of substeps of a jump, at least 2.
    alpha : float
        With a kernel: how many times the potential tilts the density at guidance_scale = 1.
    plain : bool
        Without the plugin's fused operators; they are left out, too, where the plugin is not built.

    Returns
    -------
    ModelMetadata
        As written.
    """
    if Path(output).suffix == PACKAGE_SUFFIX:
        raise ConfigError(
            f"'{output}' would be a compiled package, which the published form doesn't offer; name it .unisim.pt."
        )
    if substeps < 2:
        raise ConfigError(f"substeps = {substeps}, but the published form needs at least 2; give more.")
    if not alpha >= 0:
        raise ConfigError(f"alpha = {alpha} is negative; 0 is no guidance, 1 the potential's own strength.")
    protocol = protocol or PublishedProtocol()
    elements = tuple(sorted(set(protocol.atomic_numbers)))
    jump = _jump(field, config, noise_scale(protocol.temperature), elements, kernel, alpha)
    digest = weights_sha256(jump)
    if operators_are_built() and not plain:
        for_inference(jump)
    metadata = _metadata(protocol, config, elements, substeps, digest, 0.0 if kernel is None else alpha)
    return save_model_file(jump, metadata, output)


def export_published(
    weights: str | Path,
    output: str | Path,
    *,
    guidance: str | Path | None = None,
    substeps: int = 15,
    alpha: float | None = None,
    lag_time: float | None = None,
    plain: bool = False,
) -> ModelMetadata:
    """Write the model file of a weights file.

    Parameters
    ----------
    weights : str or Path
        A vector field of this program, or the authors' state dict (guided or not).
    output : str or Path
    guidance : str or Path, optional
        A guidance kernel of this program; the authors' guided state dict holds its own.
    substeps, alpha, plain
        Of `export_published_networks`; alpha is 1 unless told.
    lag_time : float, ps, optional
        What the weights were trained for, where the file doesn't say; 100 ps unless told.

    Returns
    -------
    ModelMetadata

    Raises
    ------
    CheckpointError
        If a file holds another network, or the two don't belong together.
    """
    config, field, kernel, extra = _load(Path(weights))
    if guidance is not None:
        kernel = _load_kernel(Path(guidance), config)
    if alpha is not None and kernel is None:
        raise ConfigError(f"alpha = {alpha}, but '{weights}' has no guidance kernel; give one, or no alpha.")
    given = dict(extra.get("protocol", {}))
    if lag_time is not None:
        given["lag_time"] = lag_time
    unknown = sorted(given.keys() - {entry.name for entry in fields(PublishedProtocol)})
    if unknown:
        raise CheckpointError(f"The protocol in '{weights}' has the unknown entry '{unknown[0]}'; remove it.")
    return export_published_networks(
        field, config, output, kernel=kernel, protocol=PublishedProtocol(**given), substeps=substeps,
        alpha=1.0 if alpha is None else alpha, plain=plain,
    )  # fmt: skip


def _jump(
    field: VectorField, config: PublishedConfig, sigma: float, elements: tuple[int, ...],
    kernel: GuidanceKernel | None, alpha: float,
) -> PublishedJump:  # fmt: skip
    search, known = NeighbourSearch(config.graph), torch.tensor(elements)
    if kernel is None:
        return PublishedJump(search, field, sigma, known)
    return GuidedPublishedJump(search, field, sigma, known, kernel, alpha)


def _load(path: Path) -> tuple[PublishedConfig, VectorField, GuidanceKernel | None, dict[str, Any]]:
    """Networks of a file, and what its header says beside."""
    header, state = read_header(path)
    if "kind" not in header:
        models = load_published(state)
        if models.vector_field is None:
            raise CheckpointError(
                f"'{path}' holds a representation model, which makes no jumps; give a vector field's weights."
            )
        return models.config, models.vector_field, models.guidance_kernel, {}
    if header["kind"] != "vector_field":
        raise CheckpointError(
            f"'{path}' holds weights of kind '{header['kind']}', which makes no jumps; give a vector field's."
        )
    field, config = load_model(path)
    return config, cast(VectorField, field), None, load_weights(path)[3]


def _load_kernel(path: Path, config: PublishedConfig) -> GuidanceKernel:
    kernel, its = load_model(path)
    if not isinstance(kernel, GuidanceKernel):
        raise CheckpointError(f"'{path}' holds no guidance kernel; give the weights of one.")
    if its.trunk.hidden != config.trunk.hidden or its.graph != config.graph:
        raise CheckpointError(
            f"'{path}' has another width or graph than the vector field; give the kernel trained beside it."
        )
    return kernel


def _metadata(
    protocol: PublishedProtocol, config: PublishedConfig, elements: tuple[int, ...], substeps: int, digest: str,
    alpha: float,
) -> ModelMetadata:  # fmt: skip
    temperature = protocol.temperature
    return ModelMetadata(
        lag_time_ps=protocol.lag_time, training_temperature_K=temperature,
        temperature_range_K=(temperature - 1, temperature + 1), elements=elements,
        cutoff_nm=config.graph.cutoff / 10, periodic=False, symmetry="O(3)", conditioned_on_initial=False,
        needs_bonds=False, default_substeps=substeps, environment=protocol.environment,
        force_field=protocol.force_field, constraints=cast(Any, protocol.constraints), masses=protocol.masses,
        friction=protocol.friction, rigid_motion_removed=False, guidance_alpha=alpha,
        guidance="learned" if alpha > 0 else "none", forces_required=False,
        default_guidance_scale=1.0 if alpha > 0 else 0.0, scalar_type="float32", weights_sha256=digest,
        training_data=protocol.training_data, license=protocol.license,
    )  # fmt: skip
