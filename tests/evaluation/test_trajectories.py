"""Every container, and what is said of broken ones."""

import h5py
import mdtraj
import numpy as np
import pytest

from openmm_unisim.errors import DataError, StructureError
from openmm_unisim.evaluation.reference import (
    TorsionReference,
    read_compact_reference,
    shipped_reference,
    trajectory_reference,
    write_compact_reference,
)
from openmm_unisim.evaluation.trajectories import load_topology, load_trajectory

from .runs import PDB, reference_run


@pytest.fixture(scope="module")
def topology():
    return load_topology(PDB)[0]


@pytest.mark.parametrize("suffix", ["xtc", "dcd", "h5", "npz"])
def test_containers_give_the_same_positions(tmp_path, topology, suffix):
    positions, path = reference_run(5), tmp_path / f"run.{suffix}"
    if suffix == "npz":
        np.savez(path, positions=positions, frame_spacing_ps=20.0)
    elif suffix == "h5":  # mdtraj's layout
        with h5py.File(path, "w") as file:
            file["coordinates"], file["time"] = positions, 20.0 * np.arange(1, 6)
    else:
        mdtraj.Trajectory(positions, topology, time=20.0 * np.arange(1, 6)).save(str(path))
    loaded = load_trajectory(path, topology)
    np.testing.assert_allclose(loaded.positions, positions, atol=1e-3)
    assert loaded.n_frames == 5 and loaded.sequence == "ACE-ALA-NME"
    if suffix != "dcd":  # DCD as mdtraj reads it holds frame numbers
        assert loaded.frame_spacing_ps == pytest.approx(20.0)


def test_training_file(tmp_path, topology):
    trajectory_file = pytest.importorskip("openmm_unisim.data.trajectory_file")
    path = tmp_path / "walker.h5"
    trajectory_file.create(
        path, {"atomic_numbers": [atom.element.number for atom in topology.atoms], "frame_spacing_ps": 1.0}
    )
    positions = reference_run(4)
    trajectory_file.append(path, positions, np.zeros(4), b"")
    loaded = load_trajectory(path, topology)
    np.testing.assert_allclose(loaded.positions, positions, atol=1e-4)
    assert loaded.frame_spacing_ps == 1.0


def test_uneven_times_give_no_spacing(tmp_path, topology):
    path = tmp_path / "run.xtc"
    mdtraj.Trajectory(reference_run(3), topology, time=[0.0, 1.0, 5.0]).save(str(path))
    assert load_trajectory(path, topology).frame_spacing_ps is None


