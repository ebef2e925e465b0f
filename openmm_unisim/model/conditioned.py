"""Our vector field: one head that predicts the end point of a jump, conditioned on its start.

=============  =================================================================  =================
symbol         meaning                                                            variable
=============  =================================================================  =================
w              (x_t - x_0)/c_in(t), the displacement in units of its spread       displacement
d_ij           x_j - x_i at t and at the start                                    edges at t, at 0
c_in, a, c_out scalings of the interpolant, `interpolant.bridge`                  input/skip/output
xhat_1         P[x_0 + a (x_t - x_0) + c_out F(w, x_t, x_0, t, tau)]              end point
P              removal of rigid motion relative to x_0                            remove_rigid_motion
=============  =================================================================  =================

The trunk, embedding and heads are those of the published form, with other inputs: see docs/deviations.md.
Lengths in angstrom, lag time in ps.
"""

import math
from typing import Optional, Self, Tuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn import functional

from ..geometry import remove_rigid_motion
from ..interpolant.bridge import input_scale, output_scale, skip_scale
from .bond_graph import FAR, BondGraphEmbedding
from .config import TrunkConfig
from .embedding import AtomEmbedding
from .global_filter import GlobalFilter, NoFilter
from .graph import NeighbourTable, edge_geometry, full_table, gather_sources
from .heads import GatedVectorHead
from .initialise import start_linear
from .pair_features import PairFeatures, pair_features
from .radial import ExpNormRadial, cosine_envelope
from .refinement import Refinement
from .soften import soften, soften_vectors
from .transformer import Trunk

TIME_CENTRES = 9  # Gaussians over the logit of t
LOGIT_RANGE = 9.0  # logit of t = 1.2e-4
STIFF_SPREAD = 0.03  # angstrom: thermal spread of a bond at 300 K


