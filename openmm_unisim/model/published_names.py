"""Conversion of the published checkpoints' weights to our networks, by name.

The authors release whole pickled modules; those are never unpickled here. In *their* environment, save
`model.state_dict()` with safetensors, and give the tensors to `load_published`.
"""

import re
from typing import NamedTuple

from torch import Tensor

from ..errors import CheckpointError
from .checkpoint import load_into
from .config import GraphConfig, PublishedConfig, TrunkConfig
from .guidance_kernel import GuidanceKernel
from .representation import RepresentationModel
from .vector_field import VectorField

__all__ = ["PublishedModels", "load_published", "published_sizes"]

# Published name -> ours, tried in order on what follows the model's own prefix.
ENCODER_RULES = (
    (r"net\.embedding\.weight", r"encoder.embedding.element.weight"),
    (r"net\.distance_expansion\.(means|betas)", r"encoder.radial.\1"),
    (r"net\.neighbor_embedding\.expand_embedding", r"encoder.embedding.expansion"),
    (r"net\.neighbor_embedding\.embedding\.weight", r"encoder.embedding.neighbour_element.weight"),
    (r"net\.neighbor_embedding\.distance_proj\.(\w+)", r"encoder.embedding.edge.\1"),
    (r"net\.neighbor_embedding\.combine\.(\w+)", r"encoder.embedding.combine.\1"),
    (r"net\.neighbor_embedding\.expand_weight\.(\w+)", r"encoder.embedding.expansion_weight.\1"),
    (r"net\.attention_layers\.(\d+)\.layernorm\.(\w+)", r"encoder.trunk.layers.\1.norm.\2"),
    (r"net\.attention_layers\.(\d+)\.q_proj\.(\w+)", r"encoder.trunk.layers.\1.query.\2"),
    (r"net\.attention_layers\.(\d+)\.k_proj\.(\w+)", r"encoder.trunk.layers.\1.key.\2"),
    (r"net\.attention_layers\.(\d+)\.v_proj\.(\w+)", r"encoder.trunk.layers.\1.value.\2"),
    (r"net\.attention_layers\.(\d+)\.o_proj\.(\w+)", r"encoder.trunk.layers.\1.output.\2"),
    (r"net\.attention_layers\.(\d+)\.vec_proj\.(\w+)", r"encoder.trunk.layers.\1.mix.\2"),
    (r"net\.attention_layers\.(\d+)\.dk_proj\.(\w+)", r"encoder.trunk.layers.\1.key_filter.\2"),
    (r"net\.attention_layers\.(\d+)\.dv_proj\.(\w+)", r"encoder.trunk.layers.\1.value_filter.\2"),
    (r"net\.out_norm\.(\w+)", r"encoder.trunk.norm.\1"),
)
HEAD_NAMES = (
    (r"energy_ffn\.(\d+)", r"energy_heads.\1"),
    (r"vel_ffn", r"velocity_head"),
    (r"den_ffn", r"denoiser_head"),
    (r"bd0_ffn", r"start_head"),
    (r"bd1_ffn", r"end_head"),
    (r"iff_ffn", r"intermediate_head"),
)
HEAD_PARTS = (
    (r"\.linear_v\.(weight)", r".mix.\1"),
    (r"\.ffn_mlp\.0\.(\w+)", r".first.\1"),
    (r"\.ffn_mlp\.2\.(\w+)", r".second.\1"),
    (r"\.so3_norm\.gamma", r".norm.scale"),
)


class PublishedModels(NamedTuple):
    """Networks found in a published checkpoint; None where it holds none of that kind.

    Attributes
    ----------
    config : PublishedConfig
    representation : RepresentationModel
        Encoder (fine-tuned, where the checkpoint is a vector field's) and energy heads.
    vector_field : VectorField or None
    guidance_kernel : GuidanceKernel or None
    """

    config: PublishedConfig
    representation: RepresentationModel
    vector_field: VectorField | None
    guidance_kernel: GuidanceKernel | None


def _our_name(name: str) -> str:
    """Our name of a published one, or a `CheckpointError`."""
    for pattern, ours in ENCODER_RULES:
        if match := re.fullmatch(pattern, name):
            return match.expand(ours)
    for pattern, ours in HEAD_NAMES:
        match = re.match(pattern, name)
        if match:
            for part_pattern, part in HEAD_PARTS:
                if part_match := re.fullmatch(part_pattern, name[match.end() :]):
                    return match.expand(ours) + part_match.expand(part)
    raise CheckpointError(
        f"Weight {name!r} is no part of a published UniSim network; give its plain state dict."
    )


