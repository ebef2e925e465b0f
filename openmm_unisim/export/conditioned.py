"""From trained weights of the conditioned form to a model file.

The weights file (safetensors) holds the field, its variance head and, in its header, the protocol of the
training data. It is the exchange format; the model file is built from it (docs/decisions).
"""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from .._plugin import operators_are_built
from ..elements import hill_formula
from ..errors import CheckpointError, ConfigError, check_choice
from ..model.checkpoint import load_into, load_weights, save_weights
from ..model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
from ..model.fused import use_fused
from ..model.inference_pairs import PAIRS_FROM
from ..model.spread import SpreadHead
from ..units import ANGSTROM_PER_NM
from .exporter import save_model_file, weights_sha256
from .force_means import ForceMeansJump
from .live import LiveJump
from .metadata import GUIDANCE_SOURCES, PACKAGE_SUFFIX, GuidanceName, ModelMetadata
from .packed import PackedJump
from .scripted import MOST_SUBSTEPS, ConditionedJump

KIND = "conditioned_field"
KERNEL_KIND = "conditioned_kernel"
HYDROGEN = 1.01  # Da; a heavier one was repartitioned


class _Calibrated(nn.Module):
    """A field and its variance head, as they are stored together."""

    def __init__(self, field: ConditionedField, spread: SpreadHead) -> None:
        super().__init__()
        self.field = field
        self.spread = spread


def save_conditioned(
    path: Path, field: ConditionedField, spread: SpreadHead, config: ConditionedConfig,
    lag_times: float | Sequence[float], protocol: dict[str, Any], record: dict[str, Any],
) -> None:  # fmt: skip
    """Write the weights file of a trained, calibrated field.

    Parameters
    ----------
    path : Path
    field, spread, config
        The networks and their sizes.
    lag_times : float or sequence of float, ps
        Those that the field was trained for.
    protocol : dict
        Attributes of the training data (environment, force field, temperature, masses, friction, elements).
    record : dict
        Training configuration and provenance.
    """
    lags = [lag_times] if isinstance(lag_times, float | int) else list(lag_times)
    extra = {"lag_time": lags[0], "lag_times": lags, "protocol": protocol, "record": record}
    save_weights(path, _Calibrated(field, spread), KIND, config, extra)


def load_conditioned(path: Path) -> tuple[ConditionedField, SpreadHead, dict[str, Any]]:
    """Field, variance head and the header's record of a weights file."""
    kind, settings, state, extra = load_weights(path)
    if kind != KIND:
        raise CheckpointError(
            f"'{path}' holds weights of kind '{kind}', not '{KIND}'; give a conditioned field's weights."
        )
    config = ConditionedConfig(**settings)
    module = _Calibrated(ConditionedField(config), SpreadHead(config.place_width, TIME_CENTRES))
    load_into(module, state, str(path))
    return module.field.eval(), module.spread.eval(), extra


class _Kernel(nn.Module):
    """A guidance kernel, as it is stored."""

    def __init__(self, field: ConditionedField) -> None:
        super().__init__()
        self.field = field


def save_kernel(
    path: Path, kernel: ConditionedField, config: ConditionedConfig, guidance: dict[str, Any], record: dict[str, Any]
) -> None:  # fmt: skip
    """Write the weights file of a guidance kernel.

    Parameters
    ----------
    path : Path
    kernel, config
        The field that predicts the tilted end point, and its sizes.
    guidance : dict
        `alpha`, `environment`, `lag_time` (ps), `base_weights` (SHA-256 of the guided field's weights), and what is
        known of the pairs.
    record : dict
        Training configuration and provenance.
    """
    save_weights(path, _Kernel(kernel), KERNEL_KIND, config, {"guidance": guidance, "record": record})


def load_kernel(path: Path, field: ConditionedField) -> tuple[ConditionedField, dict[str, Any]]:
    """Kernel of a weights file and its `guidance` entries; `field` must be the one it was trained beside."""
    kind, settings, state, extra = load_weights(path)
    if kind != KERNEL_KIND:
        raise CheckpointError(
            f"'{path}' holds weights of kind '{kind}', not '{KERNEL_KIND}'; give a kernel of `train guidance`."
        )
    if extra["guidance"]["base_weights"] != weights_sha256(field):
        raise CheckpointError(
            f"The kernel in '{path}' was trained beside another field; export it with the base that it names "
            f"({extra['guidance']['base_weights'][:12]})."
        )
    module = _Kernel(ConditionedField(ConditionedConfig(**settings)))
    load_into(module, state, str(path))
    return module.field.eval(), extra["guidance"]


