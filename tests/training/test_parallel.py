"""Batches drawn ahead, and gradients by several threads."""

import pytest
import torch

from openmm_unisim.data.pairs import Pair
from openmm_unisim.training.batches import Batch, BatchStream
from openmm_unisim.training.parallel import BatchGradients


def draw(generator: torch.Generator, size: int = 5) -> Batch:
    start, end, noise = (torch.randn(size, 4, 3, generator=generator) for _ in range(3))
    return Batch(Pair(start, end), torch.rand(size, generator=generator), noise)


def test_a_stream_hands_out_what_the_generator_gives():
    generator = torch.Generator().manual_seed(3)
    stream = BatchStream(draw, generator)
    for _ in range(3):
        found, expected = stream.next(), draw(generator)
        assert torch.equal(found.pair.end, expected.pair.end) and torch.equal(found.noise, expected.noise)
        assert torch.equal(
            stream.state, generator.get_state()
        )  # of what was handed out, not of what is ahead


def test_a_stream_starts_again_from_a_state():
    stream = BatchStream(draw, torch.Generator().manual_seed(3))
    stream.next()
    generator = torch.Generator()
    generator.set_state(stream.state)
    assert torch.equal(stream.next().t, BatchStream(draw, generator).next().t)


def test_an_error_while_drawing_is_raised():
    def fail(generator: torch.Generator) -> Batch:
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        BatchStream(fail, torch.Generator()).next()


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_gradients_of_parts_are_those_of_the_batch(threads):
    """Five samples: parts of unequal size, and more threads than samples."""
    batch = draw(torch.Generator().manual_seed(1))
    layer = torch.nn.Linear(3, 3)
    unused = torch.nn.Parameter(torch.ones(2))

    def loss(part: Batch) -> torch.Tensor:
        return ((layer(part.noise) - part.pair.end).square().mean((1, 2)) * part.t).mean()

    results = []
    for count in (1, threads):
        value = BatchGradients(loss, [*layer.parameters(), unused], count)(batch)
        results.append((value, layer.weight.grad.clone(), layer.bias.grad.clone()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for one, two in zip(results[0][1:], results[1][1:]):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)
    assert not unused.grad.any()
