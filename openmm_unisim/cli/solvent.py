"""`openmm-unisim solvent`: jumps of a peptide in a periodic box of water."""

from typing import Annotated

import typer

from .run_options import Model, Output, Resume, Seed, Sha256, Substeps, Temperature, Trust, vouched


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("solvent")(solvent)


def solvent(
    input: Annotated[
        str, typer.Argument(help="PDB or mmCIF file, or a capped sequence such as ACE-ALA-NME (ff14SB).")
    ],
    model: Model,
    output: Output,
    cycles: Annotated[int, typer.Option(help="Cycles of MD and moves, in all.")] = 100,
    edge: Annotated[float, typer.Option(help="Edge of the cubic box, nm.")] = 2.6,
    md_steps: Annotated[int, typer.Option(help="MD steps of 2 fs in a cycle.")] = 250,
    moves: Annotated[int, typer.Option(help="Moves in a cycle.")] = 1,
    protocol: Annotated[
        str, typer.Option(help="How the solute is switched: straight, path, discharge or decouple.")
    ] = "straight",
    switching: Annotated[float, typer.Option(help="Duration of a switch, ps; 0 moves at once.")] = 0.5,
    screen: Annotated[
        str, typer.Option(help="First test of a jump, on the solute alone: obc2, vacuum or none.")
    ] = "obc2",
    explore: Annotated[
        bool, typer.Option("--explore", help="Take every jump that leaves the solute whole: NOT exact.")
    ] = False,
    pressure: Annotated[float, typer.Option(help="bar, during MD; 0 is constant volume.")] = 1.0,
    temperature: Temperature = None,
    substeps: Substeps = 0,
    seed: Seed = 1,
    equilibration: Annotated[float, typer.Option(help="ps of MD before the first cycle.")] = 10.0,
    platform: Annotated[str, typer.Option(help="OpenMM platform.")] = "CPU",
    frame_interval: Annotated[int, typer.Option(help="MD steps between frames.")] = 250,
    checkpoint_interval: Annotated[int, typer.Option(help="Cycles between checkpoints.")] = 10,
    resume: Resume = False,
    trust: Trust = False,
    sha256: Sha256 = None,
) -> None:
    """MD in explicit water with jumps of the solute in between (nonequilibrium switching; docs/solvent.md).

    Moves are exact for the solvated System's own force field, whatever the model was trained in: a poor jump is
    rejected. With --explore they are not. A killed run continues with --resume.
    """
    from ..solvent.protocol import SwitchingProtocol
    from ..solvent.run import SolventSettings, run_solvent

    model = vouched(model, trust, sha256)
    settings = SolventSettings(
        input, model, output, cycles, edge, md_steps, moves, SwitchingProtocol(protocol, switching), screen, explore,
        pressure or None, temperature, substeps, seed, equilibration, platform, frame_interval, checkpoint_interval,
    )  # fmt: skip
    record = run_solvent(settings, resume=resume)
    counts = record["counts"]
    kind = "exact" if record["exact"] else "NOT exact"
    print(
        f"{record['cycles']} cycles with {record['waters']} waters in {output}; {counts['accepted']} of "
        f"{counts['proposed']} moves accepted ({kind}), {counts['switched']} switched, {counts['nan']} not finite"
    )
