"""`openmm-unisim calibrate` and `openmm-unisim export`: from a training run to a model file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("calibrate")(calibrate)
    app.command("export")(export)


def calibrate(
    run: Annotated[Path, typer.Argument(help="Run folder of `train vector-field`.")],
    output: Annotated[Path, typer.Option(help="Weights file to write.")] = Path("weights.safetensors"),
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the fit.")] = 600,
    threads: Annotated[int, typer.Option(min=1, help="torch threads.")] = 1,
    lag_time: Annotated[
        float | None, typer.Option(help="ps; fit for this one of the run's lags instead of all.")
    ] = None,
) -> None:
    """Fit the variance head of a trained field on held-out pairs of all its molecules, and write its weights file."""
    import torch

    from ..errors import CheckpointError, ConfigError
    from ..export.conditioned import save_conditioned
    from ..memory import keep_freed_memory
    from ..model.conditioned import ConditionedField
    from ..training.calibration import calibrate as fit
    from ..training.config import VectorFieldConfig
    from ..training.molecule_set import MoleculeSet
    from ..training.run_state import read_run

    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    tensors, step, record = read_run(run / "run.safetensors")
    if record["config"].get("kind") != "vector-field":
        raise CheckpointError(f"'{run}' is no run of `train vector-field`; give one.")
    config = VectorFieldConfig.model_validate(record["config"])
    lags = config.lags if lag_time is None else (lag_time,)
    if not set(lags) <= set(config.lags):
        raise ConfigError(
            f"'{run}' wasn't trained for {lags[0]:g} ps, but for {', '.join(map(str, config.lags))}."
        )
    field = ConditionedField(config.model)
    field.load_state_dict({k[len("ema.") :]: v for k, v in tensors.items() if k.startswith("ema.")})
    molecules = MoleculeSet.load(config.valid_files or config.train_files[-1:], lags)
    protocol = record["protocol"]
    molecules.require_protocol(protocol)
    spread = fit(
        field.eval(), config.model, molecules, lags, iterations=iterations, atom_budget=config.atom_budget,
        progress=lambda k, v: print(f"{k} iterations: -log-likelihood {v:.4f} per coordinate"),
    )  # fmt: skip
    save_conditioned(output, field, spread, config.model, lags, protocol, record | {"steps_done": step})
    print(f"{output}: weights after {step} steps")


def export(
    weights: Annotated[
        Path, typer.Argument(help="Weights file (safetensors): ours, or a published state dict.")
    ],
    output: Annotated[
        Path, typer.Option(help="Model file to write; one that ends in .pt2 is compiled for the CPU.")
    ] = Path("model.unisim.pt"),
    substeps: Annotated[
        int | None, typer.Option(help="Default substeps of a jump; 20, or 15 of the published form.")
    ] = None,
    grid_power: Annotated[
        float | None, typer.Option(help="Power of the symmetric time grid, 2.5; 0 is the uniform grid.")
    ] = None,
    covariance: Annotated[str | None, typer.Option(help="group-wise (default) or isotropic.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without fused operators: slower, needs torch only.")
    ] = False,
    guidance: Annotated[
        Path | None,
        typer.Option(help="Weights of a guidance kernel that was trained beside these (`train guidance`)."),
    ] = None,
    guidance_source: Annotated[
        str | None,
        typer.Option(
            help="Where guidance comes from unless told otherwise: none, learned, openmm, openmm+residual or resample."
        ),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Published form: strength of the kernel's guidance, 1.")
    ] = None,
    lag_time: Annotated[
        float | None,
        typer.Option(help="ps; which of several that the weights serve. Published form: theirs, 100."),
    ] = None,
) -> None:
    """Write the model file of a weights file, with its metadata and checksum.

    TorchScript, or with --output NAME.unisim.pt2 machine code (AOTInductor; needs g++ and one to three minutes).
    """
    from ..export.conditioned import KIND, export_conditioned
    from ..export.published import export_published
    from ..model.checkpoint import read_header

    conditioned = {"grid-power": grid_power, "covariance": covariance, "guidance-source": guidance_source}
    published = {"alpha": alpha}
    if read_header(weights)[0].get("kind") == KIND:
        _refuse(published, "the conditioned form", weights)
        metadata = export_conditioned(
            weights, output, substeps=20 if substeps is None else substeps,
            grid_power=2.5 if grid_power is None else grid_power, covariance=covariance or "group-wise", plain=plain,
            guidance=guidance,
            lag_time=lag_time, source=guidance_source,
        )  # fmt: skip
    else:
        _refuse(conditioned, "the published form", weights)
        metadata = export_published(
            weights, output, guidance=guidance, substeps=15 if substeps is None else substeps,
            alpha=alpha, lag_time=lag_time, plain=plain,
        )  # fmt: skip
    print(
        f"{output}: lag {metadata.lag_time_ps:g} ps, {metadata.default_substeps} substeps, "
        f"weights {metadata.weights_sha256[:12]}"
        + (f", guided to {metadata.guidance_environment}" if metadata.guidance_environment else "")
        + (f", guidance {metadata.guidance}" if guidance_source else "")
    )
    if metadata.guidance_alpha == 0 and metadata.guidance not in ("none", "learned"):
        print("Its strength is not calibrated yet: `openmm-unisim calibrate-guidance` stores one.")


def _refuse(options: Mapping[str, object], form: str, weights: Path) -> None:
    """An option that the form of the weights doesn't have is an error."""
    from ..errors import ConfigError

    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"'{weights}' holds {form}, which has no --{name}; leave the option out.")
