"""Toy model files, written once, and the platforms on which tests are repeated."""

from pathlib import Path

import pytest
import torch

from tests.plugin.systems import PLATFORMS
from tests.toy_models import write_toy

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files of the analytic toys, by name."""
    folder = tmp_path_factory.mktemp("toys")
    variants = {
        "ou": dict(kind="ou"),
        "ou32": dict(kind="ou", dtype=torch.float32),
        "euler": dict(kind="ou", covariance=False),
        "noiseless_end": dict(kind="ou", noiseless_end=True),
        "guided": dict(kind="guided"),
        "constant": dict(kind="constant"),
        "nan": dict(kind="nan", k=3),
        "always_nan": dict(kind="nan", k=1),
        "needs_bonds": dict(kind="ou", metadata={"needs_bonds": True}),
    }
    return {name: write_toy(folder / f"{name}.unisim.pt", **settings) for name, settings in variants.items()}


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    """An id for `make_platform`."""
    return str(request.param)
