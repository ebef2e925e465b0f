r"""A long run of jumps beside MD as one picture: free-energy surfaces, and whether populations and distances drift.

    python benchmarks/plot_long_run.py runs/ala2_1us/trajectory.xtc --spacing 20 \
        --keep benchmarks/results/ala2_long.torsions.npz --png docs/figures/ala2_long.png
    python benchmarks/plot_long_run.py benchmarks/results/ala2_long.torsions.npz --png again.png

The torsions are kept (hundredths of a degree) so that the picture and every torsion figure can be made again without
the run. Needs matplotlib: pip install -r benchmarks/requirements.txt
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from openmm_unisim.evaluation.estimators.distributions import js_distance, torsion_histogram_2d
from openmm_unisim.evaluation.estimators.features import ResidueTorsions, backbone_torsions
from openmm_unisim.evaluation.estimators.kinetics import assign_basin
from openmm_unisim.evaluation.reference import (
    REFERENCE_FOLDER,
    TorsionReference,
    read_compact_reference,
    shipped_reference,
    write_compact_reference,
)
from openmm_unisim.evaluation.trajectories import load_topology, load_trajectory
from openmm_unisim.evaluation.uncertainty import Resampling
from openmm_unisim.provenance import sha256_of_file

WINDOWS = 20
DEEPEST = 8.0  # kT, top of the colour scale


def read_torsions(path: Path, topology: Path, spacing_ps: float) -> TorsionReference:
    """phi and psi of a run: of its trajectory, or as kept."""
    if path.suffix == ".npz":
        return read_compact_reference(path)
    atoms, _ = load_topology(topology)
    torsions = backbone_torsions(load_trajectory(path, atoms).positions, atoms)
    details = {"trajectory_sha256": sha256_of_file(path)}
    return TorsionReference(path.parent.name, torsions, spacing_ps, details=details)


def surface(torsions: ResidueTorsions) -> np.ndarray:
    """-ln(p/p_max) over 30 x 30 bins of (phi, psi), kT; NaN where no frame is."""
    share = torsion_histogram_2d(torsions.phi, torsions.psi)
    with np.errstate(divide="ignore"):
        energy = -np.log(share / share.max())
    return np.where(np.isfinite(energy), energy, np.nan)


def window_figures(phi: np.ndarray, psi: np.ndarray, judge: np.ndarray) -> tuple[float, float]:
    """Population of alpha and JS distance of one window."""
    return float(np.mean(assign_basin(psi) == 0)), js_distance(torsion_histogram_2d(phi, psi), judge)


def draw(run: TorsionReference, md: TorsionReference, png: Path) -> None:
    """Four panels."""
    from matplotlib import pyplot

    ours, theirs = run.torsions[0], md.torsions[0]
    judge = torsion_histogram_2d(theirs.phi, theirs.psi)
    length = len(ours.phi) // WINDOWS
    stride = round((run.frame_spacing_ps or 1.0) / (md.frame_spacing_ps or 1.0))
    windows = [slice(k * length, (k + 1) * length) for k in range(WINDOWS)]
    model = np.array([window_figures(ours.phi[part], ours.psi[part], judge) for part in windows])
    resampling = Resampling(block_frames=50, stride=stride)
    generator = resampling.generator()
    drawn = [resampling.sample_indices(len(theirs.phi), length, generator) for _ in range(200)]
    floor = np.array([window_figures(theirs.phi[index], theirs.psi[index], judge) for index in drawn])
    figure, panels = pyplot.subplots(2, 2, figsize=(9.0, 7.0), constrained_layout=True)
    spacing_ns = (run.frame_spacing_ps or 1.0) / 1000.0
    _surfaces(figure, panels[0], {f"{run.name}: {len(ours.phi) * spacing_ns:g} ns": ours, md.name: theirs})
    times = (np.arange(WINDOWS) + 0.5) * length * spacing_ns
    for panel, column, label in zip(panels[1], (0, 1), ("population of alpha", "JS distance of (φ, ψ)")):
        mean, spread = floor[:, column].mean(), floor[:, column].std(ddof=1)
        panel.axhspan(
            mean - 2 * spread, mean + 2 * spread, color="0.85", label="MD of as many frames, ± 2 std"
        )
        panel.plot(times, model[:, column], "o-", color="tab:orange", label="jumps")
        panel.set(xlabel="model time, ns", ylabel=f"{label}, windows of {length * spacing_ns:g} ns")
        panel.legend(loc="lower left", fontsize="small")
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=110)


def _surfaces(figure: Any, panels: Any, runs: dict[str, ResidueTorsions]) -> None:
    for panel, (title, torsions) in zip(panels, runs.items()):
        image = panel.imshow(
            surface(torsions).T,
            origin="lower",
            extent=(-180, 180, -180, 180),
            vmin=0,
            vmax=DEEPEST,
            cmap="viridis",
        )
        panel.set(title=title, xlabel="φ, degrees", ylabel="ψ, degrees")
    figure.colorbar(image, ax=list(panels), label="-ln(p/p_max), kT")


def main() -> None:
    """Read the arguments, keep the torsions, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="trajectory, or torsions as kept")
    parser.add_argument("--topology", type=Path, default=REFERENCE_FOLDER / "ala2_obc2.pdb")
    parser.add_argument("--spacing", type=float, default=20.0, help="ps between frames (default 20)")
    parser.add_argument("--keep", type=Path, help="write the torsions there")
    parser.add_argument("--png", type=Path, required=True)
    arguments = parser.parse_args()
    run = read_torsions(arguments.run, arguments.topology, arguments.spacing)
    md = shipped_reference("ACE-ALA-NME", "obc2")
    assert md is not None
    if arguments.keep is not None:
        write_compact_reference(arguments.keep, run)
    draw(run, md, arguments.png)


if __name__ == "__main__":
    main()
