r"""Is an exact run exact? Flexible alanine dipeptide in OBC2: a run of `sample` against flexible MD and against 300 ns.

    openmm-unisim hybrid sample ACE-ALA-NME --model ala2 --output runs/sample_ala2 --cycles 30000 --seed 11
    openmm-unisim hybrid benchmarks/flexible_md.yaml ACE-ALA-NME --model ala2 --output runs/flexible_md --seed 12
    python benchmarks/exact_run.py runs/sample_ala2 --md runs/flexible_md --json benchmarks/results/exact_run.json

Both runs may be going on, and be lengthened by `--resume`. Kolmogorov-Smirnov tests, corrected for correlations
(`estimators/kolmogorov.py`): bonds and potential energies against flexible MD (1 fs), phi and psi also against
the shipped 300 ns of MD (4 fs, constrained bonds to hydrogen). Lengths are of frames rounded to 0.001 nm in both runs.
Effective samples are those of the indicator of alpha, with processor time as run.json has it.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from hybrid_ala2 import CORES, crossings, mean_of, z_score
from numpy.typing import NDArray

from openmm_unisim.evaluation.estimators.features import backbone_torsions
from openmm_unisim.evaluation.estimators.kolmogorov import kolmogorov_test
from openmm_unisim.evaluation.estimators.validity import bond_pairs
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.evaluation.reference import shipped_reference
from openmm_unisim.provenance import provenance

BURN = 0.05  # share of a run that isn't counted
Series = dict[str, NDArray[np.float64]]


def series_of(folder: Path) -> Series:
    """phi, psi (degrees), lengths of bonds (nm) and energy (kJ/mol) after each cycle, the beginning left out."""
    run = mdtraj.load(str(folder / "trajectory.xtc"), top=str(folder / "topology.pdb"))
    with open(folder / "cycles.csv", encoding="utf-8", newline="") as stream:
        energy = np.array([float(row["potential_energy_kj_mol"]) for row in csv.DictReader(stream)])
    count = min(len(run), len(energy))  # a run that is going on may have a frame more
    angles = backbone_torsions(run.xyz[:count], run.topology)[0]
    pairs = bond_pairs(run.topology)
    lengths = np.linalg.norm(run.xyz[:count, pairs[:, 0]] - run.xyz[:count, pairs[:, 1]], axis=-1)
    found: Series = {"phi": np.asarray(angles.phi), "psi": np.asarray(angles.psi), "energy": energy[:count]}
    atoms = list(run.topology.atoms)
    for (first, second), values in zip(pairs, lengths.T):
        found[f"bond {atoms[first].name}{first}-{atoms[second].name}{second}"] = values.astype(float)
    begin = round(BURN * count)
    return {name: values[begin:] for name, values in found.items()}


def alpha_of(psi: NDArray[np.float64]) -> dict[str, float]:
    """Population of alpha, as `hybrid_ala2.py` defines it."""
    return mean_of([((psi >= -120) & (psi < 50)).astype(float)])


def cost_of(folder: Path, series: Series) -> dict[str, Any]:
    """How much was sampled in how much processor time."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))["cycles"]
    seconds = record["cpu_s"] * (1.0 - BURN) * len(series["psi"]) / max(1.0, (1.0 - BURN) * record["done"])
    passages = {name: crossings(series[name], cores) for name, cores in CORES.items()}
    alpha = alpha_of(series["psi"])
    return {
        "cycles": len(series["psi"]),
        "cpu_s": seconds,
        "alpha": alpha,
        "energy": mean_of([series["energy"]]),
        "alpha_effective_per_cpu_s": alpha["effective"] / seconds,
        "crossings": passages,
        "crossings_per_cpu_s": {name: number / seconds for name, number in passages.items()},
        "crossings_per_cpu_s_error": {
            name: np.sqrt(max(1, number)) / seconds for name, number in passages.items()
        },
        "acceptance": record.get("acceptance"),
        "ghmc_acceptance": record["ghmc_acceptance"],
    }


def tests(run: Series, other: Series) -> dict[str, dict[str, Any]]:
    """Kolmogorov-Smirnov tests of what both have."""
    return {name: vars(kolmogorov_test(run[name], other[name])) for name in run if name in other}


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The smallest p of all, and Bonferroni's: times their number."""
    name = min(found, key=lambda key: found[key]["p_value"])
    smallest = found[name]["p_value"]
    return {
        "smallest": smallest,
        "of": name,
        "tests": len(found),
        "corrected": min(1.0, smallest * len(found)),
    }


def main() -> None:
    """Read both runs and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of `openmm-unisim hybrid sample`")
    parser.add_argument(
        "--md", type=Path, required=True, help="folder of `openmm-unisim hybrid flexible_md.yaml`"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    run, md = series_of(arguments.run), series_of(arguments.md)
    torsions = shipped_reference("ACE-ALA-NME", "obc2").torsions[0]
    long = {"phi": np.asarray(torsions.phi, dtype=float), "psi": np.asarray(torsions.psi, dtype=float)}
    flexible = tests(run, md)
    costs = {"sample": cost_of(arguments.run, run), "md": cost_of(arguments.md, md)}
    result = {
        "runs": costs,
        "tests_against_flexible_md": flexible,
        "tests_against_300_ns": tests(run, long),
        "summary": summary(flexible),
        "reference_alpha": alpha_of(long["psi"]),
        "standard_errors_apart": {
            "energy, to flexible MD": z_score(costs["sample"]["energy"], costs["md"]["energy"]),
            "alpha, to 300 ns of MD": z_score(costs["sample"]["alpha"], alpha_of(long["psi"])),
        },
        "provenance": provenance(),
    }
    for name, test in flexible.items():
        print(f"{name:18s} D {test['distance']:.3f}  effective {test['effective'][0]:.0f}, "
              f"{test['effective'][1]:.0f}  p {test['p_value']:.3f}")  # fmt: skip
    for name in ("phi", "psi"):
        print(f"{name} against 300 ns: p {result['tests_against_300_ns'][name]['p_value']:.3f}")
    print(result["summary"], result["standard_errors_apart"])
    if arguments.json:
        arguments.json.write_text(json.dumps(jsonable(result), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
