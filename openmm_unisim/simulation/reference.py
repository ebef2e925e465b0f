"""One jump in plain PyTorch: the twin of the C++ integrator, its test oracle and its fallback.

==================  =====================================================  ==================
symbol              meaning                                                name here
==================  =====================================================  ==================
c                   centroid of the initial positions, in double           centroid
x_0                 initial positions minus c, in the model's scalar type  path[0]
x_k                 state after k substeps                                 path[k]
t_k                 time grid of the model file, t_0 = 0, t_n = 1          times
log K_k             log density of substep k, in double                    step's second value
x_n + c             the proposal, in double                                Proposal.positions
==================  =====================================================  ==================

Source: docs/model_file.md (the step contract). Many copies of one molecule are moved at once.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..elements import check_elements
from ..errors import ConfigError, ModelDomainError, ModelFileError, NonFiniteError
from ..export.loader import MODEL_ERRORS, argument_names, last_line, load_model_file
from ..export.metadata import GUIDANCE_SOURCES, ModelMetadata
from ..units import BOLTZMANN
from .guidance import Resampling, check_calibrated, choose_source, clip_forces

__all__ = ["ForceFunction", "Proposal", "ReferenceJump"]

MAX_COORDINATE = 1e5  # nm; a molecule further out has exploded (UniSimJump.cpp has the same limit)
MAX_BATCH_ATOMS = 4096  # copies times atoms of one call for densities (UniSimJump.cpp has the same limit)
_METHODS = ("step", "log_density", "guidance_points")

ForceFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Proposal:
    """Where a jump would end, and how it got there.

    Attributes
    ----------
    positions : ndarray, shape (n_copies, n_atoms, 3), nm
    log_density : ndarray, shape (n_copies,)
        Sum of log K over the substeps; nan if a substep has no density.
    path : Tensor, shape (n_substeps + 1, n_copies, n_atoms, 3), nm
        All states, with `centroid` subtracted, in the model's scalar type.
    centroid : ndarray, shape (n_copies, 1, 3), nm
    finite : ndarray of bool, shape (n_copies,)
        False where a coordinate of the path is NaN, infinite or beyond MAX_COORDINATE.
    """

    positions: NDArray[np.float64]
    log_density: NDArray[np.float64]
    path: Tensor
    centroid: NDArray[np.float64]
    finite: NDArray[np.bool_]


class ReferenceJump:
    """The law of one jump of a model file (or of a module of the step contract), for one molecule.

    Parameters
    ----------
    model : str, Path or nn.Module
        A model file, or a module, scripted or not, together with `metadata`.
    metadata : ModelMetadata, optional
        Needed with a module; a file has its own.
    atomic_numbers : sequence of int, shape (n_atoms,)
    bonds : array_like, shape (n_bonds, 2), optional
        Needed by models that say so.
    temperature : float, optional
        K; the training temperature unless given.
    n_substeps : int
        0: the model's default.
    guidance_scale : float, optional
        The model's default unless given; 0 switches guidance off.
    guidance_source : str, optional
        One of `GUIDANCE_SOURCES` that the model serves; the model's own unless given.
    forces : callable, optional
        (m, n_atoms, 3) nm to (m, n_atoms, 3) kJ/mol/nm: OpenMM's forces, for models guided by them; those of the
        whole potential for models with force means.
    force_limit : float
        Largest length of such a force, kJ/mol/nm; longer ones are shortened and counted. 0: none.
    resampling : Resampling, optional
        Needed where the source is "resample".
    box_vectors : array_like, shape (3, 3), nm, optional
    device : str or torch.device
    exact : bool
        The jump is a proposal for Metropolis acceptance: a temperature outside the model's range is then a
        warning instead of an error.
    trusted : bool
    sha256 : str, optional
        Of a model file from elsewhere: see `openmm_unisim.export.loader.load_model_file`.
    """

    def __init__(
        self,
        model: str | Path | torch.nn.Module,
        metadata: ModelMetadata | None = None,
        *,
        atomic_numbers: Sequence[int],
        bonds: ArrayLike | None = None,
        temperature: float | None = None,
        n_substeps: int = 0,
        guidance_scale: float | None = None,
        guidance_source: str | None = None,
        forces: ForceFunction | None = None,
        force_limit: float = 0.0,
        resampling: Resampling | None = None,
        box_vectors: ArrayLike | None = None,
        device: str | torch.device = "cpu",
        exact: bool = False,
        trusted: bool = False,
        sha256: str | None = None,
    ):
        module: Any = model
        if isinstance(model, (str, Path)):
            module, metadata = load_model_file(model, device, sha256, trusted)
        if metadata is None:
            raise ConfigError(
                "A module without metadata says nothing about itself; give its ModelMetadata, too."
            )
        self.module = module
        self.metadata, self.device = metadata, torch.device(device)
        self.scalar_type = torch.float64 if metadata.scalar_type == "float64" else torch.float32
        self.temperature = self._checked_temperature(temperature, exact)
        self.source = choose_source(metadata, guidance_source)
        self.chosen_scale = self._checked_guidance(guidance_scale, guidance_source is not None, forces)
        self.guidance_scale = (
            0.0 if self.source in ("none", "resample") else self.chosen_scale
        )  # for the module
        self.resampling = self._checked_resampling(resampling)
        self.forces, self.force_limit, self.clipped = forces, force_limit, 0
        self.n_atoms = len(atomic_numbers)
        self._fixed = self._fixed_arguments(atomic_numbers, bonds, box_vectors)
        self.times = self._time_grid(n_substeps or metadata.default_substeps)
        self._names = {name: argument_names(getattr(module, name)) for name in _METHODS}

    @property
    def lag_time(self) -> float:
        """Time of one jump, ps."""
        return self.metadata.lag_time_ps

    @property
    def n_substeps(self) -> int:
        """Substeps of one jump."""
        return len(self.times) - 1

    def propose(self, positions: ArrayLike, noise: ArrayLike) -> Proposal:
        """Make one jump of each copy.

        Parameters
        ----------
        positions : array_like, shape (n_copies, n_atoms, 3), nm
            Molecules whole.
        noise : array_like, shape (n_substeps, n_copies, n_atoms, 3)
            Standard normal numbers (openmm_unisim.simulation.noise).

        Raises
        ------
        NonFiniteError
            If `positions` aren't finite. A proposal that isn't finite is no error: see `Proposal.finite`.
        """
        initial = self._checked_positions(positions)
        shape = (self.n_substeps, *initial.shape)
        draws = torch.as_tensor(np.asarray(noise, dtype=np.float64)).to(self.device, self.scalar_type)
        if draws.shape != shape:
            raise ConfigError(f"The noise has the shape {tuple(draws.shape)}, but this jump needs {shape}.")
        centroid = initial.mean(axis=1, keepdims=True)
        path = [torch.as_tensor(initial - centroid).to(self.device, self.scalar_type)]
        log_density = torch.zeros(len(initial), dtype=torch.float64, device=self.device)
        with torch.no_grad():
            alive = torch.ones(len(initial), dtype=torch.bool, device=self.device)
            for k in range(self.n_substeps):
                state = self._state(k, _only(alive, path[k], path[0]), path[0], centroid)
                following, density = self._call("step", **state, noise=draws[k])
                alive = alive & (following.abs() < MAX_COORDINATE).all(dim=2).all(dim=1)
                path.append(_only(alive, following, torch.full_like(following, torch.nan)))
                log_density = log_density + density
        end = path[-1].to("cpu", torch.float64).numpy() + centroid
        log_density = torch.where(alive, log_density, torch.full_like(log_density, torch.nan))
        return Proposal(end, log_density.cpu().numpy(), torch.stack(path), centroid, alive.cpu().numpy())

    def path_log_density(self, path: Tensor, centroid: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log density of a given path, for the reversed direction.

        Parameters
        ----------
        path : Tensor, shape (n_substeps + 1, n_copies, n_atoms, 3), nm
            States minus the centroid of the first.
        centroid : ndarray, shape (n_copies, 1, 3), nm

        Returns
        -------
        ndarray, shape (n_copies,)
            nan for a copy whose path isn't finite.
        """
        alive = path.isfinite().all(dim=3).all(dim=2).all(dim=0)
        total = torch.full((path.shape[1],), torch.nan, dtype=torch.float64, device=self.device)
        if not bool(alive.any()):
            return total.cpu().numpy()
        if not bool(alive.all()):  # another copy stands in, for no model is to see NaN
            stand_in = int(alive.nonzero()[0, 0])
            path = torch.where(alive.reshape(-1, 1, 1), path, path[:, stand_in : stand_in + 1])
            centroid = np.where(alive.cpu().numpy()[:, None, None], centroid, centroid[stand_in])
        total = torch.where(alive, torch.zeros_like(total), total)
        together = max(1, MAX_BATCH_ATOMS // (path.shape[1] * self.n_atoms))  # substeps in one call
        with torch.no_grad():
            for first in range(0, self.n_substeps, together):
                substeps = torch.arange(first, min(first + together, self.n_substeps))
                total = total + self._log_densities(path, centroid, substeps)
        return total.cpu().numpy()

    def _log_densities(self, path: Tensor, centroid: NDArray[np.float64], substeps: Tensor) -> Tensor:
        """Sum of log K of some substeps of a path, (n_copies,), in one call of the model."""
        n, copies = len(substeps), path.shape[1]
        rows = substeps.to(path.device)
        x0 = path[0].repeat(n, 1, 1)
        state = self._state(
            substeps.repeat_interleave(copies), path[rows].flatten(0, 1), x0, np.tile(centroid, (n, 1, 1))
        )
        density = self._call("log_density", next_positions=path[rows + 1].flatten(0, 1), **state)
        return density.reshape(n, copies).sum(dim=0)  # type: ignore[no-any-return]

    def _state(self, k: int | Tensor, x: Tensor, x0: Tensor, centroid: NDArray[np.float64]) -> dict[str, Any]:
        """Arguments that every method of the contract shares, forces included where guidance wants them.

        `k` is the substep, one for all or one for each copy.
        """
        grid = torch.tensor(self.times, dtype=torch.float64)
        times = torch.zeros((len(x), 2), dtype=torch.float64, device=self.device)
        times[:, 0], times[:, 1] = grid[k].to(self.device), grid[k + 1].to(self.device)
        state = dict(self._fixed, positions=x, initial_positions=x0, t=times[:, 0], t_next=times[:, 1])
        if self._wants_forces(self.guidance_scale):
            points = self._call("guidance_points", **state)
            if points.numel():
                state["forces"] = self._forces_at(points, centroid)
        return state

    def _forces_at(self, points: Tensor, centroid: NDArray[np.float64]) -> Tensor:
        """OpenMM's forces at `points` (frame of the jump); NaN where a point isn't finite."""
        assert self.forces is not None  # _checked_guidance
        absolute = points.to("cpu", torch.float64).numpy() + centroid
        finite = (points.abs() < MAX_COORDINATE).all(dim=2).all(dim=1).cpu().numpy()
        values = np.full_like(absolute, np.nan)
        if finite.any():
            limit = 0.0 if self.metadata.force_means_nm > 0 else self.force_limit
            values[finite], clipped = clip_forces(self.forces(absolute[finite]), limit)
            self.clipped += clipped
        return torch.as_tensor(values).to(self.device, self.scalar_type)

    def _call(self, method: str, **arguments: Any) -> Any:
        """Call a method of the module with those of `arguments` that it declares."""
        chosen = {name: arguments[name] for name in self._names[method] if name in arguments}
        try:
            return getattr(self.module, method)(**chosen)
        except MODEL_ERRORS as error:
            raise ModelFileError(f"The model failed in {method}: {last_line(error)}") from error

    def _time_grid(self, n: int) -> list[float]:
        try:
            times = [float(time) for time in self.module.time_grid(n)]
        except MODEL_ERRORS as error:
            raise ModelDomainError(
                f"The model offers no time grid of {n} substeps ({last_line(error)}); "
                f"use its default, {self.metadata.default_substeps}."
            ) from error
        if len(times) != n + 1 or times[0] != 0 or times[-1] != 1 or min(np.diff(times)) <= 0:
            raise ModelFileError(f"The model's grid of {n} substeps doesn't rise from 0 to 1: {times}.")
        return times

    def _fixed_arguments(
        self, atomic_numbers: Sequence[int], bonds: ArrayLike | None, box_vectors: ArrayLike | None
    ) -> dict[str, Any]:
        check_elements(atomic_numbers, self.metadata.elements)
        if self.metadata.needs_bonds and bonds is None:
            raise ConfigError("This model needs bonds; give the Topology's as pairs of atom indices.")
        if self.metadata.periodic and box_vectors is None:
            raise ConfigError("This model is periodic; give box_vectors.")
        pairs = np.asarray(bonds if bonds is not None else [], dtype=np.int64).reshape(-1, 2)
        if pairs.size and not 0 <= pairs.min() <= pairs.max() < self.n_atoms:
            raise ConfigError(
                f"A bond names an atom outside 0..{self.n_atoms - 1}; bonds are pairs of indices."
            )
        box = np.zeros(0) if box_vectors is None else np.asarray(box_vectors, dtype=np.float64).reshape(3, 3)
        return {
            "atomic_numbers": torch.as_tensor(np.asarray(atomic_numbers, dtype=np.int64)).to(self.device),
            "bonds": torch.as_tensor(pairs).to(self.device),
            "kT": BOLTZMANN * self.temperature,
            "forces": torch.zeros(0, dtype=self.scalar_type, device=self.device),
            "guidance_scale": self.guidance_scale,
            "guidance_alpha": self.metadata.guidance_alpha,
            "guidance_source": 0 if self.guidance_scale == 0.0 else GUIDANCE_SOURCES.index(self.source),
            "box_vectors": torch.as_tensor(box).to(self.device, self.scalar_type),
        }

    def _checked_temperature(self, temperature: float | None, exact: bool) -> float:
        low, high = self.metadata.temperature_range_K
        value = self.metadata.training_temperature_K if temperature is None else float(temperature)
        if low <= value <= high:
            return value
        message = f"The model is for {low} to {high} K, not for {value} K; use another model or temperature."
        if not exact or not value > 0:
            raise ModelDomainError(message)
        warnings.warn(message, stacklevel=3)
        return value

    def _wants_forces(self, scale: float) -> bool:
        return self.metadata.force_means_nm > 0 or (self.source.startswith("openmm") and scale > 0)

    def _checked_resampling(self, resampling: Resampling | None) -> Resampling | None:
        """What chooses among jumps, if anything does."""
        if self.source != "resample" or self.chosen_scale == 0:
            return None
        if resampling is None:
            raise ConfigError("Resampling needs the environment's energy; give `resampling`.")
        return resampling

    def _checked_guidance(self, scale: float | None, told: bool, forces: ForceFunction | None) -> float:
        default = self.metadata.default_guidance_scale
        if told and self.metadata.guidance == "none":
            default = 1.0
        value = default if scale is None else float(scale)
        if not value >= 0:
            raise ConfigError(f"guidance_scale = {value} is negative; 0 is off, 1 the calibrated strength.")
        if value > 0 and not told and self.metadata.guidance == "none":
            raise ModelDomainError(f"guidance_scale = {value}, but this model has no guidance; set it to 0.")
        if value > 0 and (self.source.startswith("openmm") or self.source == "resample"):
            check_calibrated(self.metadata, self.source)
        if self.metadata.force_means_nm > 0 and forces is None:
            raise ConfigError(
                "This model corrects its last substeps by the whole potential's forces (force means); give `forces`."
            )
        if self._wants_forces(value) and forces is None:
            raise ConfigError("This model is guided by OpenMM's forces; give `forces` or guidance_scale = 0.")
        return value

    def _checked_positions(self, positions: ArrayLike) -> NDArray[np.float64]:
        array = np.asarray(positions, dtype=np.float64)
        if array.ndim != 3 or array.shape[1:] != (self.n_atoms, 3):
            raise ConfigError(
                f"Positions have the shape {array.shape}, but (n_copies, {self.n_atoms}, 3) is needed, in nm."
            )
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            raise NonFiniteError(
                f"Atom {bad[0][1]} of copy {bad[0][0]} starts the jump at {array[tuple(bad[0])]}; "
                "go back to the last finite frame."
            )
        return array


def _only(alive: Tensor, x: Tensor, otherwise: Tensor) -> Tensor:
    """`x`, with `otherwise` for copies that were lost: no model ever sees NaN beside the others of a batch."""
    return x if bool(alive.all()) else torch.where(alive.reshape(-1, 1, 1), x, otherwise)
