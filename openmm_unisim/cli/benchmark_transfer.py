"""`openmm-unisim benchmark transfer`: free-running jumps of many molecules beside MD of each."""

from pathlib import Path
from typing import Annotated

import typer

from .benchmark import JsonOption, _names, _status
from .run_options import ModelArgument, Sha256, Trust, vouched


def transfer(
    model: ModelArgument,
    references: Annotated[
        list[Path] | None, typer.Option(help="Files of reference MD, or folders of them.")
    ] = None,
    molecules: Annotated[str, typer.Option(help="Names to take of them, e.g. ACE-T-NME,butanol.")] = "",
    environment: Annotated[
        str | None, typer.Option(help="Of the references; the model's unless told.")
    ] = None,
    copies: Annotated[int, typer.Option(help="Chains, started from frames of the reference.")] = 50,
    jumps: Annotated[int, typer.Option(help="Jumps of each chain.")] = 80,
    substeps: Annotated[
        int, typer.Option(help="Network evaluations in a jump; 0 is the model's default.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="At least 1.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 1,
    parameters: Annotated[Path, typer.Option(help="Folder of small molecules' Amber files.")] = Path(
        "data/parameters"
    ),
    work: Annotated[Path, typer.Option(help="Folder of the frames, to go on with.")] = Path("runs/transfer"),
    trust: Trust = False,
    sha256: Sha256 = None,
    json: JsonOption = None,
) -> None:
    """Judge a model on molecules: distances with floors, kinetics, validity, energies, the paper's metrics.

    Nothing is rejected. The JSON is written after each molecule, and the same command goes on.
    """
    from ..benchmark.transfer.table import transfer_tables
    from ..benchmark.transfer.transfer import TransferSettings, benchmark_transfer

    model = vouched(model, trust, sha256)
    settings = TransferSettings(
        model, tuple(references or [Path("benchmarks/references")]), _names(molecules), environment, copies, jumps,
        substeps, seed, threads, parameters, work, json,
    )  # fmt: skip
    with _status() as report:
        record = benchmark_transfer(settings, report)
    print(transfer_tables(record, "summary"))
