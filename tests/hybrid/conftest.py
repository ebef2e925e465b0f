"""Toy model files, written once."""

from pathlib import Path

import pytest

from tests.toy_models import write_toy


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files by name; "shift" is irreversible and wrong for any force field, "gentle" breaks no molecule."""
    folder = tmp_path_factory.mktemp("toys")
    metadata = {"environment": "vacuum", "masses": "hydrogen 4 Da", "friction": 1.0}
    variants = {
        "ou": dict(kind="ou"),
        "shift": dict(kind="constant", velocity=(0.06, 0.01, -0.01), sigma=0.08),
        "gentle": dict(kind="constant", sigma=0.0005, metadata=metadata),
        "rough": dict(kind="constant", sigma=0.006, metadata=metadata),
        "wild": dict(kind="constant", sigma=0.1, metadata=metadata),
        "nan": dict(kind="nan", k=3),
    }
    return {name: write_toy(folder / f"{name}.unisim.pt", **settings) for name, settings in variants.items()}