def export_conditioned(
    weights: Path,
    output: Path,
    *,
    guidance: Path | None = None,
    substeps: int = 20,
    grid_power: float = 2.5,
    covariance: str = "group-wise",
    plain: bool = False,
    lag_time: float | None = None,
    source: str | None = None,
    force_means: float = 0.0,
) -> ModelMetadata:
    """Write the model file of a weights file.

    Parameters
    ----------
    weights, output : Path
        An output with the suffix ``.pt2`` is compiled ahead of time (`export.packager`).
    guidance : Path, optional
        Weights file of a guidance kernel that was trained beside these weights.
    substeps : int
        Default number of substeps of a jump.
    grid_power : float
        p of the symmetric grid, 0 for the uniform one.
    covariance : {"group-wise", "isotropic"}
    plain : bool
        Without the plugin's fused operators: slower, but the file needs torch only. They are left out, too, where the
        plugin is not built.
    lag_time : float, ps, optional
        One of those that the weights were trained for; needed where there are several.
    source : str, optional
        Where guidance comes from unless told otherwise (`GUIDANCE_SOURCES`): by default the kernel, if there is one.
        With "openmm" or "openmm+residual" the file holds the field a second time, in a form with derivatives.
    force_means : float, nm
        sigma sqrt(1-t) below which OpenMM's forces correct the means of substeps (`interpolant.force_means`); 0: never.
    """
    if covariance not in ("group-wise", "isotropic"):
        raise ConfigError(f"covariance = '{covariance}' is unknown; choose group-wise or isotropic.")
    if not 2 <= substeps <= MOST_SUBSTEPS:
        raise ConfigError(f"substeps = {substeps} isn't offered; choose 2 to {MOST_SUBSTEPS}.")
    if not 0 <= grid_power < float("inf"):
        raise ConfigError(
            f"grid_power = {grid_power} makes no grid; choose a positive number, or 0 for the uniform one."
        )
    _check_force_means(force_means, covariance, source)
    field, spread, extra = load_conditioned(weights)
    protocol = extra["protocol"]
    elements = sorted(set(protocol["atomic_numbers"]))
    kernel, guided = (None, None) if guidance is None else load_kernel(guidance, field)
    wanted = guided["lag_time"] if lag_time is None and guided is not None else lag_time
    lag = _choose_lag(extra, wanted, weights)
    if guided is not None and guided["lag_time"] != lag:
        raise CheckpointError(
            f"The kernel in '{guidance}' was trained for a lag of {guided['lag_time']:g} ps, not {lag:g} ps; leave "
            "--lag-time out, or train it for that lag."
        )
    module = ConditionedJump(
        field, spread, lag, grid_power, covariance == "group-wise", torch.tensor(elements), kernel
    )
    digest = weights_sha256(module)
    sources = _sources(source, kernel is not None)
    exported = _assembled(
        module, sources.live, operators_are_built() and not plain, _is_of_one_small_molecule(protocol)
    )
    if force_means > 0:
        exported = ForceMeansJump(cast(ConditionedJump, exported), force_means * ANGSTROM_PER_NM)
    metadata = _metadata(extra, lag, field, elements, substeps, digest, guided, sources).model_copy(
        update={"force_means_nm": force_means}
    )
    if output.suffix == PACKAGE_SUFFIX:
        from .packager import save_package  # the compiler's modules load slowly

        return save_package(cast(ConditionedJump, exported), metadata, output)  # refuses what isn't one
    return save_model_file(exported, metadata, output)


def _check_force_means(threshold: float, covariance: str, source: str | None) -> None:
    """Refuse what corrected means can't be combined with."""
    if not 0 <= threshold < float("inf"):
        raise ConfigError(f"force_means = {threshold} nm is no width; give a positive number, or 0 for none.")
    if threshold > 0 and covariance != "group-wise":
        raise ConfigError(
            "Force means need the group-wise covariance, whose stiff directions tell how far a force moves the mean."
        )
    if threshold > 0 and source not in (None, "none", "learned"):
        raise ConfigError(
            f"Force means (the whole potential's forces) and the guidance source {source} exclude each other; "
            "leave one out."
        )


def _assembled(jump: ConditionedJump, live: bool, fused: bool, small: bool) -> nn.Module:
    """The module to write: packed if `fused` (in one form if its molecule is `small`), with derivatives if `live`."""
    if not live:
        return PackedJump(jump, small) if fused else jump
    differentiable = copy.deepcopy(jump.field)
    if fused:
        jump = PackedJump(jump, small)
        use_fused(differentiable, True)
    return LiveJump(jump, differentiable)


class _Sources(NamedTuple):
    """What guides unless told otherwise, and all that can be told."""

    default: GuidanceName
    offered: tuple[GuidanceName, ...]

    @property
    def live(self) -> bool:
        """Whether OpenMM's forces may be wanted."""
        return "openmm" in self.offered


