"""`benchmark scaling`: molecules of a size, and the command end to end at the smallest one."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from openmm_unisim._plugin import operators_are_built
from openmm_unisim.benchmark.speed.scaling_systems import molecule_of_size, protein_of_size, shipped_protein
from openmm_unisim.benchmark.speed.scaling_tasks import peak_memory
from openmm_unisim.cli.main import app
from openmm_unisim.errors import ConfigError


def test_small_molecules_are_peptides() -> None:
    assert len(molecule_of_size(22).positions) == 22
    assert molecule_of_size(150).topology.getNumResidues() > 5
    assert abs(len(molecule_of_size(150).positions) - 150) <= 10
    with pytest.raises(ConfigError, match="positive number"):
        molecule_of_size(0)


def test_large_ones_are_whole_residues_of_a_protein() -> None:
    """4JSV begins with chain B; every residue is complete and there is no gap within a chain."""
    molecule = molecule_of_size(1000)
    assert abs(len(molecule.positions) - 1000) < 60
    named: dict[str, int] = {}
    for atom in molecule.topology.atoms():
        named[atom.name] = named.get(atom.name, 0) + 1
    assert named["CA"] == named["C"] == molecule.topology.getNumResidues() and "H" in named
    lengths = [
        np.linalg.norm(molecule.positions[bond.atom1.index] - molecule.positions[bond.atom2.index])
        for bond in molecule.topology.bonds()
    ]
    assert max(lengths) < 0.25
    with pytest.raises(ConfigError, match="too few for 1000000 atoms"):
        protein_of_size(1_000_000, shipped_protein())


def test_memory_of_this_process_is_known() -> None:
    assert 50 < peak_memory() < 50_000


def test_the_command_end_to_end(tmp_path: Path) -> None:
    if not operators_are_built():
        pytest.skip("the plugin is not built")
    path = tmp_path / "scaling.json"
    line = ["benchmark", "scaling", "--atoms", "22", "--repeats", "2", "--substeps", "2", "--json", str(path)]
    run = CliRunner().invoke(app, line)
    assert run.exit_code == 0, run.output
    assert "Share of a step" in run.stdout and "positions finite" in " ".join(run.stdout.split())
    record = json.loads(path.read_text(encoding="utf-8"))
    entry = record["sizes"][0]
    assert record["benchmark"] == "scaling" and record["provenance"]["torch_threads"] == 1
    assert entry["n_atoms"] == 22 and entry["cost_ratio"] is None and entry["peak_memory_MiB"] > 50
    assert entry["figures"]["step"]["milliseconds"] > 0 and 8 < entry["edges_per_atom"] < 16
    assert abs(sum(entry["shares"].values()) - 1) < 1e-9 and entry["shares"]["attention layers"] > 0.2
    assert record["jump"]["finite"] and record["jump"]["accepted"] == 2 and record["conditioned"] == []


@pytest.mark.parametrize(
    "options, words",
    [
        (["--atoms", "many"], "no list of numbers"),
        (["--repeats", "0"], "must be positive"),
        (["--platform", "Quantum"], "no OpenMM platform 'Quantum'"),
    ],
)
def test_errors(options: list[str], words: str) -> None:
    run = CliRunner().invoke(app, ["benchmark", "scaling", *options])
    assert run.exit_code != 0
    assert words in run.output or words in str(run.exception)
