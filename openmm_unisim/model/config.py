"""Sizes and constants of the networks; the defaults are the published ones (spec sections 3 and 4)."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..elements import VOCABULARY

__all__ = ["GraphConfig", "PublishedConfig", "TrunkConfig"]


class TrunkConfig(BaseModel):
    """Sizes of the equivariant trunk, its embedding and its heads.

    Attributes
    ----------
    hidden, heads, layers, ffn : int
        Channels H, attention heads, attention layers, width F of the heads' MLP.
    rbf : int
        Radial basis functions R.
    expand : int
        Rows D of an element's expansion table.
    elements : int
        Size of the vocabulary.
    edge_features : int
        Features per edge that the edge linears read; 0 (published) means `rbf`.
    edge_vectors : int
        Vectors W per edge that the vector message uses; 1 (published) is the unit vector.
    vector_envelope : bool
        Multiply the vector messages by the cutoff envelope: continuous outputs; published: no.
    extra_scalars : int
        Input channels of an atom that are given rather than learned; 1 (published) is the interpolant time.
    cutoff : float
        Angstrom.
    trainable_radial : bool
        Whether centres and widths of the radial basis are trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(default=256, gt=0)
    heads: int = Field(default=8, gt=0)
    layers: int = Field(default=4, ge=0)
    ffn: int = Field(default=512, gt=0)
    rbf: int = Field(default=64, gt=1)
    expand: int = Field(default=32, gt=0)
    elements: int = Field(default=len(VOCABULARY), gt=0)
    edge_features: int = Field(default=0, ge=0)
    edge_vectors: int = Field(default=1, gt=0)
    vector_envelope: bool = False
    extra_scalars: int = Field(default=1, ge=0)
    cutoff: float = Field(default=5.0, gt=0)
    trainable_radial: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(
                f"hidden = {self.hidden} is not a multiple of heads = {self.heads}; change one of them."
            )
        if self.extra_scalars >= self.hidden:
            raise ValueError(
                f"extra_scalars = {self.extra_scalars} leaves no embedding column of hidden = {self.hidden}."
            )
        return self

    @property
    def edge_width(self) -> int:
        """Features per edge, with the published default filled in."""
        return self.edge_features or self.rbf

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.hidden // self.heads


class GraphConfig(BaseModel):
    """Rules that make the published neighbour graph; lengths in angstrom (spec section 3).

    Attributes
    ----------
    cutoff : float
        Pairs closer than this within a monomer are edges.
    hydrogen_cutoff : float
        An edge with a hydrogen at either end and longer than this is dropped.
    neighbours : int
        Nearest atoms of the first monomer that each ligand atom is joined to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=5.0, gt=0)
    hydrogen_cutoff: float = Field(default=3.5, gt=0)
    neighbours: int = Field(default=16, ge=0)


class PublishedConfig(BaseModel):
    """Everything that rebuilds the published networks around their weights.

    Attributes
    ----------
    trunk : TrunkConfig
    graph : GraphConfig
    velocity_scale : float
        The network is trained toward velocity_scale * (x_1 - x_0).
    guidance_scale : float
        The guidance kernel is trained toward guidance_scale times the potential's gradient.
    energy_heads : int
        Pretraining heads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trunk: TrunkConfig = TrunkConfig()
    graph: GraphConfig = GraphConfig()
    velocity_scale: float = Field(default=0.5, gt=0)
    guidance_scale: float = Field(default=0.5, gt=0)
    energy_heads: int = Field(default=4, gt=0)

    @model_validator(mode="after")
    def _one_cutoff(self) -> Self:
        if self.trunk.cutoff != self.graph.cutoff:
            raise ValueError(
                f"trunk.cutoff = {self.trunk.cutoff} and graph.cutoff = {self.graph.cutoff} must be equal."
            )
        return self