class ConditionedConfig(BaseModel):
    """Sizes of the conditioned vector field and constants of its interpolant.

    Attributes
    ----------
    hidden, heads, layers, ffn, rbf, expand : int
        As in `TrunkConfig`. With `expand` = 1 an element has one row, whatever surrounds it: no expansion.
    edge_width, place_width, place_rounds : int
        Channels of an edge's embedding, of an atom's place in the bond graph, and its rounds.
    cutoff : float
        Angstrom; smooth.
    sigma : float
        Noise scale of the interpolant, angstrom.
    displacement : float
        RMS displacement of a coordinate over the lag, angstrom; measured on the training pairs.
    filters : int
        Signals of a `GlobalFilter` after each layer; 0: none.
    refine_layers, refine_rbf : int
        Layers and radial functions of the `Refinement`; 0 layers: none.
    conditioned : bool
        False withholds x_0 from the network, for ablations: x_t stands in its place in all that the network reads
        (distances and their change, displacement and its differences, global filters, and in the refinement the end
        point x_t + c_out F, seen through no skip). What surrounds the network stays: its correction is scaled and added
        to the linear prediction x_0 + a (x_t - x_0), and rigid motion relative to x_0 is removed. At t = 0, where x_t
        is x_0, nothing is withheld.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(default=64, gt=0)
    heads: int = Field(default=4, gt=0)
    layers: int = Field(default=3, gt=0)
    ffn: int = Field(default=128, gt=0)
    rbf: int = Field(default=20, gt=1)
    expand: int = Field(default=8, gt=0)
    edge_width: int = Field(default=32, gt=0)
    place_width: int = Field(default=24, gt=0)
    place_rounds: int = Field(default=3, gt=0)
    cutoff: float = Field(default=12.0, gt=0)
    sigma: float = Field(default=0.31587, gt=0)
    displacement: float = Field(default=0.6, gt=0)
    filters: int = Field(default=0, ge=0)
    refine_layers: int = Field(default=0, ge=0)
    refine_rbf: int = Field(default=48, gt=1)
    conditioned: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.trunk()
        return self

    @property
    def extra_scalars(self) -> int:
        """Given channels of an atom: place, time, lag."""
        return self.place_width + TIME_CENTRES + 1

    def trunk(self) -> TrunkConfig:
        """Configuration of the shared trunk classes."""
        return TrunkConfig(
            hidden=self.hidden, heads=self.heads, layers=self.layers, ffn=self.ffn, rbf=self.rbf, expand=self.expand,
            edge_features=self.edge_width, edge_vectors=2, vector_envelope=True, extra_scalars=self.extra_scalars,
            cutoff=self.cutoff,
        )  # fmt: skip


class ConditionedField(nn.Module):
    """Predicts xhat_1 = E[x_1 | x_t, x_0, t] for copies of one molecule.

    Parameters
    ----------
    config : ConditionedConfig
    generator : torch.Generator, optional
        Source of the starting values.
    """

    centres: Tensor

    def __init__(self, config: ConditionedConfig, generator: Generator | None = None) -> None:
        super().__init__()
        trunk = config.trunk()
        self.sigma = config.sigma
        self.displacement = config.displacement
        self.cutoff = config.cutoff
        self.conditioned = config.conditioned
        self.places = BondGraphEmbedding(trunk.elements, config.place_width, config.place_rounds, generator)
        self.radial = ExpNormRadial(config.rbf, config.cutoff, False)
        features = 2 * config.rbf + 2 + FAR + 1 + TIME_CENTRES
        self.edge_first = nn.Linear(features, 2 * config.edge_width)
        self.edge_second = nn.Linear(2 * config.edge_width, config.edge_width)
        self.embedding = AtomEmbedding(trunk, generator)
        self.start_vectors = nn.Linear(config.hidden, config.hidden)
        self.trunk = Trunk(trunk, generator)
        self.filters = nn.ModuleList(
            [
                GlobalFilter(config.hidden, config.filters, generator) if config.filters else NoFilter()
                for _ in range(config.layers)
            ]
        )
        self.refinement: Optional[Refinement] = None
        if config.refine_layers:
            smaller = trunk.model_copy(update={"layers": config.refine_layers, "rbf": config.refine_rbf})
            given = FAR + 1 + TIME_CENTRES
            self.refinement = Refinement(smaller, given, config.displacement, generator)
        self.kinds = FAR + 1
        self.stiff_variance = STIFF_SPREAD**2
        self.spacing = 2.0 * LOGIT_RANGE / (TIME_CENTRES - 1)
        self.head = GatedVectorHead(config.hidden, config.ffn, config.hidden, False, generator)
        self.head_scale = config.hidden**-0.5
        self.register_buffer(
            "centres", torch.linspace(-LOGIT_RANGE, LOGIT_RANGE, TIME_CENTRES), persistent=False
        )
        for linear in (self.edge_first, self.edge_second, self.start_vectors):
            start_linear(linear, generator)

    def time_features(self, t: Tensor) -> Tensor:
        """Gaussians of logit(t), shape (n_copies, TIME_CENTRES)."""
        bounded = t.clamp(1e-4, 1.0 - 1e-4)
        logit = torch.log(bounded) - torch.log1p(-bounded)
        return torch.exp(-0.5 * ((logit.unsqueeze(1) - self.centres) / self.spacing) ** 2)

    def describe(self, z_index: Tensor, adjacency: Tensor, distance: Tensor) -> Tuple[Tensor, Tensor]:
        """Places (n_atoms, place_width) and reference lengths (n_atoms, n_atoms) of a molecule.

        `z_index` and `adjacency` may list more atoms than `distance`: see `forward`.
        """
        place = self.places(z_index, adjacency)[: distance.size(0)]
        return place, self.places.reference_length(place, distance)

    def table(self, positions: Tensor) -> NeighbourTable:
        """All pairs of each copy; the envelope leaves those within the cutoff."""
        return full_table(positions.size(0), positions.size(1), positions.device)

    def projected(self, prediction: Tensor, initial: Tensor) -> Tensor:
        """P: `prediction` without rigid motion relative to `initial`."""
        return remove_rigid_motion(prediction, initial)

    def pairs(self, distance: Tensor, reference: Tensor, times: Tensor, width: Tensor) -> PairFeatures:
        """What the edges read besides geometry."""
        return pair_features(distance, reference, times, width, self.kinds)

    def edges(
        self, positions: Tensor, initial: Tensor, t: Tensor, table: NeighbourTable, pairs: PairFeatures
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Edge embedding (N, K, edge_width), edge vectors (N, K, 3, 2) and envelope (N, K); N = copies x atoms."""
        copies, atoms = positions.size(0), positions.size(1)
        flat, flat_initial = positions.reshape(-1, 3), initial.reshape(-1, 3)
        length, direction = edge_geometry(flat, table)
        length_initial, _ = edge_geometry(flat_initial, table)
        scale = input_scale(t, self.sigma, self.displacement).repeat_interleave(atoms).view(-1, 1)
        change = soften((length - length_initial) / scale, 4.0)
        width = pairs.width.repeat_interleave(atoms).view(-1, 1)
        strain = soften((length - pairs.reference.repeat(copies, 1)) / width, 4.0) * pairs.stiff
        features = torch.cat(
            [
                self.radial(length),
                self.radial(length_initial),
                change.unsqueeze(-1),
                strain.unsqueeze(-1),
                pairs.given,
            ],
            -1,
        )
        embedded = functional.silu(self.edge_second(functional.silu(self.edge_first(features))))
        moved = (flat - flat_initial) / scale
        relative = soften_vectors(gather_sources(moved, table) - moved.unsqueeze(1), 4.0)
        return embedded, torch.stack([direction, relative], -1), cosine_envelope(length, self.cutoff)

    def forward(
        self, positions: Tensor, initial: Tensor, t: Tensor, lag_time: float, z_index: Tensor, adjacency: Tensor,
        distance: Tensor, rigid: Optional[Tensor] = None,
    ) -> Tuple[Tensor, Tensor]:  # fmt: skip
        """Predicted end point.

        Parameters
        ----------
        positions, initial : Tensor, shape (n_copies, n_atoms, 3), angstrom
            x_t and x_0 of copies of one molecule.
        t : Tensor, shape (n_copies,)
            Interpolant times.
        lag_time : float, ps
        z_index : Tensor, shape (n_atoms,), int64
            Vocabulary indices.
        adjacency, distance : Tensor, shape (n_atoms, n_atoms)
            From `bond_graph`. Of atoms cut from a larger molecule `z_index` and `adjacency` go on with the atoms bonded
            to them, over as many bonds as places have rounds, so that places are those of the whole molecule.
        rigid : Tensor, shape (n_copies, n_atoms, 3), angstrom, optional
            Of atoms cut from a larger molecule: what P adds to the best linear guess there (`rigid_shift`). P needs all
            atoms, so it is not applied to what the network adds.

        Returns
        -------
        end_point : Tensor, shape (n_copies, n_atoms, 3), angstrom
        reference : Tensor, shape (n_atoms, n_atoms), angstrom
            Reference lengths, for their own loss.
        """
        place, reference = self.describe(z_index, adjacency, distance)
        own = z_index[: positions.size(1)]
        end_point = self.predict(positions, initial, t, lag_time, own, distance, place, reference, rigid)
        return end_point, reference

    def predict(
        self, positions: Tensor, initial: Tensor, t: Tensor, lag_time: float, z_index: Tensor, distance: Tensor,
        place: Tensor, reference: Tensor, rigid: Optional[Tensor] = None,
    ) -> Tensor:  # fmt: skip
        """`forward` for a molecule that `describe` has described."""
        copies, atoms = positions.size(0), positions.size(1)
        table = self.table(positions)
        times = self.time_features(t).to(positions.dtype)
        width = torch.sqrt(self.sigma**2 * (1.0 - t) + self.stiff_variance)
        pairs = self.pairs(distance, reference.detach(), times, width)
        seen = initial if self.conditioned else positions
        embedded, arrows, envelope = self.edges(positions, seen, t, table, pairs)
        lag = torch.full(
            (copies * atoms, 1), math.log(lag_time / 20.0), dtype=positions.dtype, device=positions.device
        )
        extra = torch.cat([place.repeat(copies, 1), times.repeat_interleave(atoms, 0), lag], 1)
        scalars = self.embedding(z_index.repeat(copies), extra, table, embedded, envelope)
        scale = input_scale(t, self.sigma, self.displacement).view(-1, 1, 1)
        moved = soften_vectors((positions - seen) / scale, 6.0).reshape(-1, 3)
        vectors = moved.unsqueeze(-1) * self.start_vectors(scalars).unsqueeze(1)
        for layer, filtered in zip(self.trunk.layers, self.filters):
            scalars, vectors = layer(scalars, vectors, table, embedded, arrows, envelope)
            scalars = filtered(scalars, vectors, moved, copies)
        scalars = self.trunk.norm(scalars)
        _, carried = self.head(scalars, vectors)
        correction = carried.sum(-1).view(copies, atoms, 3) * self.head_scale
        skip = skip_scale(t, self.sigma, self.displacement).view(-1, 1, 1)
        spread = output_scale(t, self.sigma, self.displacement).view(-1, 1, 1)
        observed = initial + skip * (positions - initial)
        end_point = observed + spread * correction
        end_point = self.projected(end_point, initial) if rigid is None else end_point + rigid
        if self.refinement is not None:
            shown = end_point
            if not self.conditioned:
                shown, observed = positions + spread * correction, positions
            refined = self.refinement(scalars, vectors, shown, seen, observed, spread, pairs, table)
            end_point = end_point + spread * refined
            end_point = self.projected(end_point, initial) if rigid is None else end_point
        return end_point


def rigid_shift(positions: Tensor, initial: Tensor, t: Tensor, sigma: float, displacement: float) -> Tensor:
    """What P adds to the best linear guess x_0 + a (x_t - x_0), shape (n_copies, n_atoms, 3), of a whole molecule.

    P is affine, so of P[guess + c_out F] this part is known before the network is evaluated anywhere.
    """
    skip = skip_scale(t, sigma, displacement).view(-1, 1, 1)
    guess = initial + skip * (positions - initial)
    return remove_rigid_motion(guess, initial) - guess
