"""Which jumps of `benchmark transfer` turned a stereocentre over, and how strained are frames by place in a chain?

    openmm-unisim benchmark transfer unified … --work FOLDER
    python benchmarks/turned_jumps.py ACE-YGGFM-NME FOLDER/*/ACE-YGGFM-NME.obc2.npz

A jump counts whose start had another hand than its end. Energies are medians over chains above that of all frames, in
kT at 300 K; they have X-H bonds, which differ from MD's constrained ones by a constant in the mean.
"""

import sys

import numpy as np
import openmm

from openmm_unisim.stereo import find_stereocentres, handedness
from openmm_unisim.system import create_system, load_molecule
from openmm_unisim.units import BOLTZMANN

PLACES = (0, 1, 4, 9, 19, 39)


def main(name: str, path: str) -> None:
    """Print both."""
    molecule = load_molecule(name)
    with np.load(path) as file:
        frames = file["frames"].astype(float)  # (chains, jumps, atoms, 3), nm; each frame is a jump's end
    atoms = list(molecule.topology.atoms())
    for row in find_stereocentres(molecule.topology):
        hands = np.stack([handedness(chain, row[None])[:, 0] for chain in frames])
        native = handedness(molecule.positions[None], row[None])[0, 0]
        wrong = np.concatenate([np.zeros((len(hands), 1), bool), hands != native], axis=1)
        turns = int((np.diff(wrong.astype(int), axis=1) != 0).sum())
        atom = atoms[row[0]]
        print(
            f"{atom.residue.name} {atom.residue.id} {atom.name}: {turns} of {hands.size} jumps turned it over"
        )
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(create_system(molecule, "obc2"), openmm.VerletIntegrator(0.001), platform)

    def energy(positions: np.ndarray) -> float:
        context.setPositions(positions)
        return float(context.getState(energy=True).getPotentialEnergy()._value) / (BOLTZMANN * 300)

    found = np.array([[energy(chain[k]) for k in PLACES] for chain in frames])
    for place, shift in zip(PLACES, np.median(found, axis=0) - np.median(found), strict=True):
        print(f"after {place + 1} jumps: {shift:+.1f} kT")


if __name__ == "__main__":
    main(*sys.argv[1:])
