"""`openmm-unisim parameterise`: a small molecule from SMILES to Amber files."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("parameterise")(parameterise)


def parameterise(
    molecules: Annotated[
        list[str], typer.Argument(help="Names in the small-molecule list, 'all', or SMILES (with --name).")
    ],
    output: Annotated[Path, typer.Option(help="Folder; one sub-folder a molecule.")] = Path(
        "data/parameters"
    ),
    name: Annotated[str, typer.Option(help="File stem of a molecule given as SMILES.")] = "",
) -> None:
    """Make GAFF2 parameters with AM1-BCC charges; files that are there already are checked and kept."""
    from ..data.molecule_list import listed
    from ..data.small_molecule import parameterise as make
    from ..errors import ConfigError

    known = {entry.name: entry.formula for entry in listed(kind="small-molecule")}
    wanted = list(known) if molecules == ["all"] else molecules
    if name and len(wanted) > 1:
        raise ConfigError(f"--name {name} is for one SMILES, not for {len(wanted)} molecules.")
    for molecule in wanted:
        if molecule not in known and not name:
            raise ConfigError(f"'{molecule}' isn't in the list; give --name for a molecule given as SMILES.")
        path = make(name or molecule, known.get(molecule, molecule), output)
        print(f"{path}: {known.get(molecule, molecule)}")
