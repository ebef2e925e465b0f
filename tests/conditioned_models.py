"""A small, untrained model of the shipped form: its weights and its model file."""

from pathlib import Path

import torch

from openmm_unisim.export.change import change_metadata
from openmm_unisim.export.conditioned import export_conditioned, save_conditioned, save_kernel
from openmm_unisim.export.exporter import weights_sha256
from openmm_unisim.model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
from openmm_unisim.model.spread import SpreadHead

CONFIG = ConditionedConfig(
    hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8, filters=4, refine_layers=1,
    refine_rbf=6,
)  # fmt: skip
PROTOCOL = {
    "name": "ACE-A-NME",
    "environment": "obc2",
    "force_field": "ff14SB",
    "temperature_K": 300.0,
    "friction_per_ps": 1.0,
    "hydrogen_mass_Da": 4.0,
    "atomic_numbers": [1, 6, 7, 8],
}


def tiny_field(seed: int) -> ConditionedField:
    """A field of which every part counts: filters and refinement start as zero."""
    field = ConditionedField(CONFIG, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 2)
    for parameter in field.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return field


def write_tiny_model(folder: Path) -> Path:
    """Write weights.safetensors and tiny.unisim.pt (lag 20 ps, 8 substeps); returns the latter."""
    field = tiny_field(2)
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    weights, path = folder / "weights.safetensors", folder / "tiny.unisim.pt"
    save_conditioned(weights, field, spread, CONFIG, 20.0, PROTOCOL, {"data": {}})
    export_conditioned(weights, path, substeps=8, covariance="group-wise")
    return path


def write_tiny_guided_model(folder: Path, plain: bool = False) -> Path:
    """Beside `write_tiny_model`'s files: kernel.safetensors and guided.unisim.pt, vacuum in name only."""
    write_tiny_model(folder)
    kernel, path = folder / "kernel.safetensors", folder / "guided.unisim.pt"
    guidance = {
        "alpha": 0.8,
        "environment": "vacuum",
        "lag_time": 20.0,
        "base_weights": weights_sha256(tiny_field(2)),
    }
    save_kernel(kernel, tiny_field(7), CONFIG, guidance, {"data": {}})
    export_conditioned(folder / "weights.safetensors", path, substeps=8, guidance=kernel, plain=plain)
    return path


def write_tiny_live_model(folder: Path, kernel: bool = True, plain: bool = False) -> Path:
    """live.unisim.pt: trained in vacuum, served by OpenMM's forces and, with a kernel to obc2, by all sources."""
    field = tiny_field(2)
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    weights, path = folder / "vacuum.safetensors", folder / "live.unisim.pt"
    save_conditioned(weights, field, spread, CONFIG, 20.0, PROTOCOL | {"environment": "vacuum"}, {"data": {}})
    guidance = {
        "alpha": 0.8,
        "environment": "obc2",
        "lag_time": 20.0,
        "base_weights": weights_sha256(field),
    }
    learned = folder / "vacuum-kernel.safetensors"
    save_kernel(learned, tiny_field(7), CONFIG, guidance, {"data": {}})
    export_conditioned(
        weights, path, substeps=8, guidance=learned if kernel else None, source="openmm", plain=plain
    )
    if not kernel:
        change_metadata(path, path, {"guidance_alpha": 0.8})
    return path
