"""The force-guidance kernel of the conditioned form as a stage of training: a frozen field, tilted pairs.

The kernel is a field of the base's form that starts as its copy and learns the tilted end point xhat_f; what guidance
adds is delta = xhat_f - xhat_1 (docs/theory.md, section 9). So a jump at the calibrated strength costs one network, as
without guidance, and delta is zero where there is nothing to learn.
"""

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Generator, Tensor, nn

from .._plugin import operators_are_built
from ..data.environment_energy import EnvironmentEnergy, molecule_of_frames
from ..data.pairs import Pair
from ..data.weighted_pairs import WeightedPairSampler
from ..errors import CheckpointError, ConfigError
from ..export.conditioned import load_conditioned, save_kernel
from ..export.exporter import weights_sha256
from ..interpolant.bridge import interpolate, output_scale
from ..interpolant.tilt import tilt_weights
from ..model.checkpoint import load_weights
from ..model.conditioned import ConditionedConfig, ConditionedField
from ..model.pair_field import PairField
from ..units import ANGSTROM_PER_NM, BOLTZMANN
from .guidance_config import GuidanceConfig
from .guidance_strength import ends_of_pairs, strength_of_pairs
from .losses import draw_times, end_point_error
from .molecule_set import MoleculeSet, TrainingMolecule, protocol_difference
from .run_state import read_run
from .stage import Stage
from .tilted_losses import tilted_change_error

__all__ = ["GuidanceStage", "TiltedBatch", "write_kernel"]

VALIDATION_PAIRS = 512  # in all
ENOUGH_PAIRS = 300  # that count: errors of their means are 6 % of a spread
_PARTS_OF_TIME = {"start": (0.0, 0.02), "early": (0.02, 0.3), "late": (0.3, 2.0)}


class TiltedBatch(NamedTuple):
    """Pairs of one molecule with times, noise and what each counts for; see `WeightedPairs`."""

    pair: Pair
    t: Tensor
    noise: Tensor
    weight: Tensor
    baseline: Tensor
    molecule: int

    def split(self, parts: int) -> "list[TiltedBatch]":
        """Consecutive parts of nearly equal size, none of them empty."""
        chunks = min(parts, self.t.numel())
        arrays = (self.pair.start, self.pair.end, self.t, self.noise, self.weight, self.baseline)
        return [
            self._replace(pair=Pair(a, b), t=t, noise=n, weight=w, baseline=c)
            for a, b, t, n, w, c in zip(*(x.tensor_split(chunks) for x in arrays))
        ]


