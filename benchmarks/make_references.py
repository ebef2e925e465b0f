"""Make the MD that judges transfer: `valid` and `test` molecules, several walkers each from scrambled starts.

    python benchmarks/make_references.py --output raw/reference
    python benchmarks/make_references.py --output raw/reference --only ACE-T-NME butanol     # some of them

Resumable: a killed run is continued by the same command, and finished walkers are passed over. The order is that of
`RUNS`. Peptides: the protocol of shared/reference (constrained bonds to hydrogen, hydrogen mass 4 Da, 4 fs, 300 K,
1/ps, OBC2, frames every 10 ps). Small molecules: flexible bonds and 2 fs, as their training data, so that whole
energies compare; OBC2 and vacuum. `benchmarks/compact_reference.py` keeps of it what the scores need.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.data.molecule_list import find_entry
from openmm_unisim.data.molecule_source import load_entry

FRAME_SPACING_PS = 10.0
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


def make(run: ReferenceRun, folder: Path, parameters: Path) -> None:
    """Run, or go on with, all walkers of a molecule."""
    molecule = load_entry(find_entry(run.molecule), parameters)
    for number, path in enumerate(run.files(folder)):
        config = GenerateConfig(
            run.molecule, run.environment, run.nanoseconds, FIRST_SEED + number, frame_spacing=FRAME_SPACING_PS,
            scramble_time=SCRAMBLE_PS, **run.protocol,
        )  # fmt: skip
        generate(config, path, molecule=molecule)
        print(f"{path}: {config.n_frames} frames", flush=True)


def main() -> None:
    """Read the arguments; make the references in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("raw/reference"), help="folder of the HDF5 files")
    parser.add_argument("--parameters", type=Path, default=Path("data/parameters"), help="of small molecules")
    parser.add_argument("--only", nargs="*", default=None, help="molecules; default all")
    arguments = parser.parse_args()
    for run in RUNS:
        if arguments.only is None or run.molecule in arguments.only:
            make(run, arguments.output, arguments.parameters)


if __name__ == "__main__":
    main()
