"""The start structure of chignolin: what the tool builds, and what is committed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.stereo import find_stereocentres, handedness
from openmm_unisim.system import load_molecule

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "data/structures/chignolin.pdb"


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location(
        "build_chignolin", ROOT / "tools/build_chignolin.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_shipped_structure_is_a_hairpin_of_l_amino_acids(tool):
    molecule = load_molecule(SHIPPED)
    residues = [residue.name for residue in molecule.topology.residues()]
    assert residues == ["GLY", "TYR", "ASP", "PRO", "GLU", "THR", "GLY", "THR", "TRP", "GLY"]
    assert len(molecule.positions) == 138 and len(molecule.bonds) == 141  # four rings more than a tree
    for pair, distance in tool.ca_distances(molecule, molecule.positions).items():
        assert distance == pytest.approx(tool.NMR_CA_DISTANCES[pair], abs=0.15)
    centres = find_stereocentres(molecule.topology)
    capped = load_molecule("ACE-YDPETTW-NME")  # the same kinds of centre, built by the package
    wanted = handedness(capped.positions[None], find_stereocentres(capped.topology))
    assert len(centres) == wanted.shape[1] == 9
    assert np.array_equal(handedness(molecule.positions[None], centres), wanted)


def test_the_tool_makes_the_shipped_structure(tool):
    built, shipped = tool.build(), load_molecule(SHIPPED)
    assert [atom.name for atom in built.topology.atoms()] == [atom.name for atom in shipped.topology.atoms()]
    for pair, distance in tool.ca_distances(built, built.positions).items():
        assert distance == pytest.approx(tool.ca_distances(shipped, shipped.positions)[pair], abs=0.02)