class GuidanceStage(Stage[GuidanceConfig]):
    """Trains the tilted end point on pairs of the base's own environment; see `Stage`.

    Parameters
    ----------
    config : GuidanceConfig
    saved : dict, optional
        Record of the run that goes on.
    """

    settings_free_to_change: ClassVar[frozenset[str]] = frozenset(
        {"train_files", "valid_files", "fused", "parameters"}
    )

    def __init__(self, config: GuidanceConfig, saved: dict[str, Any] | None = None) -> None:
        self.config = config
        base, _, extra = load_conditioned(Path(config.base))
        self.sizes = ConditionedConfig(**load_weights(config.base)[1])
        self.lag_time = _lag_of(extra, config)
        self.molecules = MoleculeSet.load(config.train_files, (self.lag_time,), config.start_noise)
        self.molecules.require_training()
        self.held_out = MoleculeSet.load(config.valid_files or config.train_files[-1:], (self.lag_time,))
        self.held_out.refuse_tests()
        protocol = self.molecules.protocol
        _check_protocol(protocol, extra["protocol"], config)
        self.held_out.require_protocol(protocol)
        base_weights = weights_sha256(base)
        guidance = {} if saved is None else dict(saved["guidance"])
        if guidance:
            _refuse_another_base(guidance, base_weights, config)
        self.samplers, found = self._tilted(self.molecules, guidance or None)
        self.validation_samplers, _ = self._tilted(self.held_out, guidance or found)
        self.record = {
            "data": self.molecules.hashes | ({} if saved is None else saved["data"]),
            "protocol": protocol,
            "guidance": guidance or found | {"base_weights": base_weights, "lag_time": self.lag_time},
        }
        self.notes = _few(self.record["guidance"])
        self.model = ConditionedField(self.sizes)
        self.model.load_state_dict(base.state_dict())
        self.base = self.fast(base.requires_grad_(False))
        self.network = self.fast(self.model)
        self.shares_threads = isinstance(self.network, PairField)
        self.validation = self._validation_parts()

    def fast(self, model: nn.Module) -> ConditionedField:
        """The field that does the work, with the parameters of `model`."""
        assert isinstance(model, ConditionedField)
        return PairField(model) if self.config.fused and operators_are_built() else model

    def _tilted(
        self, molecules: MoleculeSet, known: dict[str, Any] | None
    ) -> tuple[list[WeightedPairSampler], dict[str, Any]]:
        """Samplers by weight, and alpha with what it costs; `known` holds the strength if it is settled."""
        energies = [self._energies(molecule) for molecule in molecules]
        samplers = [molecule.samplers[self.lag_time] for molecule in molecules]
        ends = [ends_of_pairs(sampler, energy) for sampler, energy in zip(samplers, energies)]
        if known is None:
            known = strength_of_pairs(ends, self.config.alpha)
        tilts = [
            tilt_weights(start, end, known["alpha"], known["memory"], self.config.clip)
            for start, end, _ in ends
        ]
        pairs = sum(len(tilt.weights) for tilt in tilts)
        found = {"environment": self.config.environment, "alpha": known["alpha"], "memory": known["memory"]}
        found |= {
            "pairs": pairs,
            "effective_share": sum(t.effective * len(t.weights) for t in tilts) / pairs,
            "clipped_share": sum(t.clipped * len(t.weights) for t in tilts) / pairs,
        }
        return [WeightedPairSampler(s, tilt.weights) for s, tilt in zip(samplers, tilts)], found

    def _energies(self, molecule: TrainingMolecule) -> Tensor:
        """eps of the sampler's frames, less its mean; shape (n_frames,), double."""
        source = molecule.source
        loaded = molecule_of_frames(source.attributes, Path(self.config.parameters))
        energy = EnvironmentEnergy(loaded, source.attributes["environment"], self.config.environment)
        frames = molecule.samplers[self.lag_time].frames.numpy() / ANGSTROM_PER_NM
        found = torch.from_numpy(energy(frames)) / (BOLTZMANN * float(source.attributes["temperature_K"]))
        return found - found.mean()

    def draw(self, generator: Generator) -> TiltedBatch:
        """Pairs of one molecule, half of them drawn by their weights."""
        count = len(self.molecules)
        chosen = 0 if count == 1 else int(torch.randint(count, (), generator=generator))
        size = min(self.config.batch, max(1, self.config.atom_budget // self.molecules[chosen].n_atoms))
        drawn = self.samplers[chosen].draw(size, generator)
        t = draw_times(size, self.config.times, generator)
        noise = torch.randn(drawn.pair.start.shape, generator=generator)
        return TiltedBatch(drawn.pair, t, noise, drawn.weight, drawn.baseline, chosen)

    def _validation_parts(self) -> list[TiltedBatch]:
        generator = Generator().manual_seed(12345)
        size = max(8, VALIDATION_PAIRS // len(self.held_out))
        parts = []
        for chosen, sampler in enumerate(self.validation_samplers):
            pair = sampler.draw_by_weight(size, generator)
            t, ones = draw_times(size, self.config.times, generator), torch.ones(size)
            parts.append(
                TiltedBatch(pair, t, torch.randn(pair.start.shape, generator=generator), ones, ones, chosen)
            )
        return parts

    def predict(self, network: ConditionedField, part: TiltedBatch, molecules: MoleculeSet) -> Tensor:
        """End point at x_t of the pairs."""
        molecule, pair = molecules[part.molecule], part.pair
        x_t = interpolate(pair.start, pair.end, part.t, self.sizes.sigma, part.noise)
        topology = (molecule.z_index, molecule.adjacency, molecule.distance)
        return network(x_t, pair.start, part.t, self.lag_time, *topology)[0]

    def loss(self, part: TiltedBatch) -> tuple[Tensor, float]:
        """Mean loss of a part and its atoms."""
        with torch.no_grad():
            plain = self.predict(self.base, part, self.molecules)
        change = self.predict(self.network, part, self.molecules) - plain
        spread = output_scale(part.t, self.sizes.sigma, self.sizes.displacement)
        error = tilted_change_error(
            change, part.pair.end - plain, part.weight, spread, self.config.baseline * part.baseline
        )
        return error.mean(), float(part.t.numel() * self.molecules[part.molecule].n_atoms)

    @torch.no_grad()
    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Unit-variance error on held-out tilted pairs, guided and not; the gain by part of the time axis."""
        sizes, errors, times = self.sizes, [], []
        for whole in self.validation:
            for part in whole.split(-(-whole.t.numel() // 64)):
                found = [
                    end_point_error(
                        self.predict(network, part, self.held_out), part.pair.end, part.t, sizes.sigma,
                        sizes.displacement,
                    )
                    for network in (self.fast(averaged), self.base)
                ]  # fmt: skip
                errors.append(torch.stack(found, 1))
                times.append(part.t)
        error, t = torch.cat(errors), torch.cat(times)
        figures = {"valid": float(error[:, 0].mean()), "valid_unguided": float(error[:, 1].mean())}
        gain = error[:, 1] - error[:, 0]
        for name, (low, high) in _PARTS_OF_TIME.items():
            figures[f"gain_{name}"] = float(gain[(t >= low) & (t < high)].mean())
        return figures


def write_kernel(folder: Path) -> str:
    """Write the averaged weights of a run as `folder`/kernel.safetensors; returns a line about them."""
    tensors, step, record = read_run(folder / "run.safetensors")
    base = Path(record["config"]["base"])
    config = ConditionedConfig(**load_weights(base)[1])
    kernel = ConditionedField(config)
    kernel.load_state_dict({k[len("ema.") :]: v for k, v in tensors.items() if k.startswith("ema.")})
    path, guidance = folder / "kernel.safetensors", record["guidance"]
    save_kernel(path, kernel, config, guidance, record | {"steps_done": step})
    return (
        f"{path}: {step} steps, to {guidance['environment']}, alpha {guidance['alpha']:.3f}; of {guidance['pairs']} "
        f"pairs {guidance['effective_share']:.1%} count, {guidance['clipped_share']:.1%} clipped"
    )


def _lag_of(base: dict[str, Any], config: GuidanceConfig) -> float:
    """The lag that is guided, ps: one of the base's."""
    offered = [float(lag) for lag in base.get("lag_times") or [base["lag_time"]]]
    if config.lag_time == 0 and len(offered) == 1:
        return offered[0]
    if config.lag_time not in offered:
        raise ConfigError(
            f"lag_time = {config.lag_time:g} ps isn't one that the base '{config.base}' serves; choose one of "
            f"{', '.join(f'{lag:g}' for lag in offered)}."
        )
    return config.lag_time


def _check_protocol(data: dict[str, Any], base: dict[str, Any], config: GuidanceConfig) -> None:
    """The pairs must be draws of the base's own jump."""
    difference = protocol_difference(data, base)
    if difference:
        raise ConfigError(
            f"The pairs have {difference} as those of the base '{config.base}'; guidance is learned on data of the "
            "base's own protocol."
        )


def _refuse_another_base(guidance: dict[str, Any], base_weights: str, config: GuidanceConfig) -> None:
    """A kernel is fitted beside one field from the first step to the last."""
    if guidance["base_weights"] != base_weights:
        raise CheckpointError(
            f"The run was begun beside a base of weights {guidance['base_weights'][:12]}, and '{config.base}' now "
            f"holds {base_weights[:12]}; restore that base or choose another folder."
        )


def _few(guidance: dict[str, Any]) -> tuple[str, ...]:
    """A warning where hardly any pair counts."""
    counting = guidance["effective_share"] * guidance["pairs"]
    if counting >= ENOUGH_PAIRS:
        return ()
    return (
        f"Warning: of {guidance['pairs']} pairs only {counting:.0f} count in the other environment; below "
        f"{ENOUGH_PAIRS}, give more data rather than more steps.",
    )
