"""Frames for labels: MD at 300 K and hot, half of them displaced at random.

Frames come in blocks. A block depends on (seed, number of the block) only, so a set of frames can be continued,
and lengthened later, without a state. Each block scrambles the molecule at the hot temperature, takes its hot
frames, cools and takes its room-temperature frames; then every frame is displaced with probability 1/2 by Gaussian
noise of a scale drawn for it, and the block is shuffled: the first N frames are a fair sample whatever N is, so
that a slow label source may stop early.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from ..errors import ConfigError, NonFiniteError
from ..system import HYDROGEN_MASS, Molecule, create_system, get_platform

__all__ = ["FrameBlock", "FramesConfig", "draw_block"]


@dataclass(frozen=True)
class FramesConfig:
    """How frames are drawn.

    Attributes
    ----------
    seed : int
    block : int
        Frames in a block; half of them hot.
    environments : tuple of str
        Blocks take them in turn. Both by default: vacuum alone would fold charged peptides onto themselves.
    temperature, hot_temperature : float, K
    spacing : float, ps
        MD between frames.
    scramble_time, cooling_time : float, ps
        MD at the hot temperature before the first frame; MD at the lower one before its first frame.
    displaced_fraction : float
        Of frames that are displaced.
    largest_displacement : float, nm
        The standard deviation of a coordinate's displacement is uniform in [0, this]. The default's mean square
        raises a C-C bond's energy by about 2 kT.
    """

    seed: int = 1
    block: int = 64
    environments: tuple[str, ...] = ("obc2", "vacuum")
    temperature: float = 300.0
    hot_temperature: float = 600.0
    spacing: float = 1.0
    scramble_time: float = 10.0
    cooling_time: float = 5.0
    displaced_fraction: float = 0.5
    largest_displacement: float = 0.005

    def __post_init__(self) -> None:
        if self.block < 2 or not self.environments or self.spacing <= 0 or self.seed < 1:
            raise ConfigError(
                f"block = {self.block}, environments = {self.environments}, spacing = {self.spacing}, seed = "
                f"{self.seed}: block must be at least 2, the others positive and not empty."
            )

    def as_attributes(self) -> dict[str, Any]:
        """JSON-encodable form."""
        return {**asdict(self), "environments": list(self.environments)}


class FrameBlock(NamedTuple):
    """Frames and where each came from.

    Attributes
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3), float32, nm
        About the centroid.
    temperature : ndarray, shape (n_frames,), float32, K
        Of the MD.
    displacement : ndarray, shape (n_frames,), float32, nm
        Standard deviation of the noise added to a coordinate; 0 for an MD frame as it was.
    """

    positions: NDArray[np.float32]
    temperature: NDArray[np.float32]
    displacement: NDArray[np.float32]


_TIME_STEP = 0.001  # ps; 1 fs, since hot frames of flexible bonds are wanted exact


def draw_block(molecule: Molecule, number: int, config: FramesConfig) -> FrameBlock:
    """Block `number` of a molecule's frames (Reference platform, so that it is repeatable).

    Parameters
    ----------
    molecule : Molecule
    number : int
        From 0.
    config : FramesConfig
    """
    generator = np.random.default_rng([config.seed, number])
    environment = config.environments[number % len(config.environments)]
    n_hot = config.block // 2
    hot, mild = _dynamics(molecule, environment, config, generator, n_hot)
    positions = np.concatenate([hot, mild])
    temperature = np.repeat([config.hot_temperature, config.temperature], [len(hot), len(mild)])
    scale = generator.uniform(0.0, config.largest_displacement, len(positions))
    scale[generator.random(len(positions)) >= config.displaced_fraction] = 0.0
    positions = positions + scale[:, None, None] * generator.standard_normal(positions.shape)
    if not np.isfinite(positions).all():
        raise NonFiniteError(f"MD of '{molecule.name}' for label frames gave NaN; try another seed.")
    order = generator.permutation(len(positions))
    positions = positions - positions.mean(1, keepdims=True)
    return FrameBlock(
        positions[order].astype(np.float32),
        temperature[order].astype(np.float32),
        scale[order].astype(np.float32),
    )


def _dynamics(
    molecule: Molecule, environment: str, config: FramesConfig, generator: np.random.Generator, n_hot: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hot frames, then frames at the lower temperature."""
    system = create_system(molecule, environment, hydrogen_mass=HYDROGEN_MASS)
    integrator = openmm.LangevinMiddleIntegrator(config.hot_temperature, 1.0, _TIME_STEP)
    seeds = generator.integers(1, 2**31 - 1, 2).tolist()  # 0 would be a random one in OpenMM
    integrator.setRandomNumberSeed(seeds[0])
    context = openmm.Context(system, integrator, get_platform("Reference"))
    context.setPositions(molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0)
    context.setVelocitiesToTemperature(config.hot_temperature, seeds[1])
    integrator.step(round(config.scramble_time / _TIME_STEP))
    hot = _frames(context, n_hot, config.spacing)
    integrator.setTemperature(config.temperature)
    integrator.step(round(config.cooling_time / _TIME_STEP))
    return hot, _frames(context, config.block - n_hot, config.spacing)


def _frames(context: openmm.Context, count: int, spacing: float) -> NDArray[np.float64]:
    frames = []
    for _ in range(count):
        context.getIntegrator().step(round(spacing / _TIME_STEP))
        positions = context.getState(positions=True).getPositions(asNumpy=True)
        frames.append(positions.value_in_unit(unit.nanometer))
    return np.array(frames)
