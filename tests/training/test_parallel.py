"""Parts drawn ahead, and gradients by several threads and processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from openmm_unisim.data.pairs import Pair
from openmm_unisim.errors import ConfigError
from openmm_unisim.training.batches import Batch, PartStream, part_generator
from openmm_unisim.training.parallel import BatchGradients, _pieces
from openmm_unisim.training.processes import join_processes


def draw(generator: torch.Generator, size: int = 5) -> Batch:
    start, end, noise = (torch.randn(size, 4, 3, generator=generator) for _ in range(3))
    return Batch(Pair(start, end), torch.rand(size, generator=generator), noise, 0, 20.0)


def test_parts_depend_on_seed_step_and_number_only():
    stream = PartStream(draw, 3, range(2))
    handed_out = [stream.of_step(step) for step in range(3)]
    for step, parts in enumerate(handed_out):
        for part, found in enumerate(parts):
            expected = draw(part_generator(3, step, part))
            assert torch.equal(found.pair.end, expected.pair.end) and torch.equal(found.noise, expected.noise)
    later = PartStream(draw, 3, [1]).of_step(2)  # a run that goes on, in another process
    assert torch.equal(later[0].t, handed_out[2][1].t)
    draws = {float(draw(part_generator(*key)).t[0]) for key in ((3, 0, 0), (3, 0, 1), (3, 1, 0), (4, 0, 0))}
    assert len(draws) == 4


def test_an_error_while_drawing_is_raised():
    def fail(generator: torch.Generator) -> Batch:
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        PartStream(fail, 1, [0]).of_step(0)


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_gradients_of_parts_are_those_of_the_batch(threads):
    """Samples of unequal parts, and more threads than samples."""
    parts = [draw(part_generator(1, 0, 0)), draw(part_generator(1, 0, 1), 3)]
    layer = torch.nn.Linear(3, 3)
    unused = torch.nn.Parameter(torch.ones(2))

    def loss(part: Batch) -> tuple[torch.Tensor, float]:
        mean = ((layer(part.noise) - part.pair.end).square().mean((1, 2)) * part.t).mean()
        return mean, float(part.t.numel())

    results = []
    for count in (1, threads):
        value = BatchGradients(loss, [*layer.parameters(), unused], count)(parts)
        results.append((value, layer.weight.grad.clone(), layer.bias.grad.clone()))
    together: torch.Tensor = sum(mean * weight for mean, weight in map(loss, parts)) / 8
    together.backward()
    assert results[0][0] == pytest.approx(float(together.detach()), rel=1e-6)
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for one, two in zip(results[0][1:], results[1][1:]):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)
    assert not unused.grad.any()


def test_parts_that_cannot_be_cut_stay_whole_among_those_that_can():
    whole = object()  # a SubgraphPart, say
    batch = draw(part_generator(1, 0, 0))
    for parts in ([batch, whole], [whole, batch]):
        pieces = _pieces(parts, 4)
        assert pieces.count(whole) == 1 and sum(p.t.numel() for p in pieces if p is not whole) == 5


def test_more_processes_than_parts_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="parts = 1"):
        join_processes(1)


def test_processes_that_torchrun_did_not_start_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="without RANK"):
        join_processes(2)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="no number of processes"):
        join_processes(2)


def test_two_gloo_processes_train_as_one_with_the_joint_batch(walker, tmp_path):
    """The README's way: torchrun and the command; weights after three steps agree to rounding."""
    config = tmp_path / "train.json"
    small = {
        "hidden": 40,
        "heads": 4,
        "layers": 1,
        "ffn": 16,
        "rbf": 6,
        "expand": 2,
        "edge_width": 8,
        "place_width": 8,
    }
    settings = {
        "model": small, "lag_time": 5.0, "train_files": [str(walker)], "steps": 3, "batch": 3, "parts": 3, "warmup": 1,
        "validate_every": 3,
    }  # fmt: skip
    config.write_text(json.dumps(settings), encoding="utf-8")
    command = ["-m", "openmm_unisim.cli.main", "train", "vector-field", str(config), "--output"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, folder in (([sys.executable], "one"), (torchrun, "two")):
        subprocess.run([*start, *command, str(tmp_path / folder)], check=True, env=environment, timeout=240)
    from openmm_unisim.training.run_state import read_run

    one, two = (read_run(tmp_path / folder / "run.safetensors")[0] for folder in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
    lines = (tmp_path / "two" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 and "valid" in json.loads(lines[0])  # rank 0 alone writes
