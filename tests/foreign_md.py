"""Made-up MD of alanine dipeptide as other programs would leave it: thermal noise about one structure."""

from pathlib import Path

import mdtraj
import numpy as np
from openmm import app, unit

from openmm_unisim.system import Molecule, load_molecule

SAID = {
    "temperature_K": 300.0, "environment": "obc2", "force_field": "ff14SB", "friction_per_ps": 1.0,
    "hydrogen_mass_Da": 1.008, "constraints": "h-bonds",
}  # fmt: skip


def write_pdb(path: Path, topology: app.Topology, positions: np.ndarray) -> Path:
    with open(path, "w", encoding="utf-8") as file:
        app.PDBFile.writeFile(topology, positions * unit.nanometer, file, keepIds=True)
    return path


def frames(molecule: Molecule, count: int, seed: int = 0) -> np.ndarray:
    """Positions with noise of 0.002 nm and a slow turn, shape (count, n_atoms, 3), nm."""
    noise = np.random.default_rng(seed).normal(0, 0.002, (count, len(molecule.positions), 3))
    angle = 0.02 * np.arange(count)
    turn = np.zeros((count, 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(angle), np.sin(angle), 1.0
    return (molecule.positions + noise) @ turn


def dipeptide(folder: Path) -> tuple[Molecule, Path]:
    """Alanine dipeptide and its PDB file."""
    molecule = load_molecule("ACE-ALA-NME")
    return molecule, write_pdb(folder / "dipeptide.pdb", molecule.topology, molecule.positions)


def save(
    path: Path, positions: np.ndarray, topology: app.Topology, spacing: float = 2.0, box: float | None = None
) -> Path:
    """Write a trajectory in the container of the path's suffix."""
    cells = {}
    if box is not None:
        cells = {
            "unitcell_lengths": np.full((len(positions), 3), box),
            "unitcell_angles": np.full((len(positions), 3), 90.0),
        }
    mdtraj.Trajectory(
        positions, mdtraj.Topology.from_openmm(topology), time=spacing * np.arange(len(positions)), **cells
    ).save(str(path))
    return path


def solvated(molecule: Molecule, waters: int = 3) -> tuple[app.Topology, np.ndarray]:
    """The molecule with waters and a sodium ion around it, in the middle of the file."""
    topology, positions = app.Topology(), [np.zeros(3)]
    ion = topology.addResidue("NA", topology.addChain("I"))
    topology.addAtom("NA", app.Element.getBySymbol("Na"), ion)
    modeller = app.Modeller(topology, np.array(positions) * unit.nanometer)
    modeller.add(molecule.topology, (molecule.positions + 2.0) * unit.nanometer)
    for k in range(waters):
        water = app.Topology()
        residue = water.addResidue("HOH", water.addChain("W"))
        atoms = [water.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")]
        water.addBond(atoms[0], atoms[1])
        water.addBond(atoms[0], atoms[2])
        places = np.array([[0, 0, 0], [0.096, 0, 0], [-0.024, 0.093, 0]]) + np.array([0.5 * k, 0.0, 0.5])
        modeller.add(water, places * unit.nanometer)
    return modeller.topology, np.array(modeller.positions.value_in_unit(unit.nanometer))
