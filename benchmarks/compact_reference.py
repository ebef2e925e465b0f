"""Make the shipped phi/psi reference of alanine dipeptide from its MD trajectory.

python benchmarks/compact_reference.py ala2_obc2.npz ala2_obc2.pdb --output
openmm_unisim/pretrained/reference
"""

import argparse
import shutil
from pathlib import Path

from openmm_unisim.evaluation.reference import TorsionReference, trajectory_reference, write_compact_reference
from openmm_unisim.evaluation.trajectories import load_topology
from openmm_unisim.provenance import provenance

PROTOCOL = (
    "ff14SB (amber14/protein.ff14SB.xml), native GBSAOBCForce with the parameters of implicit/obc2.xml "
    "(solvent dielectric 78.5, solute 1.0), no cutoff, constrained bonds to hydrogen, hydrogen mass 4 Da, "
    "LangevinMiddle at 300 K, 1/ps, 4 fs, Reference platform, one trajectory of 300 ns, a frame every 10 ps, "
    "first 100 ps dropped"
)


def main() -> None:
    """Read the arguments, write the compact file and the topology beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trajectory", type=Path, help=".npz with positions in nm and frame_spacing_ps")
    parser.add_argument("topology", type=Path, help="PDB file of the same atoms")
    parser.add_argument("--output", type=Path, required=True, help="folder for the .npz and .pdb")
    arguments = parser.parse_args()
    topology, _ = load_topology(arguments.topology)
    full = trajectory_reference(arguments.trajectory, topology)
    details = {
        "protocol": PROTOCOL,
        "temperature_K": 300.0,
        "environment": "obc2",
        "hydrogen_mass_Da": 4.0,
        "friction_per_ps": 1.0,
        "frames": full.details["frames"],
        "source_sha256": full.details["sha256"],
        "provenance": provenance(),
    }
    compact = TorsionReference("300 ns MD, ff14SB, OBC2", full.torsions, full.frame_spacing_ps, details)
    arguments.output.mkdir(parents=True, exist_ok=True)
    target = arguments.output / arguments.trajectory.name
    write_compact_reference(target, compact)
    shutil.copyfile(arguments.topology, arguments.output / arguments.topology.name)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
