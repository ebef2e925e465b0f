"""Configurations of the ablations: what one training run becomes without one of its parts, at equal steps.

    python benchmarks/make_ablations.py data/train/peptide.json --steps 12000 --output runs/ablations \\
        --pretrained runs/pretrain/run.safetensors

writes `full.json`, `no-x0.json`, `no-expansion.json` and, with `--pretrained`, `pretrained.json` (the
same run as `full`, which starts from nothing, but from pretrained weights), and prints the commands that run them.

| name | differs in |
|---|---|
| full | nothing; starts from random weights, as all but `pretrained` |
| no-x0 | `model.conditioned` = false: the network sees x_t alone (docs/theory.md, "Without x_0") |
| no-expansion | `model.expand` = 1: an element's embedding doesn't depend on what surrounds it |
| pretrained | `start_from`: the trunk and embedding of pretraining |
"""

import argparse
import json
from pathlib import Path

from openmm_unisim.cli.train import read_config
from openmm_unisim.errors import UniSimError
from openmm_unisim.training.config import VectorFieldConfig

CHANGES: dict[str, dict[str, object]] = {
    "full": {},
    "no-x0": {"conditioned": False},
    "no-expansion": {"expand": 1},
}


def variants(base: VectorFieldConfig, steps: int, pretrained: str = "") -> dict[str, VectorFieldConfig]:
    """The runs by name: the base's seed, data, schedule and steps throughout."""
    scratch = base.model_copy(update={"steps": steps or base.steps, "start_from": ""})
    found = {
        name: scratch.model_copy(update={"model": base.model.model_copy(update=change)})
        for name, change in CHANGES.items()
    }
    if pretrained:
        found["pretrained"] = scratch.model_copy(update={"start_from": pretrained})
    return found


def main() -> None:
    """Read the base, write the variants, print the commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path, help="configuration of `openmm-unisim train vector-field`")
    parser.add_argument("--steps", type=int, default=0, help="of every run; default the base's")
    parser.add_argument("--pretrained", default="", help="weights that `pretrained` starts from")
    parser.add_argument("--output", type=Path, required=True, help="folder for configurations and runs")
    arguments = parser.parse_args()
    try:
        base = read_config(arguments.base, VectorFieldConfig)
    except UniSimError as error:
        parser.exit(2, f"Error: {error}\n")
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = variants(base, arguments.steps, arguments.pretrained)
    for name, config in found.items():
        path = arguments.output / f"{name}.json"
        path.write_text(json.dumps(config.model_dump(exclude_unset=False), indent=1) + "\n", encoding="utf-8")
        print(f"openmm-unisim train vector-field {path} --output {arguments.output / name}")
    runs = " ".join(f"{name}={arguments.output / name}" for name in found)
    print(
        f"python benchmarks/learning_curves.py {runs} --figures valid valid_start valid_early valid_late valid_end "
        "--title Ablations --json benchmarks/results/ablations.json --svg docs/figures/ablations.svg"
    )


if __name__ == "__main__":
    main()
