"""MD from one start point of a hybrid run: needs OpenMM only.

    python run.py 0003 --steps 250000 --every 250

reads system.xml, integrator.xml and topology.pdb beside it and 0003/state.xml; writes 0003/trajectory.xtc and
0003/log.csv. One process for each start point, on as many machines as there are.
"""

import argparse
from pathlib import Path

import openmm
from openmm import app


def main() -> None:
    """Run MD from one start point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seed", help="folder of the start point, such as 0003")
    parser.add_argument("--steps", type=int, default=250000)
    parser.add_argument("--every", type=int, default=250, help="steps between frames")
    parser.add_argument("--platform", help="OpenMM's choice unless told")
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent
    folder = here / arguments.seed
    platform = openmm.Platform.getPlatformByName(arguments.platform) if arguments.platform else None
    simulation = app.Simulation(
        app.PDBFile(str(here / "topology.pdb")).topology,
        str(here / "system.xml"),
        str(here / "integrator.xml"),
        platform,
        state=str(folder / "state.xml"),
    )
    simulation.reporters.append(app.XTCReporter(str(folder / "trajectory.xtc"), arguments.every))
    log = app.StateDataReporter(
        str(folder / "log.csv"), arguments.every, step=True, potentialEnergy=True, temperature=True
    )
    simulation.reporters.append(log)
    simulation.step(arguments.steps)


if __name__ == "__main__":
    main()
