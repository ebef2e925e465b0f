"""Enter a model file, and the weights that it was made of, into the registry of shipped models, with their checksums.

python tools/register_model.py NAME NAME.unisim.pt card.md weights.safetensors   (all in openmm_unisim/pretrained/NAME)
"""

import json
import sys
from pathlib import Path

from openmm_unisim.errors import ConfigError
from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.pretrained.registry import FOLDER
from openmm_unisim.provenance import sha256_of_file


def main(name: str, file: str, card: str, weights: str, folder: Path = FOLDER) -> None:
    """Validate the file, then write its entry."""
    model, page, tensors = (Path(path).resolve() for path in (file, card, weights))
    for path in (page, tensors):
        if not path.is_file():
            raise ConfigError(
                f"There is no '{path}'; a shipped model has a card and weights (CONTRIBUTING.md)."
            )
    validate_model_file(model)
    registry = folder / "registry.json"
    entries = json.loads(registry.read_text(encoding="utf-8"))
    before = entries.get(name, {})
    entries[name] = {
        "file": model.relative_to(folder).as_posix(),
        "sha256": sha256_of_file(model),
        "card": page.relative_to(folder).as_posix(),
        "weights": tensors.relative_to(folder).as_posix(),
        "weights_sha256": sha256_of_file(tensors),
    }
    if before.get("weights_sha256") == entries[name]["weights_sha256"]:  # another file of the same weights
        earlier = {*before.get("earlier_sha256", ()), before["sha256"]} - {entries[name]["sha256"]}
        if earlier:
            entries[name]["earlier_sha256"] = sorted(earlier)
    registry.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{name}: {entries[name]['sha256']}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
