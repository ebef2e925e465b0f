"""Enter a model file into the registry of shipped models, with its checksum.

python tools/register_model.py ala2 openmm_unisim/pretrained/ala2/ala2.unisim.pt openmm_unisim/pretrained/ala2/card.md
"""

import json
import sys
from pathlib import Path

from openmm_unisim.export.validate import validate_model_file
from openmm_unisim.pretrained.registry import FOLDER
from openmm_unisim.provenance import sha256_of_file


def main(name: str, file: str, card: str) -> None:
    """Validate the file, then write its entry."""
    model, page = Path(file).resolve(), Path(card).resolve()
    validate_model_file(model)
    registry = FOLDER / "registry.json"
    entries = json.loads(registry.read_text(encoding="utf-8"))
    entries[name] = {
        "file": model.relative_to(FOLDER).as_posix(),
        "sha256": sha256_of_file(model),
        "card": page.relative_to(FOLDER).as_posix(),
    }
    registry.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{name}: {entries[name]['sha256']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
