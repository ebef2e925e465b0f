"""Checks that a model file keeps the step contract (docs/model_file.md), by using it on random molecules.

Equivariance is asked of the *law* of a substep, not of the map from noise to positions (a Cholesky factor of
the covariance depends on the axes, and may): the mean, which is the step without noise, moves with the
molecule, and the log density of a state stays the same when everything moves. A substep without density is
checked with noise that moves, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..elements import ATOMIC_NUMBERS
from ..errors import ModelFileError
from .loader import MODEL_ERRORS, argument_names, last_line, load_model_file
from .metadata import ModelMetadata
from .probe import Probe, chain_molecule, random_rotation

__all__ = ["STATE_ARGUMENTS", "ValidationReport", "validate_model_file"]

STATE_ARGUMENTS = (
    "positions", "initial_positions", "atomic_numbers", "bonds", "t", "t_next", "kT", "forces",
    "guidance_scale", "box_vectors",
)  # fmt: skip
OPTIONAL_ARGUMENTS = (
    "guidance_alpha",
    "guidance_source",
)  # after guidance_scale, in modules that can be told
METHOD_ARGUMENTS = {
    "step": (*STATE_ARGUMENTS, "noise"),
    "log_density": ("next_positions", *STATE_ARGUMENTS),
    "guidance_points": STATE_ARGUMENTS,
    "time_grid": ("n",),
}
POSITION_TOLERANCE = {"float32": 2e-5, "float64": 1e-9}  # nm
DENSITY_TOLERANCE = {"float32": 2e-3, "float64": 1e-7}  # for each degree of freedom
MOLECULE_SIZES = (3, 9, 60)  # atoms

_Move = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class ValidationReport:
    """What `validate_model_file` found.

    Attributes
    ----------
    path : Path
    metadata : ModelMetadata
    checks : dict of str to float
        Each check passed, in order, with the largest deviation it met (nm, or log density for each degree of
        freedom); 0 where nothing is measured.
    """

    path: Path
    metadata: ModelMetadata
    checks: dict[str, float] = field(default_factory=dict)

    def passed(self, check: str, deviation: float = 0.0) -> None:
        """Note a check, keeping the largest deviation."""
        self.checks[check] = max(self.checks.get(check, 0.0), deviation)


def validate_model_file(
    path: str | Path, seed: int = 1, device: str | torch.device = "cpu"
) -> ValidationReport:
    """Prove the contract of a model file, or raise the first breach.

    Parameters
    ----------
    path : str or Path
    seed : int
        Of the random molecules, noise and rotations.
    device : str or torch.device

    Returns
    -------
    ValidationReport

    Raises
    ------
    ModelFileError
        Naming what is broken and by how much.
    """
    module, metadata = load_model_file(path, device)
    check = _Validator(Path(path), module, metadata, np.random.default_rng(seed), torch.device(device))
    check.methods()
    times = check.time_grid()
    last = len(times) - 2
    for n_atoms in MOLECULE_SIZES:
        molecule = chain_molecule(n_atoms, metadata.elements, check.generator)
        for k in [last] if n_atoms == max(MOLECULE_SIZES) else sorted({0, last // 2, last}):
            n_copies = 3 if k in (0, last) else 1
            probe = Probe(molecule, metadata, n_copies, times[k], times[k + 1], check.generator, check.device)
            check.substep(probe)
    check.unknown_element(probe)
    return check.report


class _Validator:
    """The checks; each raises at a breach and otherwise notes itself in the report."""

    def __init__(
        self,
        path: Path,
        module: Any,
        metadata: ModelMetadata,
        generator: np.random.Generator,
        device: torch.device,
    ):
        self.report = ValidationReport(path, metadata)
        self.report.passed("metadata")
        self.module, self.metadata, self.generator, self.device = module, metadata, generator, device
        self.scalar = torch.float64 if metadata.scalar_type == "float64" else torch.float32

    def fail(self, what: str) -> NoReturn:
        raise ModelFileError(
            f"Model file {self.report.path} breaks the step contract: {what}; "
            "correct the module and export it again."
        )

    def call(self, method: str, arguments: dict[str, Any]) -> Any:
        """Call a method with those arguments that it declares, within no_grad."""
        function = getattr(self.module, method)
        chosen = {name: arguments[name] for name in argument_names(function) if name in arguments}
        try:
            with torch.no_grad():
                return function(**chosen)
        except MODEL_ERRORS as error:
            self.fail(f"{method} failed ({last_line(error)})")

    def close(self, check: str, difference: Tensor | float, tolerance: float) -> None:
        """Fail if a deviation is above the tolerance or not a number."""
        deviation = float(torch.as_tensor(difference).abs().max())
        if not deviation <= tolerance:
            self.fail(f"{check}: deviates by {deviation:.3g} (tolerance {tolerance:.3g})")
        self.report.passed(check, deviation)

    def methods(self) -> None:
        for method, expected in METHOD_ARGUMENTS.items():
            if not hasattr(self.module, method):
                self.fail(f"it has no method {method}")
            found = tuple(argument_names(getattr(self.module, method)))
            if tuple(name for name in found if name not in OPTIONAL_ARGUMENTS) != expected:
                self.fail(f"{method} takes ({', '.join(found)}) instead of ({', '.join(expected)})")
        if hasattr(self.module, "drift"):
            foreign = set(argument_names(self.module.drift)) - {*STATE_ARGUMENTS, *OPTIONAL_ARGUMENTS}
            if foreign:
                self.fail(f"drift takes the unknown argument {sorted(foreign)[0]}")
        self.report.passed("methods and arguments")

    def time_grid(self) -> list[float]:
        n = self.metadata.default_substeps
        grid = self.call("time_grid", {"n": n})
        if grid.shape != (n + 1,) or grid.dtype != torch.float64:
            self.fail(
                f"time_grid({n}) is {grid.dtype} of shape {tuple(grid.shape)}, not float64 of ({n + 1},)"
            )
        times = grid.tolist()
        if times[0] != 0.0 or times[-1] != 1.0 or min(np.diff(times)) <= 0.0:
            self.fail(f"time_grid({n}) doesn't rise strictly from 0 to 1")
        for absurd in (0, -1):
            self._must_raise(f"time_grid({absurd})", partial(self.module.time_grid, absurd))
        self.report.passed("time grid")
        return times

    def substep(self, probe: Probe) -> None:
        """All checks of one substep of one molecule."""
        arguments = probe.arguments(self._forces(probe))
        following, density = self._outputs(arguments, probe)
        self._density(arguments, following, density)
        self._copies(arguments, following, density, probe)
        self._guidance(arguments, following)
        moves: dict[str, _Move] = {"translation": probe.translated, "permutation of atoms": probe.permuted}
        if not self.metadata.periodic:
            rotation = random_rotation(self.generator)
            moves["rotation"] = partial(probe.turned, matrix=rotation)
            if self.metadata.symmetry == "O(3)":
                moves["reflection"] = partial(probe.turned, matrix=-rotation)
        for name, move in moves.items():
            self._symmetry(arguments, following, density, name, move)

    def _forces(self, probe: Probe) -> Tensor:
        """Forces as OpenMM would give them, or none."""
        points = self.call("guidance_points", probe.arguments(None))
        if not self.metadata.forces_required:
            if points.numel():
                self.fail("guidance_points wants forces, but the metadata's forces_required is false")
            return points
        if points.shape != probe.shape or points.dtype != self.scalar or not bool(points.isfinite().all()):
            self.fail(
                f"guidance_points returned {points.dtype} of shape {tuple(points.shape)} or not finite values"
            )
        self.report.passed("guidance points")
        return probe.random(100.0)

    def _outputs(self, arguments: dict[str, Any], probe: Probe) -> tuple[Tensor, Tensor]:
        """Shapes, dtypes, finiteness, no mutation, no memory."""
        before = {name: value.clone() for name, value in arguments.items() if isinstance(value, Tensor)}
        following, density = self.call("step", arguments)
        again, density_again = self.call("step", arguments)
        for name, value in before.items():
            if not torch.equal(arguments[name], value):
                self.fail(f"step changes its argument {name}")
        if following.shape != probe.shape or following.dtype != self.scalar:
            self.fail(
                f"step returned positions of {following.dtype} and shape {tuple(following.shape)} "
                f"instead of {self.scalar} and {probe.shape}"
            )
        if density.shape != probe.shape[:1] or density.dtype != torch.float64:
            self.fail(
                f"step returned log densities of {density.dtype} and shape {tuple(density.shape)} "
                f"instead of float64 and {probe.shape[:1]}"
            )
        if not bool(following.isfinite().all()):
            self.fail(f"step returned positions that aren't finite for a molecule of {probe.shape[1]} atoms")
        if bool(density.isinf().any()):
            self.fail("step returned an infinite log density")
        if not torch.equal(following, again) or not torch.equal(
            density.nan_to_num(), density_again.nan_to_num()
        ):
            self.fail("a second call of step with the same arguments gives another result")
        for check in ("shapes and types", "finite", "no mutation of arguments", "no hidden state"):
            self.report.passed(check)
        return following, density

    def _density(self, arguments: dict[str, Any], following: Tensor, density: Tensor) -> None:
        """log_density of the step's end is what step returned."""
        other = self.call("log_density", {**arguments, "next_positions": following})
        if other.shape != density.shape or other.dtype != torch.float64:
            self.fail(f"log_density returned {other.dtype} of shape {tuple(other.shape)}")
        if not torch.equal(other.isnan(), density.isnan()):
            self.fail("log_density is nan where step's isn't, or the other way round")
        self.close(
            "log_density agrees with step", self._per_freedom(other - density, following), self._density_limit
        )

    def _copies(self, arguments: dict[str, Any], following: Tensor, density: Tensor, probe: Probe) -> None:
        """The last copy alone gives the same."""
        alone, density_alone = self.call("step", probe.last_copy(arguments))
        self.close("copies are independent", alone - following[-1:], self._position_limit)
        self.close(
            "copies are independent",
            self._per_freedom(density_alone - density[-1:], alone),
            self._density_limit,
        )

    def _guidance(self, arguments: dict[str, Any], following: Tensor) -> None:
        """guidance_scale = 0 switches off exactly, forces or not."""
        none = arguments["forces"].new_zeros(0)
        off, _ = self.call("step", {**arguments, "guidance_scale": 0.0, "forces": none})
        if self.metadata.guidance == "none":
            other = self.call("step", {**arguments, "guidance_scale": 1.0, "forces": none})[0]
        else:
            other = self.call("step", {**arguments, "guidance_scale": 0.0})[0]
        if not torch.equal(off, other):
            self.fail(f"guidance {self.metadata.guidance} isn't off exactly at guidance_scale 0")
        self.report.passed("guidance_scale 0 is no guidance")

    def _symmetry(
        self, arguments: dict[str, Any], sample: Tensor, density: Tensor, name: str, move: _Move
    ) -> None:
        """The mean moves with the molecule, and the density of a typical sample stays the same."""
        has_density = not bool(density.isnan().any())
        noise = torch.zeros_like(arguments["noise"]) if has_density else arguments["noise"]
        end, _ = self.call("step", {**arguments, "noise": noise})
        moved = move({**arguments, "noise": noise, "next_positions": end})
        difference = self.call("step", moved)[0] - moved["next_positions"]
        self.close(f"equivariant under {name}", difference, self._position_limit)
        if has_density:
            there = self.call("log_density", move({**arguments, "next_positions": sample}))
            change = self._per_freedom(there - density, sample)
            self.close(f"density invariant under {name}", change, self._density_limit)

    def unknown_element(self, probe: Probe) -> None:
        """Elements outside the metadata are refused by the module itself."""
        outside = [number for number in ATOMIC_NUMBERS if number not in self.metadata.elements]
        for number in [2, *outside]:
            arguments = probe.arguments(self._forces(probe))
            arguments["atomic_numbers"] = arguments["atomic_numbers"].clone()
            arguments["atomic_numbers"][-1] = number
            declared = argument_names(self.module.step)
            self._must_raise(
                f"atomic number {number}, which the metadata don't list,",
                partial(self.module.step, **{name: arguments[name] for name in declared}),
            )
        self.report.passed("unknown element raises")

    def _must_raise(self, what: str, function: Callable[[], Any]) -> None:
        try:
            with torch.no_grad():
                function()
        except MODEL_ERRORS:
            return
        self.fail(f"{what} is no error")

    @property
    def _position_limit(self) -> float:
        return POSITION_TOLERANCE[self.metadata.scalar_type]

    @property
    def _density_limit(self) -> float:
        return DENSITY_TOLERANCE[self.metadata.scalar_type]

    def _per_freedom(self, difference: Tensor, positions: Tensor) -> Tensor:
        """A difference of log densities for each degree of freedom; 0 where there is no density."""
        return difference.nan_to_num() / positions[0].numel()
