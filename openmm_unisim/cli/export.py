"""`openmm-unisim calibrate` and `openmm-unisim export`: from a training run to a model file."""

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
    iterations: Annotated[int, typer.Option(help="Steps of the fit.")] = 600,
    threads: Annotated[int, typer.Option(help="torch threads.")] = 1,
) -> None:
    """Fit the variance head of a trained field on held-out pairs and write its weights file."""
    import torch

    from ..data.pairs import PairSource
    from ..export.conditioned import save_conditioned
    from ..memory import keep_freed_memory
    from ..model.conditioned import ConditionedConfig, ConditionedField
    from ..training.calibration import calibrate as fit
    from ..training.run_state import read_run

    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    tensors, step, record = read_run(run / "run.safetensors")
    config = ConditionedConfig(**record["config"]["model"])
    field = ConditionedField(config)
    field.load_state_dict({k[len("ema.") :]: v for k, v in tensors.items() if k.startswith("ema.")})
    source = PairSource.load(record["config"]["valid_files"] or record["config"]["train_files"][-1:])
    lag = record["config"]["lag_time"]
    spread = fit(
        field.eval(), config, source, lag, iterations=iterations,
        progress=lambda k, v: print(f"{k} iterations: -log-likelihood {v:.4f} per coordinate"),
    )  # fmt: skip
    protocol = record["protocol"]
    save_conditioned(output, field, spread, config, lag, protocol, record | {"steps_done": step})
    print(f"{output}: weights after {step} steps")


def export(
    weights: Annotated[Path, typer.Argument(help="Weights file (safetensors).")],
    output: Annotated[
        Path, typer.Option(help="Model file to write; one that ends in .pt2 is compiled for the CPU.")
    ] = Path("model.unisim.pt"),
    substeps: Annotated[int, typer.Option(help="Default substeps of a jump.")] = 20,
    grid_power: Annotated[
        float, typer.Option(help="Power of the symmetric time grid; 0 is the uniform grid.")
    ] = 2.5,
    covariance: Annotated[str, typer.Option(help="group-wise or isotropic.")] = "group-wise",
    plain: Annotated[
        bool, typer.Option("--plain", help="Without fused operators: slower, needs torch only.")
    ] = False,
) -> None:
    """Write the model file of a weights file, with its metadata and checksum.

    TorchScript, or with --output NAME.unisim.pt2 machine code (AOTInductor; needs g++ and one to three minutes).
    """
    from ..export.conditioned import export_conditioned

    metadata = export_conditioned(
        weights, output, substeps=substeps, grid_power=grid_power, covariance=covariance, plain=plain
    )
    print(
        f"{output}: lag {metadata.lag_time_ps:g} ps, {metadata.default_substeps} substeps, "
        f"weights {metadata.weights_sha256[:12]}"
    )
