"""What a pretraining run is made of; a reason stands beside every default."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ..data.labels.registry import SOURCES
from ..model.conditioned import ConditionedConfig
from ..model.config import PublishedConfig
from .config import RunConfig

__all__ = ["DENOISING", "PretrainConfig"]

DENOISING = "denoising"


class PretrainConfig(RunConfig):
    """One run of multi-head pretraining.

    Attributes
    ----------
    model : ConditionedConfig
        That of the vector field to come; its `displacement` plays no role here.
    published : PublishedConfig, optional
        Pretrain the published form instead, whose heads are `heads` in the published order: "gaff2-obc2",
        "ff14sb-obc2", "denoising" and "gfn2-xtb" for small molecules, peptides, denoising and quantum chemistry. Its
        edges end abruptly, so `derivatives` must be "exact".
    heads : tuple of str
        Label sources, and "denoising". All seven: each looks at geometry its own way, and the trunk has to serve all.
    shares : dict
        Head to the relative chance that a part is its; 1 for those that aren't named.
    label_files, valid_label_files : tuple of str
        Label files (patterns are expanded): training, and molecules held out. Held-out ones are left out of the first.
    frame_files, valid_frame_files : tuple of str
        Trajectory or archive files for denoising, likewise; only equilibrium dynamics is read.
    held_out_frames : int
        The last frames of each molecule and source of `label_files` that aren't trained on but validated; blocks are
        shuffled, so that they are a fair sample.
    frames : int
        Frames of each file for denoising, evenly spaced: what a run of this length can see of them.
    atom_budget : int
        Atoms of a part, copies of one molecule: 256 take about 0.1 s of one core, so that a step with a part for each
        head takes less than one.
    noise : float
        Angstrom, of denoising; the published 0.04.
    length_weight : float
        Weight of the reference-length loss in denoising parts: the edges read strain relative to these lengths.
    derivatives : {"differences", "exact"}
        Of the loss on forces by the weights (`force_loss`). Differences let the operators do the work: 2 to 4 times
        faster than differentiating the plain layers twice, for less than 0.2 % of error in the gradient.
    difference_step : float
        Angstrom; where truncation and rounding are equal in float32.
    fused : bool
        The plugin's operators over pairs, where they are built and derivatives are differences.
    steps, parts, validate_every, save_every : int
        Eight parts: a step then sees every head about once. A step takes about a second on one core, so all counts are
        lower than a vector-field run's.
    """

    kind: Literal["pretrain"] = "pretrain"
    model: ConditionedConfig = ConditionedConfig(hidden=64, heads=4, layers=3, filters=32, refine_layers=2)
    published: PublishedConfig | None = None
    heads: tuple[str, ...] = (*SOURCES, DENOISING)
    shares: dict[str, float] = Field(default_factory=dict)
    label_files: tuple[str, ...] = ()
    valid_label_files: tuple[str, ...] = ()
    frame_files: tuple[str, ...] = ()
    valid_frame_files: tuple[str, ...] = ()
    held_out_frames: int = Field(default=4, ge=0)
    frames: int = Field(default=1000, gt=0)
    atom_budget: int = Field(default=256, gt=0)
    noise: float = Field(default=0.04, gt=0)
    length_weight: float = Field(default=0.1, ge=0)
    derivatives: Literal["differences", "exact"] = "differences"
    difference_step: float = Field(default=5e-4, gt=0)
    fused: bool = True
    steps: int = Field(default=6000, gt=0)
    parts: int = Field(default=8, gt=0)
    validate_every: int = Field(default=1000, gt=0)
    save_every: int = Field(default=250, gt=0)

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = (*SOURCES, DENOISING)
        for name in [*self.heads, *self.shares]:
            if name not in known:
                raise ValueError(f"head {name!r} is unknown; heads are {', '.join(known)}")
        if self.published is not None and self.derivatives != "exact":
            raise ValueError('the published form needs derivatives = "exact"')
        if not self.heads or len(set(self.heads)) < len(self.heads):
            raise ValueError("heads must name at least one head, each once")
        for name in self.shares:
            if name not in self.heads or self.shares[name] <= 0:
                raise ValueError(f"the share of {name!r} must be positive and its head be among heads")
        return self

    def share(self, head: str) -> float:
        """Relative chance that a part is this head's."""
        return self.shares.get(head, 1.0)
