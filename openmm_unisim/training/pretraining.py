"""Multi-head pretraining as a stage of training: forces by several methods, and denoising, on one trunk."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Generator, Tensor, nn

from .._plugin import operators_are_built
from ..errors import DataError
from ..model.energy_field import EnergyField, PairEnergyField
from ..model.published_energies import PublishedEnergies
from .force_loss import Energies, exact_force_loss, force_loss, forces
from .frame_set import Frames, FrameSet, Shape
from .losses import reference_length_error
from .pretrain_config import DENOISING, PretrainConfig
from .stage import Stage

__all__ = ["ForcePart", "PretrainStage"]


Network = EnergyField | PublishedEnergies


class ForcePart(NamedTuple):
    """Copies of one molecule for one head.

    Attributes
    ----------
    head : str
    shape : Shape
    positions, targets : Tensor, shape (n_copies, n_atoms, 3)
        Angstrom; forces in units of the head's scale.
    t : Tensor, shape (n_copies,)
    clean : Tensor, shape (n_copies, n_atoms, 3), or None
        Positions before noise, in denoising.
    """

    head: str
    shape: Shape
    positions: Tensor
    targets: Tensor
    t: Tensor
    clean: Tensor | None = None


class PretrainStage(Stage[PretrainConfig]):
    """Trains energy heads on the conditioned field's trunk, forces being -dE/dx; see `Stage`.

    A part is copies of one molecule for one head, all at t = 0 or all at t = 1. The head is drawn by its share, then
    one of its files uniformly: a molecule's labels, or for denoising MD of a molecule in one environment, so that a
    molecule given in two environments is drawn twice as often. A part weighs by its atoms. Energies aren't trained
    on: each source has a zero of its own, and a frame's 3 n_atoms forces say more than its energy.

    Parameters
    ----------
    config : PretrainConfig
    saved : dict, optional
        Record of the run that goes on; its scales are kept.
    """

    settings_free_to_change: ClassVar[frozenset[str]] = frozenset({"fused", "start_from"})

    def __init__(self, config: PretrainConfig, saved: dict[str, Any] | None = None) -> None:
        self.config = config
        self._load(config, saved or {})
        generator = Generator().manual_seed(config.seed)
        self.model: Network = (
            EnergyField(config.model, config.heads, generator)
            if config.published is None
            else PublishedEnergies(config.published, config.heads, generator)
        )
        self.network = self.fast(self.model)
        self.shares_threads = isinstance(self.network, PairEnergyField)
        shares = torch.tensor([config.share(head) for head in self.training.by_head])
        self._shares = shares / shares.sum()

    def _load(self, config: PretrainConfig, saved: dict[str, Any]) -> None:
        """Training frames, and what is held out: molecules and frames."""
        sources = [head for head in config.heads if head != DENOISING]
        labels = FrameSet.load(config.label_files, sources, config.valid_label_files)
        molecules = FrameSet.load(config.valid_label_files, sources)
        labels.require_training()
        molecules.refuse_tests()
        _require_data(labels.by_head)  # before anything is measured in a head's scale
        labels, late = labels.held_out(config.held_out_frames)
        measured = saved.get("scales_kJ_per_mol_nm") or labels.scales()
        by_head = labels.scaled(measured).by_head
        self.judges = {"molecules": molecules.scaled(measured), "frames": late.scaled(measured)}
        hashes = labels.hashes | molecules.hashes
        if DENOISING in config.heads:
            frames = FrameSet.load_equilibrium(
                config.frame_files, DENOISING, config.frames, config.valid_frame_files
            )
            frames.require_training()
            held = FrameSet.load_equilibrium(config.valid_frame_files, DENOISING, 64)
            held.refuse_tests()
            by_head |= frames.by_head
            self.judges["denoising"] = held
            hashes |= frames.hashes | held.hashes
            _require_data(frames.by_head)
        self.training = FrameSet(by_head, hashes)
        self.scales = measured | {DENOISING: 1.0}
        self.record = {
            "data": saved.get("data", {}) | hashes,
            "not_converged": labels.failed,
            "scales_kJ_per_mol_nm": measured,
            "molecules": {head: len(group) for head, group in by_head.items()},
            "frames": {head: sum(len(f.positions) for f in group) for head, group in by_head.items()},
        }

    def fast(self, model: nn.Module) -> Network:
        """The network that does the work, with the parameters of `model`."""
        assert isinstance(model, (EnergyField, PublishedEnergies))
        wanted = self.config.fused and self.config.derivatives == "differences" and operators_are_built()
        return PairEnergyField(model) if wanted and isinstance(model, EnergyField) else model

    def draw(self, generator: Generator) -> ForcePart:
        """Copies of one molecule for one head."""
        heads = list(self.training.by_head)
        head = heads[int(torch.multinomial(self._shares, 1, generator=generator))]
        group = self.training.by_head[head]
        frames = group[int(torch.randint(len(group), (), generator=generator))]
        copies = max(1, self.config.atom_budget // frames.shape.n_atoms)
        chosen = torch.randint(len(frames.positions), (copies,), generator=generator)
        t = torch.randint(2, (1,), generator=generator).float().expand(copies)
        return self._part(head, frames, chosen, t, generator)

    def _part(self, head: str, frames: Frames, chosen: Tensor, t: Tensor, generator: Generator) -> ForcePart:
        positions = frames.positions[chosen]
        positions = positions - positions.mean(1, keepdim=True)
        if frames.forces is not None:
            return ForcePart(head, frames.shape, positions, frames.forces[chosen], t)
        noise = torch.randn(positions.shape, generator=generator)
        noise = noise - noise.mean(1, keepdim=True)
        return ForcePart(head, frames.shape, positions + self.config.noise * noise, -noise, t, positions)

    def energies(self, network: Network, part: ForcePart) -> Energies:
        """The network as a function of positions and t alone."""
        shape = part.shape

        def evaluate(positions: Tensor, t: Tensor) -> Tensor:
            return network.energies(positions, t, shape.z_index, shape.adjacency, shape.distance, part.head)

        return evaluate

    def loss(self, part: ForcePart) -> tuple[Tensor, float]:
        """Mean squared error of the forces in units of their scale, and the part's atoms."""
        config, energies = self.config, self.energies(self.network, part)
        if config.derivatives == "exact":
            loss = exact_force_loss(energies, part.positions, part.targets, part.t)
        else:
            loss = force_loss(energies, part.positions, part.targets, part.t, config.difference_step)
        network = self.network
        if part.clean is not None and config.length_weight > 0 and isinstance(network, EnergyField):
            shape = part.shape
            reference = network.describe(shape.z_index, shape.adjacency, shape.distance)[1]
            loss = loss + config.length_weight * reference_length_error(reference, part.clean, shape.distance)
        return loss, float(part.positions.size(0) * part.positions.size(1))

    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Errors of forces on held-out molecules and frames, half of them at t = 0.

        `valid` is the mean of the relative errors on held-out molecules (on frames, if there are none). For each head,
        `molecules/HEAD` and `frames/HEAD` are root mean square errors relative to the root mean square of the same
        labels, and `.../HEAD_rmse` the error itself, kJ/mol/nm; `denoising/denoising` is relative to the noise.
        """
        network = self.fast(averaged)
        figures: dict[str, float] = {}
        for judge, labels in self.judges.items():
            for head, group in labels.by_head.items():
                if not group:
                    continue
                error, size = self._error(network, head, group)
                figures[f"{judge}/{head}"] = error / size
                if head != DENOISING:
                    figures[f"{judge}/{head}_rmse"] = error * self.scales[head]
                    figures[f"{judge}/{head}_rms"] = size * self.scales[head]
        return {"valid": _main(figures)} | figures

    def _error(self, network: Network, head: str, group: list[Frames]) -> tuple[float, float]:
        """Root mean squares of error and target over all coordinates of a head's held-out frames."""
        generator = Generator().manual_seed(12345)
        error, size, count = 0.0, 0.0, 0
        for frames in group:
            numbers = torch.arange(len(frames.positions))
            for chosen in numbers.split(max(1, self.config.atom_budget // frames.shape.n_atoms)):
                part = self._part(head, frames, chosen, (chosen % 2).float(), generator)
                found = forces(self.energies(network, part), part.positions, part.t)
                error += float((found - part.targets).square().sum())
                size += float(part.targets.square().sum())
                count += part.targets.numel()
        return (error / count) ** 0.5, (size / count) ** 0.5


def _require_data(by_head: dict[str, list[Frames]]) -> None:
    for head, group in by_head.items():
        if not group:
            raise DataError(
                f"There are no training data for the head '{head}'; give files, or leave it out of heads."
            )


def _main(figures: dict[str, float]) -> float:
    relative = {name: value for name, value in figures.items() if not name.endswith(("_rmse", "_rms"))}
    of_molecules = [value for name, value in relative.items() if name.startswith("molecules/")]
    chosen = of_molecules or list(relative.values())
    return sum(chosen) / len(chosen) if chosen else float("nan")
