"""Make the shipped phi/psi reference of alanine dipeptide from its MD trajectory.

    python benchmarks/compact_reference.py ala2_obc2.npz ala2_obc2.pdb \\
        --energies ACE-A-NME.obc2.300K.seed1.h5 --output openmm_unisim/pretrained/reference

Potential energies come from a file of `openmm-unisim generate` (flexible bonds): the reference itself has
constrained ones, so that its energies are not those of a run without constraints.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from openmm_unisim.data import trajectory_file
from openmm_unisim.evaluation.reference import TorsionReference, trajectory_reference, write_compact_reference
from openmm_unisim.evaluation.trajectories import load_topology
from openmm_unisim.provenance import provenance

PROTOCOL = (
    "ff14SB (amber14/protein.ff14SB.xml), native GBSAOBCForce with the parameters of implicit/obc2.xml "
    "(solvent dielectric 78.5, solute 1.0), no cutoff, constrained bonds to hydrogen, hydrogen mass 4 Da, "
    "LangevinMiddle at 300 K, 1/ps, 4 fs, Reference platform, one trajectory of 300 ns, a frame every 10 ps, "
    "first 100 ps dropped"
)


ENERGY_SPACING_PS = 5.0


_KEPT = (
    "environment",
    "temperature_K",
    "friction_per_ps",
    "hydrogen_mass_Da",
    "constraints",
    "force_field",
    "seed",
)


def read_energies(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Potential energies (kJ/mol) of a training file every 5 ps, and the protocol they come from."""
    contents = trajectory_file.read(path)
    stride = max(1, round(ENERGY_SPACING_PS / contents.attributes["frame_spacing_ps"]))
    protocol = {key: contents.attributes[key] for key in _KEPT}
    details = {**protocol, "frame_spacing_ps": ENERGY_SPACING_PS, "file": path.name}
    return contents.potential_energy[::stride], details


def main() -> None:
    """Read the arguments, write the compact file and the topology beside it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trajectory", type=Path, help=".npz with positions in nm and frame_spacing_ps")
    parser.add_argument("topology", type=Path, help="PDB file of the same atoms")
    parser.add_argument("--energies", type=Path, help="HDF5 file of `openmm-unisim generate`, same molecule")
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
    energies = None
    if arguments.energies is not None:
        energies, details["energy"] = read_energies(arguments.energies)
    name = "300 ns MD, ff14SB, OBC2"
    compact = TorsionReference(name, full.torsions, full.frame_spacing_ps, energies, details)
    arguments.output.mkdir(parents=True, exist_ok=True)
    target = arguments.output / arguments.trajectory.name
    write_compact_reference(target, compact)
    shutil.copyfile(arguments.topology, arguments.output / arguments.topology.name)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
