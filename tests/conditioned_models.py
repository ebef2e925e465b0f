"""A small, untrained model of the shipped form: its weights and its model file."""

from pathlib import Path

import torch

from openmm_unisim.export.conditioned import export_conditioned, save_conditioned
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


def write_tiny_model(folder: Path) -> Path:
    """Write weights.safetensors and tiny.unisim.pt (lag 20 ps, 8 substeps); returns the latter."""
    field = ConditionedField(CONFIG, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(4)
    for parameter in field.parameters():  # filters and refinement start as zero: let them count
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    spread = SpreadHead(CONFIG.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    weights, path = folder / "weights.safetensors", folder / "tiny.unisim.pt"
    save_conditioned(weights, field, spread, CONFIG, 20.0, PROTOCOL, {"data": {}})
    export_conditioned(weights, path, substeps=8, covariance="group-wise")
    return path
