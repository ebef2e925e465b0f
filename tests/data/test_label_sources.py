"""Label sources: forces against numerical derivatives, units against each other's and hand-computed values."""

from pathlib import Path

import numpy as np
import pytest

from openmm_unisim.data.bond_orders import with_bond_orders
from openmm_unisim.data.labels.registry import create_source, sources_for
from openmm_unisim.data.labels.xtb_source import net_charge
from openmm_unisim.data.molecule_list import find_entry
from openmm_unisim.data.molecule_source import load_entry
from openmm_unisim.errors import DataError
from openmm_unisim.system import Molecule, build_capped_peptide

PARAMETERS = Path(__file__).parents[2] / "data" / "parameters"
NEEDS = {"mmff94": "rdkit", "gfn2-xtb": "tblite"}
pytest.importorskip("rdkit", reason="RDKit (extra 'data') isn't installed")


def molecule_of(name: str) -> Molecule:
    return load_entry(find_entry(name), PARAMETERS)


def source_of(name: str, molecule: Molecule):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} (extra 'data') isn't installed")
    return create_source(name, molecule)


CASES = [
    ("ethanol", "gaff2-vacuum"), ("ethanol", "gaff2-obc2"), ("ethanol", "mmff94"), ("ethanol", "gfn2-xtb"),
    ("ACE-A-NME", "ff14sb-obc2"), ("ACE-A-NME", "ff14sb-vacuum"), ("ACE-A-NME", "mmff94"), ("ACE-A-NME", "gfn2-xtb"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source"), CASES)
def test_forces_are_minus_the_gradient_in_the_units_promised(name, source):
    molecule = molecule_of(name)
    evaluate = source_of(source, molecule)
    generator = np.random.default_rng(1)
    positions = molecule.positions + 0.003 * generator.standard_normal((2, *molecule.positions.shape))
    direction = generator.standard_normal(positions.shape)
    energies, forces = evaluate(positions)
    assert energies.shape == (2,) and forces.shape == positions.shape
    step = 1e-5  # nm
    numerical = (evaluate(positions + step * direction)[0] - evaluate(positions - step * direction)[0]) / (
        2 * step
    )
    assert np.allclose(-(forces * direction).sum((1, 2)), numerical, rtol=1e-3)
    assert np.abs(forces.sum(1)).max() < 1e-2 * np.abs(forces).max()  # no net force


def test_sources_agree_on_the_scale_of_forces():
    """A wrong unit would be off by 4.184, 10 or 49.6; methods differ by some ten per cent."""
    molecule = molecule_of("ethanol")
    generator = np.random.default_rng(2)
    positions = molecule.positions + 0.005 * generator.standard_normal((20, *molecule.positions.shape))
    spread = [
        np.sqrt((source_of(name, molecule)(positions)[1] ** 2).mean()) for name in sources_for(molecule)
    ]
    assert max(spread) / min(spread) < 1.3
    heights = [np.std(source_of(name, molecule)(positions)[0]) for name in sources_for(molecule)]
    assert max(heights) / min(heights) < 1.3


def test_xtb_energy_in_hartree():
    """GFN2-xTB of ethanol is -11.4 Hartree: -29,890 kJ/mol."""
    molecule = molecule_of("ethanol")
    energies, _ = source_of("gfn2-xtb", molecule)(molecule.positions[None])
    assert energies[0] / 2625.4996 == pytest.approx(-11.39, abs=0.02)


def test_bond_orders_and_charges_of_every_residue():
    from rdkit import Chem

    for letter in "ACDEFGHIKLMNPQRSTVWY":
        molecule = build_capped_peptide(letter)
        ordered = with_bond_orders(molecule)
        assert [a.GetAtomicNum() for a in ordered.GetAtoms()] == molecule.atomic_numbers.tolist()
        found = {tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in ordered.GetBonds()}
        assert found == {tuple(sorted(bond)) for bond in molecule.bonds.tolist()}
        assert (
            Chem.GetFormalCharge(ordered)
            == net_charge(molecule)
            == {"D": -1, "E": -1, "K": 1, "R": 1}.get(letter, 0)
        )


def test_sources_that_do_not_apply_are_refused():
    peptide = molecule_of("ACE-G-NME")
    assert sources_for(peptide) == ["ff14sb-obc2", "ff14sb-vacuum", "mmff94", "gfn2-xtb"]
    with pytest.raises(DataError, match="no parameters"):
        create_source("gaff2-vacuum", peptide)
    with pytest.raises(DataError, match="choose from"):
        create_source("ani-2x", peptide)
