"""Build the start structure of chignolin (GYDPETGTWG, free termini, pH 7) from the torsions of its NMR structure.

python tools/build_chignolin.py data/structures/chignolin.pdb

Torsions are those of model 1 of PDB entry 1UAO (Honda et al., Structure 12 (2004) 1507; the data are public domain), in
whole degrees; bond lengths and angles are PeptideBuilder's, hydrogens OpenMM's. The result is minimised in ff14SB
with OBC2, so that clashes of ideal geometry are gone. The tool prints how far it is from the NMR structure.
"""

import sys
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit
from PeptideBuilder import Geometry, PeptideBuilder

from openmm_unisim.system import FORCE_FIELD, Molecule, create_system, get_platform, repeatable_placement

# residue, phi, psi, then chi by PeptideBuilder's names; every peptide bond of 1UAO is trans within a degree
RESIDUES: list[tuple[str, float, float, dict[str, float]]] = [
    ("G", 180, -177, {}),
    ("Y", -85, 98, {"N_CA_CB_CG": -180, "CA_CB_CG_CD1": 87, "CA_CB_CG_CD2": -93}),
    ("D", -72, 115, {"N_CA_CB_CG": -175, "CA_CB_CG_OD1": 57, "CA_CB_CG_OD2": -123}),
    ("P", -76, -13, {"N_CA_CB_CG": 22}),
    ("E", -60, -39, {"N_CA_CB_CG": -156, "CA_CB_CG_CD": -107, "CB_CG_CD_OE1": 28, "CB_CG_CD_OE2": -152}),
    ("T", -107, -22, {"N_CA_CB_OG1": 75, "N_CA_CB_CG2": -45}),
    ("G", 91, 34, {}),
    ("T", -161, 165, {"N_CA_CB_OG1": 16, "N_CA_CB_CG2": -104}),
    ("W", -69, 107, {"N_CA_CB_CG": -36, "CA_CB_CG_CD1": 95, "CA_CB_CG_CD2": -85}),
    ("G", -49, 180, {}),
]
# Distances between C-alpha atoms of the entry, nm: what the built chain is compared with
NMR_CA_DISTANCES = {(1, 10): 0.661, (2, 9): 0.409, (3, 8): 0.575, (4, 7): 0.435}


def build() -> Molecule:
    """The peptide, minimised."""
    geometries = []
    psi_before = 180.0
    for letter, phi, psi, chi in RESIDUES:
        geometry = Geometry.geometry(letter)
        geometry.phi, geometry.psi_im1, geometry.omega = phi, psi_before, 180.0
        for name, value in chi.items():
            setattr(geometry, f"{name}_diangle", value)
        geometries.append(geometry)
        psi_before = psi
    structure = PeptideBuilder.make_structure_from_geos(geometries)
    PeptideBuilder.add_terminal_OXT(structure)
    topology, positions = _topology(structure)
    modeller = app.Modeller(topology, positions * unit.nanometer)
    with repeatable_placement():
        modeller.addHydrogens(app.ForceField(FORCE_FIELD), pH=7.0, platform=get_platform("Reference"))
    molecule = Molecule(
        "chignolin", modeller.topology, np.array(modeller.positions.value_in_unit(unit.nanometer))
    )
    molecule.positions = _minimised(molecule)
    return molecule


def _topology(structure) -> tuple[app.Topology, np.ndarray]:
    """Heavy atoms of a PeptideBuilder structure; positions, shape (n_atoms, 3), nm."""
    topology = app.Topology()
    chain = topology.addChain("A")
    positions = []
    for residue in structure.get_residues():
        new = topology.addResidue(residue.get_resname(), chain)
        for atom in residue:
            topology.addAtom(atom.get_name(), app.Element.getBySymbol(atom.element), new)
            positions.append(np.asarray(atom.get_coord(), dtype=float) * 0.1)
    topology.createStandardBonds()
    return topology, np.array(positions)


def _minimised(molecule: Molecule) -> np.ndarray:
    """Positions after a minimisation to 1 kJ/(mol nm), shape (n_atoms, 3), nm."""
    integrator = openmm.VerletIntegrator(0.001)
    context = openmm.Context(create_system(molecule, "obc2"), integrator, get_platform("Reference"))
    context.setPositions(molecule.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 1.0)
    found = context.getState(positions=True).getPositions(asNumpy=True)
    return np.array(found.value_in_unit(unit.nanometer))


def ca_distances(molecule: Molecule, positions: np.ndarray) -> dict[tuple[int, int], float]:
    """Distances between the residues' C-alpha atoms of `NMR_CA_DISTANCES`, nm."""
    ca = [atom.index for atom in molecule.topology.atoms() if atom.name == "CA"]
    return {
        (i, j): float(np.linalg.norm(positions[ca[i - 1]] - positions[ca[j - 1]]))
        for i, j in NMR_CA_DISTANCES
    }


def main(output: str) -> None:
    """Write the structure."""
    molecule = build()
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, file, keepIds=True)
    for pair, distance in ca_distances(molecule, molecule.positions).items():
        print(f"CA {pair[0]}-{pair[1]}: {distance:.3f} nm, NMR {NMR_CA_DISTANCES[pair]:.3f} nm")
    print(f"{path}: {len(molecule.positions)} atoms")


if __name__ == "__main__":
    main(sys.argv[1])
