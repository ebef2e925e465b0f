"""MD of other programs: every container, the box, and what is said of files that can't be used."""

import dataclasses

import h5py
import numpy as np
import pytest

from openmm_unisim.data import archive
from openmm_unisim.data.foreign import StatedProtocol, read_walker
from openmm_unisim.data.foreign_import import ForeignMD, import_md
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.data.molecule_choice import choose_molecule
from openmm_unisim.data.wholeness import make_whole, walk_bonds
from openmm_unisim.errors import ConfigError, DataError, NonFiniteError

from ..foreign_md import SAID, dipeptide, frames, save, solvated, write_pdb


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    molecule, path = dipeptide(tmp_path_factory.mktemp("pdb"))
    return molecule, choose_molecule(path)


def centred(positions):
    return positions - positions.mean(1, keepdims=True)


@pytest.mark.parametrize("suffix", ["xtc", "dcd", "nc", "trr", "h5"])
def test_containers_give_the_same_frames(given, tmp_path, suffix):
    molecule, chosen = given
    positions, path = frames(molecule, 7), tmp_path / f"run.{suffix}"
    if suffix == "h5":  # mdtraj's layout
        with h5py.File(path, "w") as file:
            file["coordinates"], file["time"] = positions, 2.0 * np.arange(7)
    else:
        save(path, positions, molecule.topology)
    walker = read_walker(path, chosen, 2.0 if suffix == "dcd" else None)
    np.testing.assert_allclose(walker.stretches[0], centred(positions), atol=1e-3)
    assert walker.frame_spacing_ps == pytest.approx(2.0) and walker.reversible is None
    every_third = read_walker(path, chosen, 2.0, stride=3)
    np.testing.assert_allclose(every_third.stretches[0], centred(positions)[::3], atol=1e-3)
    assert every_third.frame_spacing_ps == pytest.approx(6.0)


def test_a_molecule_cut_by_its_box_is_put_together(given, tmp_path):
    molecule, _ = given
    topology, start = solvated(molecule)
    chosen = choose_molecule(write_pdb(tmp_path / "box.pdb", topology, start))
    whole = np.repeat(start[None], 5, 0) + 0.37 * np.arange(5)[:, None, None]
    path = save(tmp_path / "run.xtc", np.mod(whole, 2.5), topology, box=2.5)
    walker = read_walker(path, chosen)
    np.testing.assert_allclose(walker.stretches[0], centred(whole[:, 1:23]), atol=2e-3)
    assert walker.notes == ("run.xtc: put together along its bonds in its periodic box",)
    without_box = save(tmp_path / "cut.xtc", np.mod(whole, 2.5), topology)
    with pytest.raises(DataError, match=r"Frame \d of .* has a bond of .* the box that cut the molecule"):
        read_walker(without_box, chosen)


def test_a_triclinic_box_is_undone(given):
    molecule, _ = given
    lattice = np.array([[[2.0, 0, 0], [0.6, 2.1, 0], [-0.7, 0.9, 1.9]]])
    shifts = np.random.default_rng(0).integers(-2, 3, (22, 3)) @ lattice[0]
    tree = walk_bonds(molecule.bonds, 22)
    found = make_whole(molecule.positions[None] + shifts, lattice, tree)
    np.testing.assert_allclose(
        found - found[:, :1], (molecule.positions - molecule.positions[0])[None], atol=1e-9
    )


