"""Storage of weights and conversion of published names."""

import json

import pytest
import torch
from safetensors.torch import save_file

from openmm_unisim.errors import CheckpointError, OutputError
from openmm_unisim.model.checkpoint import load_model, load_weights, save_weights
from openmm_unisim.model.guidance_kernel import GuidanceKernel
from openmm_unisim.model.published_names import load_published
from openmm_unisim.model.representation import RepresentationModel
from openmm_unisim.model.vector_field import VectorField

from .molecules import small_config

# Ours -> published, written out again so that the conversion's table is checked from the other side.
ENCODER = {
    "embedding.element": "embedding",
    "radial": "distance_expansion",
    "embedding.expansion": "neighbor_embedding.expand_embedding",
    "embedding.neighbour_element": "neighbor_embedding.embedding",
    "embedding.edge": "neighbor_embedding.distance_proj",
    "embedding.combine": "neighbor_embedding.combine",
    "embedding.expansion_weight": "neighbor_embedding.expand_weight",
    "trunk.norm": "out_norm",
}
LAYER = {
    "norm": "layernorm", "query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj",
    "mix": "vec_proj", "key_filter": "dk_proj", "value_filter": "dv_proj",
}  # fmt: skip
HEADS = {
    "velocity_head": "vel_ffn", "denoiser_head": "den_ffn", "start_head": "bd0_ffn", "end_head": "bd1_ffn",
    "intermediate_head": "iff_ffn",
}  # fmt: skip
PARTS = {"mix.weight": "linear_v.weight", "norm.scale": "so3_norm.gamma"}
PARTS |= {
    f"{a}.{p}": f"ffn_mlp.{b}.{p}" for a, b in (("first", 0), ("second", 2)) for p in ("weight", "bias")
}


def published_name(ours):
    """Published name of one of our weights, relative to the network that holds it."""
    if ours.startswith("encoder.trunk.layers."):
        _, _, _, index, part, leaf = ours.split(".")
        return f"net.attention_layers.{index}.{LAYER[part]}.{leaf}"
    if ours.startswith("encoder."):
        for mine, theirs in ENCODER.items():
            rest = ours.removeprefix(f"encoder.{mine}")
            if rest != ours.removeprefix("encoder.") and (not rest or rest.startswith(".")):
                return f"net.{theirs}{rest}"
    if ours.startswith("energy_heads."):
        _, index, part = ours.split(".", 2)
        return f"energy_ffn.{index}.{PARTS[part]}"
    head, part = ours.split(".", 1)
    return f"{HEADS[head]}.{PARTS[part]}"


@pytest.fixture(scope="module")
def published():
    """Networks, and a representation, a vector-field and a guided checkpoint under the published names."""
    config = small_config()
    networks = [
        kind(config, torch.Generator().manual_seed(seed))
        for seed, kind in enumerate((RepresentationModel, VectorField, GuidanceKernel))
    ]
    representation, field, kernel = (
        {published_name(k): v for k, v in n.state_dict().items()} for n in networks
    )
    both = representation | field  # the field's own encoder
    stored_field = {f"encoder.{k}": v for k, v in both.items() if k.startswith(("net.", "energy_ffn."))}
    stored_field |= {k: v for k, v in field.items() if k.startswith(("vel_ffn", "den_ffn"))}
    guided = {f"base.{k}": v for k, v in stored_field.items()} | kernel
    return networks, representation, stored_field, guided


def same(model, other, skip=()):
    mine, theirs = model.state_dict(), other.state_dict()
    return all(torch.equal(mine[k], theirs[k]) for k in theirs if not k.startswith(tuple(skip)))


def test_each_kind_of_published_checkpoint(published):
    (representation, field, kernel), first, second, third = published
    loaded = load_published(first, heads=4)
    assert loaded.vector_field is None and loaded.guidance_kernel is None
    assert same(loaded.representation, representation)
    loaded = load_published(second, heads=4)
    assert loaded.guidance_kernel is None
    assert same(loaded.vector_field, field) and same(loaded.representation.encoder, field.encoder)
    assert same(loaded.representation.energy_heads, representation.energy_heads)
    loaded = load_published(third, heads=4)
    assert loaded.config == small_config()
    assert same(loaded.vector_field, field) and same(loaded.guidance_kernel, kernel)


def test_unknown_and_missing_published_names_are_errors(published):
    guided = published[3]
    with pytest.raises(CheckpointError, match=r"net\.surprise"):
        load_published({**guided, "net.surprise": torch.zeros(1)}, heads=4)
    with pytest.raises(CheckpointError, match=r"energy_heads|surprise"):
        load_published({**guided, "base.encoder.energy_ffn.0.surprise": torch.zeros(1)}, heads=4)
    for gone in ("base.den_ffn.linear_v.weight", "net.out_norm.bias", "base.encoder.net.out_norm.bias"):
        with pytest.raises(CheckpointError, match="missing"):
            load_published({k: v for k, v in guided.items() if k != gone}, heads=4)
    with pytest.raises(CheckpointError, match="missing"):
        load_published({}, heads=4)
    misshapen = {**guided, "net.out_norm.bias": torch.zeros(17)}
    with pytest.raises(CheckpointError, match="shape"):
        load_published(misshapen, heads=4)


def test_round_trip(tmp_path):
    config = small_config(vector_envelope=True)
    model = VectorField(config, torch.Generator().manual_seed(1))
    path = tmp_path / "field.safetensors"
    save_weights(path, model, "vector_field", config, {"seed": 1})
    loaded, settings = load_model(path)
    assert settings == config and same(loaded, model) and not loaded.training
    assert load_weights(path)[3] == {"seed": 1}


def test_broken_files_are_named_errors(tmp_path):
    with pytest.raises(CheckpointError, match="safetensors"):
        load_weights(tmp_path / "absent.safetensors")
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_weights(path)
    save_file({"a": torch.zeros(1)}, str(path))
    with pytest.raises(CheckpointError, match="lacks"):
        load_weights(path)
    header = {"format_version": "999", "kind": "vector_field", "config": "{}"}
    save_file({"a": torch.zeros(1)}, str(path), metadata=header)
    with pytest.raises(CheckpointError, match="999"):
        load_weights(path)
    save_file({"a": torch.zeros(1)}, str(path), metadata={**header, "format_version": "1", "kind": "oracle"})
    with pytest.raises(CheckpointError, match="oracle"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, str(path), metadata={**header, "format_version": "1"})
    with pytest.raises(CheckpointError, match="missing"):
        load_model(path)
    wrong = json.dumps({"surprise": 1})
    save_file({"a": torch.zeros(1)}, str(path), metadata={**header, "format_version": "1", "config": wrong})
    with pytest.raises(CheckpointError, match="surprise"):
        load_model(path)


def test_unwritable_place_is_an_output_error(tmp_path):
    config = small_config()
    with pytest.raises(OutputError):
        save_weights(tmp_path / "no" / "folder.safetensors", VectorField(config), "vector_field", config)
