"""Parts of a training step that are cut from a large molecule: see `data.subgraph` for what is cut and how it counts.

=================  ============================================================================  ================
symbol             meaning                                                                       variable
=================  ============================================================================  ================
P[y] - y           what the projection adds to the best linear guess y, from all atoms           rigid
|G|                atoms of a gradient region, mean over the centres                             gradient_atoms
=================  ============================================================================  ================

Superposition of a pair, its noise and P[y] are those of the whole molecule; then atoms are cut out. What the network
adds is not projected in a cut: the exact answer has no rigid motion to be removed, so both losses have it as their
minimum (docs/training.md).
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Generator, Tensor

from ..data.pairs import Pair
from ..data.subgraph import check_radii, choose_centre, cut
from ..interpolant.bridge import interpolate
from ..model.bond_slices import BondSlices
from ..model.conditioned import ConditionedConfig, rigid_shift
from ..model.receptive_field import receptive_field
from .losses import end_point_error, reference_length_error

__all__ = ["SubgraphCutter", "SubgraphPart", "mean_gradient_atoms", "subgraph_loss"]


class SubgraphPart(NamedTuple):
    """One pair of a large molecule, cut to n atoms; m of them with the halo.

    Attributes
    ----------
    positions, initial, end, rigid : Tensor, shape (1, n, 3), angstrom
        x_t, x_0, x_1 and P[y] - y.
    t : Tensor, shape (1,)
    weights : Tensor, shape (n,)
        Of the atoms' errors.
    z_index : Tensor, shape (m,), int64
    adjacency : Tensor, shape (m, m)
    distance : Tensor, shape (n, n), int64
    atoms : Tensor, shape (n,), int64
        Which atoms of the molecule these are.
    lag_time : float, ps
    share : float
        Weight of the part in its step: `mean_gradient_atoms`, so that an atom in the loss counts the same in any part,
        and the same number for every centre, or the mean over centres would change.
    """

    positions: Tensor
    initial: Tensor
    end: Tensor
    rigid: Tensor
    t: Tensor
    weights: Tensor
    z_index: Tensor
    adjacency: Tensor
    distance: Tensor
    atoms: Tensor
    lag_time: float
    share: float


class SubgraphCutter:
    """Cuts pairs of one molecule.

    Parameters
    ----------
    z_index : Tensor, shape (n_atoms,), int64
    bonds : Tensor, shape (n_bonds, 2), int64
    model : ConditionedConfig
        A field with global filters is refused.
    frame : Tensor, shape (n_atoms, 3), angstrom
        Any, for the typical size of a gradient region.
    environment_radius, gradient_radius : float, angstrom
    """

    def __init__(
        self, z_index: Tensor, bonds: Tensor, model: ConditionedConfig, frame: Tensor, environment_radius: float,
        gradient_radius: float,
    ) -> None:  # fmt: skip
        check_radii(environment_radius, gradient_radius)
        receptive_field(model)  # refuses what isn't local
        self.z_index, self.model = z_index, model
        self.bonds = BondSlices(bonds, len(z_index))
        self.environment_radius, self.gradient_radius = environment_radius, gradient_radius
        self.share = mean_gradient_atoms(frame, gradient_radius)

    def __call__(self, pair: Pair, t: Tensor, noise: Tensor, lag_time: float, centre: int) -> SubgraphPart:
        """Cut one pair of the whole molecule, shapes (1, n_atoms, 3), at time t, shape (1,)."""
        model = self.model
        x_t = interpolate(pair.start, pair.end, t, model.sigma, noise)
        rigid = rigid_shift(x_t, pair.start, t, model.sigma, model.displacement)
        found = cut(x_t[0], centre, self.environment_radius, self.gradient_radius)
        atoms = found.atoms
        around = self.bonds.with_halo(atoms, model.place_rounds)
        return SubgraphPart(
            x_t[:, atoms], pair.start[:, atoms], pair.end[:, atoms], rigid[:, atoms], t, found.weights,
            self.z_index[around], self.bonds.adjacency(around), self.bonds.distance(atoms), atoms,
            lag_time, self.share,
        )  # fmt: skip

    def draw(
        self, pair: Pair, t: Tensor, noise: Tensor, lag_time: float, generator: Generator
    ) -> SubgraphPart:
        """The same about a centre drawn at random."""
        return self(pair, t, noise, lag_time, choose_centre(len(self.z_index), generator))


def subgraph_loss(
    network: Callable, part: SubgraphPart, model: ConditionedConfig, length_weight: float
) -> Tensor:
    """Loss of one part; its mean over all centres is that of the whole molecule, but for what the cut does."""
    predicted, reference = network(
        part.positions,
        part.initial,
        part.t,
        part.lag_time,
        part.z_index,
        part.adjacency,
        part.distance,
        part.rigid,
    )
    error = end_point_error(predicted, part.end, part.t, model.sigma, model.displacement, part.weights).mean()
    return error + length_weight * reference_length_error(reference, part.end, part.distance, part.weights)


def mean_gradient_atoms(positions: Tensor, gradient_radius: float, block: int = 256) -> float:
    """|G|: atoms of a gradient region, mean over all centres of a frame, (n_atoms, 3), angstrom."""
    near = sum(
        int(((part.unsqueeze(1) - positions).norm(dim=-1) < gradient_radius).sum())
        for part in positions.split(block)
    )
    return near / len(positions)
