"""Make the MD that judges transfer: `valid` and `test` molecules, several walkers each from scrambled starts.

    python tools/in_turn.py python benchmarks/make_references.py --output raw/reference     # docs/performance.md
    python benchmarks/make_references.py --output raw/reference --only ACE-T-NME butanol     # some of them

Resumable: a killed run is continued by the same command, and finished walkers are passed over. The order is that of
`RUNS`. Peptides: the protocol of shared/reference (constrained bonds to hydrogen, hydrogen mass 4 Da, 4 fs, 300 K,
1/ps, OBC2, frames every 10 ps). Small molecules: flexible bonds and 2 fs, as their training data, so that whole
energies compare; OBC2 and vacuum.

    python benchmarks/make_references.py --output raw/reference --archive benchmarks/references

keeps the positions of all walkers that are complete, at 0.001 nm and every 10 ps (20 ps from 50 atoms on), in the
archive's format, with checks of every walker in `manifest.json`: all that `benchmark transfer` reads.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmm_unisim.data import archive
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.data.manifest import Manifest, describe
from openmm_unisim.data.molecule_list import find_entry
from openmm_unisim.data.molecule_source import load_entry
from openmm_unisim.data.trajectory_file import read_progress

FRAME_SPACING_PS = 10.0
BLOCK = 100  # frames between saves: a minute or ten of MD
LARGE = 50  # atoms; archived every second frame
FIRST_SEED = 101  # none that training data use
SCRAMBLE_PS = 100.0  # at 600 K: walkers start in basins of their own
PROTOCOLS = {
    "peptide": {"constraints": "h-bonds", "time_step": 0.004},
    "small-molecule": {"constraints": "none", "time_step": 0.002},
}


@dataclass(frozen=True)
class ReferenceRun:
    """MD of one molecule in one environment.

    Attributes
    ----------
    molecule, environment : str
    walkers : int
        With seeds `FIRST_SEED` and up.
    nanoseconds : float
        Of each walker.
    """

    molecule: str
    environment: str
    walkers: int
    nanoseconds: float

    @property
    def protocol(self) -> dict[str, Any]:
        """Constraints and time step."""
        return PROTOCOLS[find_entry(self.molecule).kind]

    def files(self, folder: Path) -> list[Path]:
        """Files of the walkers, named as `openmm-unisim generate` names them."""
        mark = "" if self.protocol["constraints"] == "none" else f".{self.protocol['constraints']}"
        stem = f"{self.molecule}.{self.environment}.300K{mark}"
        return [folder / f"{stem}.seed{FIRST_SEED + k}.h5" for k in range(self.walkers)]


def _small(names: tuple[str, ...]) -> list[ReferenceRun]:
    return [ReferenceRun(name, environment, 2, 10.0) for name in names for environment in ("obc2", "vacuum")]


RUNS = [
    *(ReferenceRun(name, "obc2", 5, 10.0) for name in ("ACE-T-NME", "ACE-AS-NME", "ACE-GD-NME")),
    *_small(("butanol", "ethylbenzene", "salicylic_acid", "aspirin", "paracetamol", "naphthalene")),
    *(ReferenceRun(name, "obc2", 5, 10.0) for name in ("ACE-FK-NME", "ACE-YGGFM-NME", "ACE-AEKLVS-NME")),
]


def make(run: ReferenceRun, folder: Path, parameters: Path, platform: str) -> None:
    """Run, or go on with, all walkers of a molecule."""
    molecule = load_entry(find_entry(run.molecule), parameters)
    for number, path in enumerate(run.files(folder)):
        config = GenerateConfig(
            run.molecule, run.environment, run.nanoseconds, FIRST_SEED + number, frame_spacing=FRAME_SPACING_PS,
            scramble_time=SCRAMBLE_PS, block=BLOCK, platform=platform, **run.protocol,
        )  # fmt: skip
        generate(config, path, molecule=molecule)
        print(f"{path}: {config.n_frames} frames", flush=True)


def keep(run: ReferenceRun, folder: Path, target: Path, parameters: Path) -> None:
    """Archive the walkers of a molecule if all are complete; every walker's checks go into the manifest."""
    files = [path for path in run.files(folder) if path.is_file()]
    frames = round(run.nanoseconds * 1000 / FRAME_SPACING_PS)
    if len(files) < run.walkers or any(read_progress(path)[0] < frames for path in files):
        print(f"{run.molecule}, {run.environment}: not complete yet, left out")
        return
    molecule = load_entry(find_entry(run.molecule), parameters)
    kept = target / f"{run.molecule}.{run.environment}.h5"
    spacing = FRAME_SPACING_PS * (1 if len(molecule.positions) < LARGE else 2)
    size = archive.write(files, kept, spacing)
    book = Manifest(target / "manifest.json")
    checks = {path.name: describe(path, molecule.positions)["checks"] for path in files}
    book.record(kept, {**describe(kept), "walkers": checks})
    failed = {name: found["failed"] for name, found in checks.items() if not found["passed"]}
    print(f"{kept}: {size / 1e6:.2f} MB, every {spacing:g} ps; failed checks: {failed or 'none'}")


def main() -> None:
    """Read the arguments; make the references in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("raw/reference"), help="folder of the HDF5 files")
    parser.add_argument("--parameters", type=Path, default=Path("data/parameters"), help="of small molecules")
    parser.add_argument("--only", nargs="*", default=None, help="molecules; default all")
    parser.add_argument("--environment", default=None, help="make or archive only this one's; default all")
    parser.add_argument("--platform", default="auto", help="OpenMM's; one for all of a walker's MD")
    parser.add_argument("--archive", type=Path, help="make no MD, but keep there what is complete")
    arguments = parser.parse_args()
    for run in RUNS:
        if arguments.only is not None and run.molecule not in arguments.only:
            continue
        if arguments.environment not in (None, run.environment):
            continue
        if arguments.archive is None:
            make(run, arguments.output, arguments.parameters, arguments.platform)
        else:
            keep(run, arguments.output, arguments.archive, arguments.parameters)


if __name__ == "__main__":
    main()
