"""The noise stream: published Philox vectors, the exact definition spelled out, and its statistics."""

import math

import numpy as np
import pytest
from scipy import stats

from openmm_unisim.errors import ConfigError
from openmm_unisim.simulation.noise import (
    ACCEPTANCE,
    VELOCITIES,
    acceptance_uniform,
    philox4x32,
    standard_normals,
)

# Known answers that Random123 publishes for philox4x32-10 (tests/kat_vectors): counter, key, output.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("counter, key, expected", VECTORS)
def test_published_vectors(counter, key, expected):
    assert philox4x32(words(counter), words(key)).tolist() == words(expected)


def test_blocks_are_independent_of_the_batch():
    counters = np.array([words(vector[0]) for vector in VECTORS])
    keys = np.array([words(vector[1]) for vector in VECTORS])
    assert philox4x32(counters, keys).tolist() == [words(vector[2]) for vector in VECTORS]
    assert philox4x32(counters, keys[1])[1].tolist() == words(VECTORS[1][2])


def test_definition_spelled_out():
    seed, stream, step, substep, particle = 2**32 + 7, VELOCITIES, 5 * 2**32 + 9, 3, 11
    key = (7, stream)
    a = [(int(r) + 0.5) / 2**32 for r in philox4x32((particle, substep, 9, 5), key)]
    b = [(int(r) + 0.5) / 2**32 for r in philox4x32((particle, substep + 2**31, 9, 5), key)]
    expected = [
        math.sqrt(-2 * math.log(a[0])) * math.cos(2 * math.pi * a[1]),
        math.sqrt(-2 * math.log(a[0])) * math.sin(2 * math.pi * a[1]),
        math.sqrt(-2 * math.log(b[0])) * math.cos(2 * math.pi * b[1]),
    ]
    np.testing.assert_allclose(standard_normals(seed, step, substep, particle, stream), expected, rtol=1e-14)
    uniform = (int(philox4x32((0, 0, 9, 5), (7, ACCEPTANCE))[0]) + 0.5) / 2**32
    assert float(acceptance_uniform(seed, step)) == uniform


def test_values_do_not_depend_on_how_they_are_batched():
    whole = standard_normals(np.arange(4)[:, None, None], 2, np.arange(3)[None, :, None], np.arange(5))
    assert whole.shape == (4, 3, 5, 3)
    np.testing.assert_array_equal(whole[2, 1, 3], standard_normals(2, 2, 1, 3))


def test_first_numbers_are_frozen():
    """Fixed for ever: trajectories and checkpoints depend on them, in C++ as here."""
    expected = [
        [0.38040073418569914, -0.29627788940822625, 0.5139612090288669],
        [0.6269478532419015, -0.6339837684013817, -0.5986816871939696],
    ]
    np.testing.assert_allclose(standard_normals(1, 0, 0, [0, 1]), expected, rtol=1e-12)


def test_statistics():
    sample = standard_normals(123, 0, np.arange(100)[:, None], np.arange(500)).reshape(-1, 3)
    for column in sample.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    correlation = np.corrcoef(np.concatenate([sample, sample[np.r_[1 : len(sample), 0]]], axis=1).T)
    assert np.abs(correlation - np.eye(6)).max() < 4.5 / math.sqrt(len(sample))
    uniform = acceptance_uniform(np.arange(20000), 1)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3 and uniform.min() > 0 and uniform.max() < 1


def test_every_part_of_the_counter_matters():
    base = standard_normals(1, 1, 1, 1)
    for other in [(2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2), (1, 1 + 2**32, 1, 1)]:
        assert np.abs(standard_normals(*other) - base).min() > 0
    assert np.abs(standard_normals(1, 1, 1, 1, VELOCITIES) - base).min() > 0


@pytest.mark.parametrize(
    "arguments, part",
    [
        ((1, -1, 0, 0), "step"),
        ((1, 0, 2**31, 0), "substep"),
        ((1, 0, 0, -1), "particle"),
        ((1.5, 0, 0, 0), "seed"),
    ],
)
def test_bad_counters_are_refused(arguments, part):
    with pytest.raises(ConfigError, match=part):
        standard_normals(*arguments)
