"""Torsion series of known correlation time, and samples made of them."""

from typing import Any

import numpy as np


def two_state_psi(
    n_frames: int, stay_alpha: float, stay_beta: float, generator: np.random.Generator
) -> np.ndarray:
    """psi (degrees) of a Markov chain between alpha (-40) and beta (150): eigenvalue stay_alpha + stay_beta - 1."""
    state, states = 0, np.empty(n_frames, dtype=int)
    for frame, number in enumerate(generator.random(n_frames)):
        if number > (stay_alpha, stay_beta)[state]:
            state = 1 - state
        states[frame] = state
    return np.where(states == 0, -40.0, 150.0) + generator.normal(0.0, 5.0, n_frames)


def sample(
    n_frames: int,
    eigenvalue: float,
    seed: int,
    *,
    seconds: float = 10.0,
    spacing: float = 20.0,
    alpha: float = 0.4,
) -> dict[str, Any]:
    """What a worker returns for a run whose basin indicator has this eigenvalue per frame and this population."""
    generator = np.random.default_rng(seed)
    leave = (1.0 - eigenvalue) * np.array([1.0 - alpha, alpha])
    psi = two_state_psi(n_frames, 1.0 - leave[0], 1.0 - leave[1], generator)
    return {
        "times_s": {"start": 1.0, "loading": 2.0, "relaxation": 3.0, "first_jumps": 4.0, "sampling": seconds},
        "cpu_s": 0.5 * seconds,
        "frame_spacing_ps": spacing,
        "n_frames": n_frames,
        "counts": {"accepted": n_frames - 2, "broken": 2},
        "warnings": [],
        "torsions": [{"label": "ALA 2", "phi": generator.normal(-80.0, 20.0, n_frames), "psi": psi}],
    }