def test_broken_files_are_named(tmp_path, topology):
    with pytest.raises(DataError, match=r"absent\.xtc' doesn't exist"):
        load_trajectory(tmp_path / "absent.xtc", topology)
    (tmp_path / "bad.xtc").write_bytes(b"not a trajectory")
    with pytest.raises(DataError, match="check that the file is whole and of this topology"):
        load_trajectory(tmp_path / "bad.xtc", topology)
    (tmp_path / "bad.what").write_bytes(b"not a trajectory")
    with pytest.raises(DataError, match="a suffix that no reader knows"):
        load_trajectory(tmp_path / "bad.what", topology)
    np.savez(tmp_path / "other.npz", coordinates=np.zeros(3))
    with pytest.raises(DataError, match="no 'positions'"):
        load_trajectory(tmp_path / "other.npz", topology)
    np.savez(tmp_path / "small.npz", positions=np.zeros((2, 3, 3)))
    with pytest.raises(DataError, match="the topology 22 atoms"):
        load_trajectory(tmp_path / "small.npz", topology)
    np.savez(tmp_path / "good.npz", positions=np.zeros((2, 3, 3)))
    with pytest.raises(DataError, match="holds no topology"):
        load_trajectory(tmp_path / "good.npz")
    with pytest.raises(DataError, match="is a folder"):
        load_trajectory(tmp_path, topology)
    (tmp_path / "bad.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="it isn't in the format that its name says"):
        load_trajectory(tmp_path / "bad.npz", topology)
    (tmp_path / "bad.pdb").write_text("nothing", encoding="utf-8")
    with pytest.raises(
        StructureError, match=r"bad\.pdb' can't be read as a PDB file \(it isn't in the format"
    ):
        load_topology(tmp_path / "bad.pdb")
    with pytest.raises(StructureError, match="doesn't exist"):
        load_topology(tmp_path / "absent.pdb")


def test_a_pickled_archive_is_refused(tmp_path, topology):
    np.savez(tmp_path / "objects.npz", positions=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="can't be read"):
        load_trajectory(tmp_path / "objects.npz", topology)


def test_shipped_reference():
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    assert len(reference.torsions[0].phi) == 30_000 and reference.frame_spacing_ps == 10.0
    assert (
        reference.lag_frames(20.0) == 2
        and reference.lag_frames(25.0) is None
        and reference.lag_frames(5.0) is None
    )
    assert "GBSAOBCForce" in reference.details["protocol"]
    assert reference.details["energy"]["constraints"] == "none" and len(reference.potential_energy) > 1000
    assert shipped_reference("ACE-ALA-NME", "vacuum") is None
    assert shipped_reference("ACE-GLY-NME", "obc2") is None


def test_compact_reference_round_trip(tmp_path, topology):
    path = tmp_path / "run.npz"
    np.savez(path, positions=reference_run(60))
    reference = trajectory_reference(path, topology)
    assert reference.frame_spacing_ps is None and reference.lag_frames(20.0) is None
    write_compact_reference(tmp_path / "compact.npz", reference)
    again = read_compact_reference(tmp_path / "compact.npz")
    np.testing.assert_allclose(again.torsions[0].phi, reference.torsions[0].phi, atol=0.0051)
    assert again.frame_spacing_ps is None and again.potential_energy is None
    assert again.details == reference.details and again.torsions[0].label == "ALA 2"


def test_a_torsion_just_below_180_survives_the_integers(tmp_path):
    reference = shipped_reference("ACE-ALA-NME", "obc2")
    residue = type(reference.torsions[0])("X 1", np.array([179.999, -180.0]), np.array([0.0, -179.996]))
    write_compact_reference(tmp_path / "edge.npz", TorsionReference("edge", [residue], 1.0))
    again = read_compact_reference(tmp_path / "edge.npz").torsions[0]
    assert again.phi.tolist() == [-180.0, -180.0]
    with pytest.raises(DataError, match="install the package again"):
        read_compact_reference(tmp_path / "absent.npz")


def test_a_reference_too_short_or_broken_is_refused(tmp_path, topology):
    positions = reference_run(60)
    np.savez(tmp_path / "short.npz", positions=positions[:10])
    with pytest.raises(DataError, match="10 frames"):
        trajectory_reference(tmp_path / "short.npz", topology)
    positions[3, 2, 1] = np.nan
    np.savez(tmp_path / "nan.npz", positions=positions)
    with pytest.raises(DataError, match="NaN"):
        trajectory_reference(tmp_path / "nan.npz", topology)


@pytest.mark.parametrize("spacing", [0.0, -10.0, float("nan")])
def test_a_frame_spacing_that_makes_no_sense_is_refused(tmp_path, topology, spacing):
    np.savez(tmp_path / "run.npz", positions=reference_run(5), frame_spacing_ps=spacing)
    with pytest.raises(DataError, match="positive number of ps"):
        load_trajectory(tmp_path / "run.npz", topology)


def test_a_container_without_times_has_no_spacing(tmp_path, topology):
    """mdtraj numbers the frames of a DCD file, whatever its header says; that's no time."""
    mdtraj.Trajectory(reference_run(5), topology, time=10.0 * np.arange(5)).save(str(tmp_path / "run.dcd"))
    assert load_trajectory(tmp_path / "run.dcd", topology).frame_spacing_ps is None