def _sources(wanted: str | None, has_kernel: bool) -> _Sources:
    """Sources of a file for which `wanted` was asked."""
    name = wanted or ("learned" if has_kernel else "none")
    check_choice("Guidance source", name, GUIDANCE_SOURCES)
    default = next(known for known in GUIDANCE_SOURCES if known == name)  # typed as one of them
    if default in ("learned", "openmm+residual") and not has_kernel:
        raise ConfigError(f"The guidance source {default} needs a kernel; give its weights with --guidance.")
    offered: tuple[GuidanceName, ...] = ("learned",) if has_kernel else ()
    if default in ("openmm", "openmm+residual"):
        offered += ("openmm", "openmm+residual") if has_kernel else ("openmm",)
    return _Sources(default, offered)


def _metadata(
    extra: dict[str, Any], lag: float, field: ConditionedField, elements: list[int], substeps: int, digest: str,
    guided: dict[str, Any] | None, sources: _Sources,
) -> ModelMetadata:  # fmt: skip
    protocol = extra["protocol"]
    temperature = float(protocol["temperature_K"])
    alpha, target = (0.0, "") if guided is None else (guided["alpha"], guided["environment"])
    return ModelMetadata(
        lag_time_ps=lag, training_temperature_K=temperature,
        temperature_range_K=(temperature - 1, temperature + 1), elements=tuple(elements),
        cutoff_nm=field.cutoff / 10, periodic=False, symmetry="O(3)", conditioned_on_initial=True, needs_bonds=True,
        default_substeps=substeps, environment=protocol["environment"], force_field=protocol["force_field"],
        constraints=protocol.get("constraints", "none"), masses=_masses(protocol),
        friction=protocol["friction_per_ps"], rigid_motion_removed=True, guidance_alpha=alpha,
        guidance=sources.default, guidance_sources=sources.offered,
        forces_required=sources.default in ("openmm", "openmm+residual"),
        default_guidance_scale=0.0 if sources.default == "none" else 1.0, guidance_environment=target,
        scalar_type="float32",
        weights_sha256=digest, training_data=_training_data(protocol, extra["record"]), license="MIT",
    )  # fmt: skip


def _choose_lag(extra: dict[str, Any], wanted: float | None, weights: Path) -> float:
    """The lag time of the model file, ps."""
    offered = [float(lag) for lag in extra.get("lag_times") or [extra["lag_time"]]]
    names = ", ".join(f"{lag:g}" for lag in offered)
    if wanted is None and len(offered) > 1:
        raise ConfigError(
            f"'{weights}' serves the lags {names} ps, and a model file has one; choose it with --lag-time."
        )
    for lag in offered:
        if wanted is None or abs(lag - wanted) < 1e-9 * lag:
            return lag
    raise ConfigError(f"'{weights}' wasn't trained for a lag of {wanted:g} ps; choose one of {names}.")


def _is_of_one_small_molecule(protocol: dict[str, Any]) -> bool:
    """Such a model's file needs no form for large molecules, which is half of its size."""
    return len(protocol.get("molecules", [""])) == 1 and len(protocol["atomic_numbers"]) < PAIRS_FROM


def _masses(protocol: dict[str, Any]) -> str:
    mass = float(protocol["hydrogen_mass_Da"])
    return f"hydrogen {mass:g} Da" + (", taken from its heavy atom" if mass > HYDROGEN else "")


def _training_data(protocol: dict[str, Any], record: dict[str, Any]) -> str:
    """What the metadata say of the data; "formula" in it marks a model of one molecule, of which `simulate` warns."""
    names = protocol.get("molecules", [protocol["name"]])
    parts = [protocol["name"], f"formula {hill_formula(protocol['atomic_numbers'])}"]
    if len(names) > 1:
        parts = [f"{len(names)} molecules ({_domain(names)})"]
    parts += [protocol["environment"], f"{float(protocol['temperature_K']):g} K"]
    if len(names) == 1:
        parts.append(f"{len(record['data'])} walkers")
    if "nanoseconds" in protocol:
        parts.append(f"{protocol['nanoseconds']:.4g} ns")
    return ", ".join(parts)


def _domain(names: Sequence[str]) -> str:
    """Kinds of molecules, told by their names: capped peptides by residues, and others."""
    lengths = sorted(len(name) - len("ACE--NME") for name in names if re.fullmatch(r"ACE-[A-Z]+-NME", name))
    parts = []
    if lengths:
        span = f"{lengths[0]}" if lengths[0] == lengths[-1] else f"{lengths[0]} to {lengths[-1]}"
        peptides = "peptide" if len(lengths) == 1 else "peptides"
        parts.append(f"{len(lengths)} capped {peptides} of {span} residues")
    if len(names) > len(lengths):
        rest = len(names) - len(lengths)
        parts.append(f"{rest} other{'s' if rest > 1 else ''}")
    return "; ".join(parts)
