"""How often does `evaluate` call MD itself "beyond its floor", and does it notice a small disturbance?

    python benchmarks/verdict_calibration.py ala2_obc2.npz ala2_obc2.pdb

The last third of a long MD trajectory, cut into stretches, stands for models of the other two thirds; then the same
stretches with Gaussian noise on each atom. The limit is floor + 2 std or |z| of 2: a few in a
hundred figures of MD lie beyond.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from openmm_unisim.evaluation.comparison import compare
from openmm_unisim.evaluation.evaluate import evaluate
from openmm_unisim.evaluation.page.metric_text import summarise_section
from openmm_unisim.evaluation.trajectories import LoadedTrajectory, load_topology, load_trajectory
from openmm_unisim.provenance import provenance, sha256_of_file

RESULT = Path(__file__).resolve().parent / "results" / "verdict_calibration.json"


def main() -> None:
    """Read the arguments, evaluate every stretch with and without noise, write the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trajectory", type=Path, help="long MD")
    parser.add_argument("topology", type=Path, help="PDB file of its atoms")
    parser.add_argument("--stretches", type=int, default=5)
    parser.add_argument(
        "--noise", type=float, default=0.005, help="nm, standard deviation on each coordinate"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the noise")
    parser.add_argument("--json", type=Path, default=RESULT)
    arguments = parser.parse_args()
    topology, structure = load_topology(arguments.topology)
    md = load_trajectory(arguments.trajectory, topology)
    generator = np.random.default_rng(arguments.seed)
    two_thirds = 2 * md.n_frames // 3
    judge = LoadedTrajectory(md.positions[:two_thirds], topology, md.frame_spacing_ps)
    counts: dict[str, Counter[str]] = {}
    for stretch in np.array_split(md.positions[two_thirds:], arguments.stretches):
        noise = generator.normal(0.0, arguments.noise, stretch.shape).astype(np.float32)
        for name, frames in (("md", stretch), ("noisy", stretch + noise)):
            judged = LoadedTrajectory(frames, topology, md.frame_spacing_ps)
            for section in evaluate(compare(judge, judged, topology, structure))["sections"]:
                summary = summarise_section(section)
                row = counts.setdefault(section["title"], Counter())
                row[f"{name} within"] += summary.within
                row[f"{name} graded"] += summary.graded
    rows = [
        [title, *(f"{row[f'{name} within']} of {row[f'{name} graded']}" for name in ("md", "noisy"))]
        for title, row in counts.items()
        if row["md graded"]
    ]
    total = sum(counts.values(), Counter())
    rows.append(
        ["all", *(f"{total[f'{name} within']} of {total[f'{name} graded']}" for name in ("md", "noisy"))]
    )
    record = {
        "columns": ["within MD's noise", "held-out MD", f"with {arguments.noise:g} nm of noise"],
        "rows": rows,
        "provenance": provenance(
            seed=arguments.seed,
            stretches=arguments.stretches,
            trajectory_sha256=sha256_of_file(arguments.trajectory),
        ),
    }
    arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n".join(" | ".join(row) for row in [record["columns"], *rows]))


if __name__ == "__main__":
    main()
