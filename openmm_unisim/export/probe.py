"""Small random molecules and states, on which `validate_model_file` tries a model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..units import BOLTZMANN
from .metadata import GUIDANCE_SOURCES, ModelMetadata

__all__ = ["ChainMolecule", "Probe", "chain_molecule", "random_rotation"]

_BOND = 0.14  # nm
_CONTACT = 0.22  # nm, smallest distance of atoms that aren't bonded
_ANGLE = np.deg2rad(111.0)


@dataclass(frozen=True)
class ChainMolecule:
    """An unbranched molecule.

    Attributes
    ----------
    positions : ndarray, shape (n_atoms, 3), nm
    atomic_numbers : ndarray, shape (n_atoms,), int64
    bonds : ndarray, shape (n_atoms - 1, 2), int64
    """

    positions: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    bonds: NDArray[np.int64]


def chain_molecule(n_atoms: int, elements: tuple[int, ...], generator: np.random.Generator) -> ChainMolecule:
    """A self-avoiding chain with sensible bonds and angles; hydrogen at its ends if the elements have it."""
    heavy = [number for number in elements if number != 1] or list(elements)
    numbers = np.array([heavy[i % len(heavy)] for i in generator.permutation(n_atoms)], dtype=np.int64)
    if 1 in elements:
        numbers[[0, -1]] = 1
    bonds = np.stack([np.arange(n_atoms - 1), np.arange(1, n_atoms)], axis=1)
    for _ in range(1000):
        positions = _walk(n_atoms, generator)
        if positions is not None:
            return ChainMolecule(positions, numbers, bonds)
    raise RuntimeError(
        f"No self-avoiding chain of {n_atoms} atoms was found; this can't happen for sane sizes."
    )


def _walk(n_atoms: int, generator: np.random.Generator) -> NDArray[np.float64] | None:
    """Chain with fixed bond length and angle and random torsions; None where it runs into itself."""
    points = [np.zeros(3), np.array([_BOND, 0.0, 0.0])]
    for _ in range(n_atoms - 2):
        along = (points[-1] - points[-2]) / _BOND
        for _ in range(20):
            across = np.cross(along, generator.standard_normal(3))
            across /= np.linalg.norm(across)
            candidate = points[-1] + _BOND * (-np.cos(_ANGLE) * along + np.sin(_ANGLE) * across)
            if np.linalg.norm(np.array(points[:-1]) - candidate, axis=1).min() > _CONTACT:
                points.append(candidate)
                break
        else:
            return None
    return np.array(points)


def random_rotation(generator: np.random.Generator) -> NDArray[np.float64]:
    """A random proper rotation, shape (3, 3)."""
    turn, triangle = np.linalg.qr(generator.standard_normal((3, 3)))
    turn = turn * np.sign(np.diag(triangle))
    return turn * np.sign(np.linalg.det(turn))


class Probe:
    """The state of `n_copies` copies of a molecule at the start of a substep, and moved versions of it.

    Parameters
    ----------
    molecule : ChainMolecule
    metadata : ModelMetadata
    n_copies : int
    t, t_next : float
    generator : numpy.random.Generator
    device : torch.device
    """

    def __init__(
        self,
        molecule: ChainMolecule,
        metadata: ModelMetadata,
        n_copies: int,
        t: float,
        t_next: float,
        generator: np.random.Generator,
        device: torch.device,
    ):
        self.shape = (n_copies, len(molecule.positions), 3)
        self._metadata, self._generator, self._device = metadata, generator, device
        self._scalar = torch.float64 if metadata.scalar_type == "float64" else torch.float32
        self._noise = self.random(1.0)
        centred = molecule.positions - molecule.positions.mean(axis=0)
        self._initial = torch.as_tensor(centred).to(device, self._scalar) + self.random(0.002)
        self._positions = self._initial + 2.0 * np.sqrt(t * (1.0 - t)) * self.random(0.005)
        self._numbers = torch.as_tensor(molecule.atomic_numbers).to(device)
        bonds = molecule.bonds if metadata.needs_bonds else np.zeros((0, 2), dtype=np.int64)
        self._bonds = torch.as_tensor(bonds).to(device)
        self._times = (t, t_next)
        self._order = torch.as_tensor(generator.permutation(len(molecule.positions))).to(device)

    def random(self, scale: float) -> Tensor:
        """Normal numbers of the positions' shape and type."""
        values = torch.as_tensor(scale * self._generator.standard_normal(self.shape))
        return values.to(self._device, self._scalar)

    def arguments(self, forces: Tensor | None) -> dict[str, Any]:
        """All arguments of `step`; `forces` may be empty or None."""
        t, t_next = (
            torch.full(self.shape[:1], time, dtype=torch.float64, device=self._device) for time in self._times
        )
        empty = torch.zeros(0, dtype=self._scalar, device=self._device)
        box = 10.0 * torch.eye(3, dtype=self._scalar, device=self._device)
        return {
            "positions": self._positions,
            "initial_positions": self._initial,
            "atomic_numbers": self._numbers,
            "bonds": self._bonds,
            "t": t,
            "t_next": t_next,
            "kT": BOLTZMANN * self._metadata.training_temperature_K,
            "forces": empty if forces is None else forces,
            "guidance_scale": self._metadata.default_guidance_scale,
            "guidance_alpha": self._metadata.guidance_alpha
            or 1.0,  # not calibrated yet: any strength will do
            "guidance_source": GUIDANCE_SOURCES.index(self._metadata.guidance),
            "box_vectors": box if self._metadata.periodic else empty,
            "noise": self._noise,
        }

    def translated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Everything moved by the same vector."""
        shift = torch.tensor([0.3, -0.2, 0.1], dtype=self._scalar, device=self._device)
        return {**arguments, **{name: arguments[name] + shift for name in _PLACES if name in arguments}}

    def turned(self, arguments: dict[str, Any], matrix: NDArray[np.float64]) -> dict[str, Any]:
        """Everything rotated (or reflected) about the origin."""
        turn = torch.as_tensor(matrix.T.copy()).to(self._device)
        names = [name for name in (*_PLACES, *_DIRECTIONS) if name in arguments and arguments[name].numel()]
        turned = {name: (arguments[name].double() @ turn).to(self._scalar) for name in names}
        return {**arguments, **turned}

    def permuted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The atoms in another order."""
        names = [name for name in (*_PLACES, *_DIRECTIONS) if name in arguments and arguments[name].numel()]
        moved = {name: arguments[name][:, self._order] for name in names}
        new_index = torch.argsort(self._order)
        return {
            **arguments,
            **moved,
            "atomic_numbers": arguments["atomic_numbers"][self._order],
            "bonds": new_index[arguments["bonds"]],
        }

    def last_copy(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The state of the last copy alone."""
        names = [*_PLACES, *_DIRECTIONS, "t", "t_next"]
        chosen = [name for name in names if name in arguments and arguments[name].numel()]
        return {**arguments, **{name: arguments[name][-1:] for name in chosen}}


_PLACES = ("positions", "initial_positions", "next_positions")
_DIRECTIONS = ("forces", "noise")
