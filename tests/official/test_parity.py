"""Our published-form networks are the authors' functions: recorded numbers, 1e-4 relative in float32."""

from pathlib import Path

import numpy as np
import pytest

from openmm_unisim._plugin import operators_are_built
from openmm_unisim.model.fused import for_inference, use_fused

from . import check_parity
from .check_parity import compare, prepare

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "official_parity.npz"


def load(path):
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def record():
    return load(SHARED if SHARED.exists() else HERE / "official_parity.npz")


def test_every_recorded_array_is_reproduced(record):
    results = compare(record, 1e-4)
    assert len(results) == 38
    assert [result for result in results if not result.passed] == []


def test_the_fused_operators_reproduce_them_too(record, monkeypatch):
    """Vector field and guidance kernel packed for inference; layers of the rest by the operator with derivatives."""
    if not operators_are_built():
        pytest.skip("the plugin is not built")

    def packed(arrays):
        setup = prepare(arrays)
        for_inference(setup.models.vector_field)
        for_inference(setup.models.guidance_kernel)
        use_fused(setup.models.representation, True)
        return setup

    monkeypatch.setattr(check_parity, "prepare", packed)
    assert [result for result in compare(record, 1e-4) if not result.passed] == []


def test_a_wrong_number_is_noticed(record):
    """The check is able to fail: one weight, one edge and one output changed."""
    changed = dict(record)
    changed["weights.base.encoder.net.attention_layers.1.dv_proj.bias"] = (
        record["weights.base.encoder.net.attention_layers.1.dv_proj.bias"] + 0.01
    )
    changed["io.t1.edges"] = record["io.t1.edges"][:, 1:]
    failed = {result.name for result in compare(changed, 1e-4) if not result.passed}
    assert {"io.t1.edges", "io.t0.velocity", "io.head2.force"} <= failed
    assert "io.t0.edges" not in failed


@pytest.mark.skipif(not SHARED.exists(), reason="no shared folder beside the checkout")
def test_the_committed_copy_is_the_shared_record():
    shared, copy = load(SHARED), load(HERE / "official_parity.npz")
    assert shared.keys() == copy.keys()
    assert all(np.array_equal(shared[name], copy[name]) for name in shared)
