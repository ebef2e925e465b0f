"""The conditioned vector field as a stage of training, on any number of molecules and lag times."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from .._plugin import operators_are_built
from ..errors import CheckpointError, DataError
from ..interpolant.bridge import interpolate
from ..model.conditioned import ConditionedConfig, ConditionedField
from ..model.pair_field import PairField
from .batches import Batch
from .config import VectorFieldConfig
from .losses import draw_times, end_point_error, reference_length_error
from .molecule_set import MoleculeSet, protocol_difference
from .stage import Stage
from .subgraph import SubgraphCutter, SubgraphPart, subgraph_loss

__all__ = ["VectorFieldStage"]

VALIDATION_PAIRS = 512  # in all
VALIDATION_ATOMS = (
    100_000  # of one molecule and lag, but at least 32 pairs: seconds of a pass each for a large one
)
ATOMS_AT_ONCE = 4096  # 64 copies at most
_PARTS_OF_TIME = {"start": (0.0, 0.02), "early": (0.02, 0.3), "late": (0.3, 0.98), "end": (0.98, 2.0)}


class VectorFieldStage(Stage[VectorFieldConfig]):
    """Trains xhat_1 = E[x_1 | x_t, x_0, t] on pairs of many molecules; see `Stage`.

    Each part of a step is one molecule, drawn uniformly or by its size (`size_exponent`), at one lag time, drawn
    uniformly: batches of one molecule are what the operators want. A part weighs by its atoms. Of a molecule of more
    than `subgraph_atoms` atoms a part is one pair, cut to a subgraph; validation sees whole molecules.

    Parameters
    ----------
    config : VectorFieldConfig
    saved : dict, optional
        Record of the run that goes on.
    """

    settings_free_to_change: ClassVar[frozenset[str]] = frozenset(
        {"train_files", "valid_files", "valid_lag_times", "model", "compiled", "fused", "start_from"}
    )

    def __init__(self, config: VectorFieldConfig, saved: dict[str, Any] | None = None) -> None:
        self.molecules = MoleculeSet.load(config.train_files, config.lags, config.start_noise)
        if not config.unlisted:
            self.molecules.require_training()
        held_out = MoleculeSet.load(config.valid_files or config.train_files[-1:], config.valid_lags)
        held_out.refuse_tests()
        protocol = self.molecules.protocol
        held_out.require_protocol(protocol)
        hashes = self.molecules.hashes
        if config.valid_files:
            _refuse_overlap(hashes, held_out.hashes)
        if saved is None:
            model = config.model
            if config.measure_displacement:
                measured = round(self.molecules.displacement(config.lags), 3)
                model = model.model_copy(update={"displacement": measured})
        else:
            _refuse_another(saved, config, protocol)
            hashes = saved["data"] | hashes
            model = ConditionedConfig(**saved["config"]["model"])
        self.config = config.model_copy(update={"model": model})
        self.record = {"data": hashes, "protocol": protocol}
        self.model = ConditionedField(model, Generator().manual_seed(config.seed))
        self.network: Callable = self.fast(self.model)
        self.shares_threads = isinstance(self.network, PairField)
        if config.compiled and self.network is self.model:
            self.network = torch.compile(self.model)
        self.cutters = self._cutters()
        atoms = torch.tensor([float(molecule.n_atoms) for molecule in self.molecules])
        self.shares = atoms**self.config.size_exponent
        self.held_out = held_out
        self.validation = self._validation_parts()

    def fast(self, model: nn.Module) -> ConditionedField:
        """The field that does the work, with the parameters of `model`."""
        assert isinstance(model, ConditionedField)
        return PairField(model) if self.config.fused and operators_are_built() else model

    def _cutters(self) -> dict[int, SubgraphCutter]:
        """Of each large molecule, by its place in the set."""
        config = self.config
        return {
            place: SubgraphCutter(
                molecule.z_index, molecule.source.bonds, config.model, molecule.source.walkers[0][0],
                config.environment_radius, config.gradient_radius,
            )
            for place, molecule in enumerate(self.molecules)
            if self._is_large(molecule.n_atoms)
        }  # fmt: skip

    def _is_large(self, n_atoms: int) -> bool:
        return 0 < self.config.subgraph_atoms < n_atoms

    def draw(self, generator: Generator) -> Batch | SubgraphPart:
        """Pairs of one molecule."""
        lags = self.config.lags
        chosen = self._molecule(generator)
        lag = lags[0 if len(lags) == 1 else int(torch.randint(len(lags), (), generator=generator))]
        molecule = self.molecules[chosen]
        cutter = self.cutters.get(chosen)
        size = min(self.config.batch, max(1, self.config.atom_budget // molecule.n_atoms))
        batch = self._batch(self.molecules, chosen, lag, size if cutter is None else 1, generator)
        return batch if cutter is None else cutter.draw(batch.pair, batch.t, batch.noise, lag, generator)

    def _molecule(self, generator: Generator) -> int:
        """Place of a molecule, drawn with a probability that goes as n_atoms^size_exponent."""
        if len(self.molecules) == 1:
            return 0
        if self.config.size_exponent == 0:  # older runs go on with the draws that they would have had
            return int(torch.randint(len(self.molecules), (), generator=generator))
        return int(torch.multinomial(self.shares, 1, generator=generator))

    def _batch(
        self, molecules: MoleculeSet, chosen: int, lag: float, size: int, generator: Generator
    ) -> Batch:
        pair = molecules[chosen].samplers[lag].draw(size, generator)
        t = draw_times(size, self.config.times, generator)
        return Batch(pair, t, torch.randn(pair.start.shape, generator=generator), chosen, lag)

    def _validation_parts(self) -> list[Batch]:
        """Fixed parts of every held-out molecule and lag."""
        generator = Generator().manual_seed(12345)
        lags = self.config.valid_lags
        size = max(8, VALIDATION_PAIRS // (len(self.held_out) * len(lags)))
        return [
            self._batch(
                self.held_out,
                chosen,
                lag,
                min(size, max(32, VALIDATION_ATOMS // molecule.n_atoms)),
                generator,
            )
            for chosen, molecule in enumerate(self.held_out)
            for lag in lags
        ]

    def predict(self, network: Callable, batch: Batch, molecules: MoleculeSet) -> tuple[Tensor, Tensor]:
        """End point and reference lengths at x_t of the pairs."""
        pair, molecule = batch.pair, molecules[batch.molecule]
        x_t = interpolate(pair.start, pair.end, batch.t, self.config.model.sigma, batch.noise)
        return network(
            x_t, pair.start, batch.t, batch.lag_time, molecule.z_index, molecule.adjacency, molecule.distance
        )

    def error(self, predicted: Tensor, batch: Batch) -> Tensor:
        """Squared error of the end point in units of its spread, shape (n_copies,)."""
        model = self.config.model
        return end_point_error(predicted, batch.pair.end, batch.t, model.sigma, model.displacement)

    def loss(self, part: Batch | SubgraphPart) -> tuple[Tensor, float]:
        """Mean loss of a part and its atoms."""
        if isinstance(part, SubgraphPart):
            loss = subgraph_loss(self.network, part, self.config.model, self.config.length_weight)
            return loss, part.share
        predicted, reference = self.predict(self.network, part, self.molecules)
        lengths = reference_length_error(reference, part.pair.end, self.molecules[part.molecule].distance)
        loss = self.error(predicted, part).mean() + self.config.length_weight * lengths
        return loss, float(part.t.numel() * self.molecules[part.molecule].n_atoms)

    @torch.no_grad()
    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Mean unit-variance error on held-out pairs: whole, by part of the time axis, and by lag."""
        model = self.fast(averaged)
        errors, times, lags = [], [], []
        for whole in self.validation:
            copies = max(1, min(64, ATOMS_AT_ONCE // self.held_out[whole.molecule].n_atoms))
            for part in whole.split(-(-whole.t.numel() // copies)):
                predicted, _ = self.predict(model, part, self.held_out)
                errors.append(self.error(predicted, part))
                times.append(part.t)
                lags.append(torch.full_like(part.t, part.lag_time))
        error, t, lag = torch.cat(errors), torch.cat(times), torch.cat(lags)
        found = {"valid": float(error.mean())}
        for name, (low, high) in _PARTS_OF_TIME.items():
            found[f"valid_{name}"] = float(error[(t >= low) & (t < high)].mean())
        if len(self.config.valid_lags) > 1:
            found |= {
                f"valid_lag_{value:g}": float(error[lag == value].mean()) for value in self.config.valid_lags
            }
        return found


def _refuse_overlap(training: dict[str, str], held_out: dict[str, str]) -> None:
    """Files that judge a run must not be among those it learns from, whatever they are called."""
    seen = {digest: name for name, digest in training.items()}
    for name, digest in held_out.items():
        if digest in seen:
            raise DataError(
                f"'{name}' of valid_files is '{seen[digest]}' of train_files; hold out other walkers, or leave "
                "valid_files out to validate on the last training file."
            )


def _refuse_another(saved: dict[str, Any], config: VectorFieldConfig, protocol: dict[str, Any]) -> None:
    """A continued run keeps its network and its data's protocol.

    The measured displacement alone may differ: the run's own stays.
    """
    before, now = ConditionedConfig(**saved["config"]["model"]).model_dump(), config.model.model_dump()
    for name, value in now.items():
        if name == "displacement" and config.measure_displacement:
            continue
        if before[name] != value:
            raise CheckpointError(
                f"The run has model.{name} = {before[name]!r}, not {value!r}; resume with its own network or choose "
                "another folder."
            )
    difference = protocol_difference(saved.get("protocol", {}), protocol)
    if difference:
        raise CheckpointError(
            f"The run was begun on data of {difference} as the files now given; resume with files of its own protocol "
            "or choose another folder."
        )