def test_what_is_wrong_with_a_file_is_said(given, tmp_path):
    molecule, chosen = given
    positions = frames(molecule, 6)
    with pytest.raises(DataError, match="--spacing-ps"):
        read_walker(save(tmp_path / "a.dcd", positions, molecule.topology), chosen)
    broken = positions.copy()
    broken[4, 3] = np.nan
    with pytest.raises(NonFiniteError, match="Frame 4"):
        read_walker(save(tmp_path / "b.nc", broken, molecule.topology), chosen)
    topology, start = solvated(molecule)
    with pytest.raises(DataError, match="number of atoms isn't the topology's"):
        read_walker(save(tmp_path / "c.xtc", start[None], topology), chosen)
    (tmp_path / "d.xtc").write_bytes(b"not XTC at all")
    (tmp_path / "e.xyzzy").write_bytes(b"")
    for name, text in (
        ("d.xtc", "can't be read"),
        ("e.xyzzy", "no reader knows"),
        ("f.xtc", "no trajectory"),
    ):
        with pytest.raises(DataError, match=text):
            read_walker(tmp_path / name, chosen)
    with pytest.raises(ConfigError, match="stride"):
        read_walker(tmp_path / "a.dcd", chosen, 1.0, stride=0)
    other_order = positions[:, ::-1]
    with pytest.raises(DataError, match="in another order"):
        read_walker(save(tmp_path / "g.xtc", other_order, molecule.topology), chosen)


def test_a_spacing_that_is_told_wins_and_is_noted(given, tmp_path):
    molecule, chosen = given
    walker = read_walker(save(tmp_path / "a.xtc", frames(molecule, 4), molecule.topology, 1.0), chosen, 10.0)
    assert walker.frame_spacing_ps == 10.0 and "the file says 1 ps" in walker.notes[0]


def test_files_of_ours_say_everything_themselves(given, tmp_path):
    chosen = given[1]
    config = GenerateConfig(
        "ACE-ALA-NME", "vacuum", 0.006, scramble_time=0.0, equilibration_time=0.1, platform="Reference"
    )
    path = generate(config, tmp_path / "walker.h5")
    walker = read_walker(path, chosen)
    assert walker.reversible == [True] and walker.frame_spacing_ps == 1.0 and len(walker.stretches[0]) == 6
    found = StatedProtocol().completed(walker.attributes, path)
    assert found["environment"] == "vacuum" and found["constraints"] == "none"
    with pytest.raises(ConfigError, match="leave the option out"):
        StatedProtocol(temperature_K=310.0).completed(walker.attributes, path)
    with pytest.raises(ConfigError, match="leave --spacing-ps out"):
        read_walker(path, chosen, 2.0)
    generate(dataclasses.replace(config, molecule="ACE-GLY-NME"), tmp_path / "other.h5")
    with pytest.raises(DataError, match="other atoms or bonds"):
        read_walker(tmp_path / "other.h5", chosen)


def test_an_archive_keeps_what_it_says_of_each_stretch(given, tmp_path):
    """Equilibrium dynamics first, restarts behind it: those stay drawn forward only."""
    molecule, _ = given
    attributes = {
        "name": molecule.name, "atomic_numbers": molecule.atomic_numbers.tolist(), "bonds": molecule.bonds.tolist(),
        "frame_spacing_ps": 1.0, **SAID,
    }  # fmt: skip
    stretches = [frames(molecule, size, size) for size in (120, 21, 22, 23)]
    archive.write_frames(tmp_path / "both.h5", stretches, [True, False, False, False], attributes)
    _, topology = dipeptide(tmp_path)
    made = import_md(ForeignMD(topology, (tmp_path / "both.h5",), (2.0,)), tmp_path / "data")
    train, held = archive.read(made.train), archive.read(made.held_out)
    assert [len(part) for part in train.stretches] == [120, 21] and train.reversible == [True, False]
    assert [len(part) for part in held.stretches] == [22, 23] and held.reversible == [False, False]


def test_a_protocol_is_complete_or_its_gaps_are_named(tmp_path):
    assert StatedProtocol(**SAID).completed({}, tmp_path) == SAID
    with pytest.raises(ConfigError, match=r"give --force-field, --constraints, since"):
        StatedProtocol(**(SAID | {"force_field": None, "constraints": None})).completed({}, tmp_path)
    for wrong, text in (
        ({"temperature_K": -1.0}, "temperature"),
        ({"constraints": "shake"}, "shake"),
        ({"friction_per_ps": float("nan")}, "friction"),
    ):
        with pytest.raises(ConfigError, match=text):
            StatedProtocol(**(SAID | wrong)).completed({}, tmp_path)