def published_sizes(state: dict[str, Tensor], prefix: str, heads: int, cutoff: float) -> TrunkConfig:
    """Sizes of the trunk whose weights begin with `prefix`.

    Parameters
    ----------
    state : dict of Tensor
        Under the published names.
    prefix : str
        What precedes `net.`, for instance "base.encoder.".
    heads : int
        Attention heads; weights don't show them.
    cutoff : float, angstrom

    Returns
    -------
    TrunkConfig
    """
    try:
        elements, hidden = state[f"{prefix}net.neighbor_embedding.embedding.weight"].shape
        expand = state[f"{prefix}net.neighbor_embedding.expand_embedding"].shape[1]
        rbf = state[f"{prefix}net.distance_expansion.means"].shape[0]
        own = state[f"{prefix}net.embedding.weight"].shape[1]
        ffn = state[f"{prefix}energy_ffn.0.ffn_mlp.0.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(
            f"Weight {error} is missing; give the plain state dict of a published network."
        ) from error
    found = [re.match(re.escape(prefix) + r"net\.attention_layers\.(\d+)\.", name) for name in state]
    layers = len({match.group(1) for match in found if match})
    return TrunkConfig(
        hidden=hidden, heads=heads, layers=layers, ffn=ffn, rbf=rbf, expand=expand, elements=elements,
        extra_scalars=hidden - own, cutoff=cutoff,
    )  # fmt: skip


def _split(state: dict[str, Tensor]) -> tuple[str, dict[str, dict[str, Tensor]]]:
    """Prefix of the encoder, and the weights of each of our networks under our names."""
    guided = any(name.startswith("base.") for name in state)
    base = "base." if guided else ""
    encoder = f"{base}encoder." if guided or any(name.startswith("encoder.") for name in state) else ""
    parts: dict[str, dict[str, Tensor]] = {"representation": {}, "vector_field": {}, "guidance_kernel": {}}
    for name, tensor in state.items():
        if name.startswith(encoder) and (encoder or not guided):
            ours = _our_name(name[len(encoder) :])
            parts["representation"][ours] = tensor
            if encoder and not ours.startswith("energy_heads."):
                parts["vector_field"][ours] = tensor
        elif name.startswith(base) and base:
            parts["vector_field"][_our_name(name[len(base) :])] = tensor
        else:
            parts["guidance_kernel" if guided else "vector_field"][_our_name(name)] = tensor
    return encoder, parts


def load_published(
    state: dict[str, Tensor],
    heads: int = 8,
    cutoff: float = 5.0,
    hydrogen_cutoff: float = 3.5,
    velocity_scale: float = 0.5,
    guidance_scale: float = 0.5,
) -> PublishedModels:
    """Rebuild the networks of a published state dict; all sizes but the heads are read from the weights.

    Parameters
    ----------
    state : dict of Tensor
        Of a representation model, a vector field, or a guided model (whose vector field begins with "base.").
    heads : int
        Attention heads.
    cutoff, hydrogen_cutoff : float, angstrom
    velocity_scale, guidance_scale : float

    Returns
    -------
    PublishedModels
        In evaluation mode.

    Raises
    ------
    CheckpointError
        If a name is unknown or missing, or a shape does not fit.
    """
    prefix, parts = _split(state)
    energy_heads = len({n.split(".")[1] for n in parts["representation"] if n.startswith("energy_heads.")})
    config = PublishedConfig(
        trunk=published_sizes(state, prefix, heads, cutoff),
        graph=GraphConfig(cutoff=cutoff, hydrogen_cutoff=hydrogen_cutoff),
        velocity_scale=velocity_scale, guidance_scale=guidance_scale, energy_heads=energy_heads,
    )  # fmt: skip
    origin = "The published state dict"
    representation = RepresentationModel(config)
    load_into(representation, parts["representation"], origin)
    field = kernel = None
    if parts["vector_field"]:
        field = VectorField(config)
        load_into(field, parts["vector_field"], origin)
        field.eval()
    if parts["guidance_kernel"]:
        kernel = GuidanceKernel(config)
        load_into(kernel, parts["guidance_kernel"], origin)
        kernel.eval()
    return PublishedModels(config, representation.eval(), field, kernel)
