"""The record of `evaluate`: complete, right, the same from every format, honest about what it can't compute."""

import json
from itertools import pairwise
from pathlib import Path

import h5py
import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim.errors import ConfigError, DataError, OutputError, PlatformError
from openmm_unisim.evaluation.comparison import load_comparison
from openmm_unisim.evaluation.estimators.distributions import torsion_js_distances
from openmm_unisim.evaluation.evaluate import evaluate, write_evaluation
from openmm_unisim.evaluation.metrics.ensemble_check import ensemble_check
from openmm_unisim.evaluation.page.metric_notes import meaning
from openmm_unisim.evaluation.page.metric_text import verdict
from openmm_unisim.evaluation.settings import EvaluationSettings
from openmm_unisim.evaluation.trajectories import load_topology
from openmm_unisim.provenance import sha256_of_file
from openmm_unisim.system import Molecule, create_system, get_platform, load_molecule
from tests.evaluation.evaluations import evaluated, metrics_of, positions, write_files, write_npz
from tests.evaluation.pairs_of_runs import shipped_torsions
from tests.evaluation.runs import PDB

SECTIONS = ["structure", "torsions", "kinetics", "free_energy", "geometry", "energy", "drift"]


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("evaluation"))


def test_every_section_is_there_and_every_figure_is_explained(record):
    assert [section["key"] for section in record["sections"]] == SECTIONS
    for key, metric in metrics_of(record).items():
        assert metric["value"] is not None or metric["reason"], key
        assert meaning(key), key


def test_a_figure_is_that_of_all_frames(record):
    """Against torsions that never went through positions, trajectory files and mdtraj."""
    model, reference = shipped_torsions(3000, 4200)[::2], shipped_torsions(0, 3000)
    expected = torsion_js_distances(model[:, 0], model[:, 1], reference[:, 0], reference[:, 1])
    metrics = metrics_of(record)
    for name, value in expected.items():
        assert metrics[f"js_{name}[ALA 2]"]["value"] == pytest.approx(
            value, abs=0.01
        )  # an angle on a bin's edge
    share = np.mean((reference[:, 1] >= -120) & (reference[:, 1] < 50))
    stays = metrics["stay_alpha[ALA 2]"]["reference"]
    assert 0.3 < share < 0.5 and 0.5 < stays < 0.8


def test_other_frames_of_md_are_md_and_shifted_ones_are_not(record, tmp_path):
    shifted = metrics_of(evaluated(tmp_path, psi_shift=90.0))
    own = metrics_of(record)
    for key in ("js_phi_psi[ALA 2]", "js_psi[ALA 2]", "ram", "free_energy_error_max"):
        assert verdict(own[key]) == "within", key
        assert verdict(shifted[key]) == "beyond", key
    assert verdict(shifted["js_phi[ALA 2]"]) == "within"  # only psi was turned


def test_inputs_settings_and_sources_are_recorded(record, tmp_path):
    files = write_files(tmp_path)
    again = write_evaluation(**files, settings=EvaluationSettings(environment="none"), repeats=4, seed=7)
    assert again["inputs"]["model"] == {"file": str(files["model"]), "sha256": sha256_of_file(files["model"])}
    assert set(again["inputs"]) == {"topology", "reference", "model"}
    assert again["resampling"] == {"block_frames": 50, "stride": 2, "repeats": 4, "seed": 7}
    assert again["provenance"]["versions"]["deeptime"] and again["provenance"]["commit"]
    assert record["settings"]["basins"] == "alanine dipeptide" and record["settings"]["environment"] == "obc2"
    assert record["model"] == {"frames": 600, "nan_frames": 0, "spacing_ps": 20.0}
    json.dumps(record, allow_nan=False)


def test_the_same_seed_gives_the_same_figures(record, tmp_path):
    again = evaluated(tmp_path)
    assert metrics_of(again) == metrics_of(record)


def test_only_the_section_of_the_paper_depends_on_the_mode(record, tmp_path):
    paper = evaluated(tmp_path, mode="paper")
    assert paper["mode"] == "paper" and record["mode"] == "strict"
    for ours, other in zip(record["sections"], paper["sections"]):
        assert (ours["metrics"] == other["metrics"]) is not ours["depends_on_mode"], ours["key"]
    assert [one["key"] for one in record["sections"] if one["depends_on_mode"]] == ["structure"]


def _write_ours(path: Path, frames: np.ndarray) -> None:
    """mdtraj's HDF5 layout (the reader has its own tests for the layout of `generate`)."""
    with h5py.File(path, "w") as file:
        file["coordinates"] = frames
        file["time"] = 20.0 * np.arange(len(frames))


@pytest.mark.parametrize("suffix", [".xtc", ".dcd", ".pdb", ".h5"])
def test_formats_give_the_same_distances(record, tmp_path, suffix):
    frames = positions(3000, 4200, 2)
    path = tmp_path / f"model{suffix}"
    if suffix == ".h5":
        _write_ours(path, frames)
    else:
        topology, _ = load_topology(PDB)
        mdtraj.Trajectory(frames, topology, time=20.0 * np.arange(len(frames))).save(str(path))
    found = evaluated(tmp_path, model=path, model_spacing_ps=20.0, environment="none", repeats=2)
    assert found["model"]["frames"] == 600
    for key in ("js_phi_psi[ALA 2]", "ram", "stay_alpha[ALA 2]"):
        assert metrics_of(found)[key]["value"] == pytest.approx(metrics_of(record)[key]["value"], abs=0.02)


def test_unknown_spacing_leaves_kinetics_out_and_says_so(tmp_path):
    path = tmp_path / "model_without_time.npz"
    np.savez(path, positions=positions(3000, 4200, 2))
    found = evaluated(tmp_path, model=path, environment="none", repeats=2)
    assert any("--model-spacing" in text for text in found["warnings"])
    stay = metrics_of(found)["stay_alpha"]
    assert stay["value"] is None and "unknown" in stay["reason"]
    assert metrics_of(found)["js_phi_psi[ALA 2]"]["value"] is not None


def test_a_lag_that_cannot_be_used_is_told(tmp_path):
    found = evaluated(tmp_path, lag_ps=7.0, environment="none", repeats=2)
    assert any("a lag of 7 ps is not a whole number" in text for text in found["warnings"])
    assert metrics_of(found)["stay_alpha"]["value"] is None


def test_a_model_nearly_as_long_as_the_reference_has_floors_that_err_low(record, tmp_path):
    assert any("span 0.4 times the reference's time" in text for text in record["warnings"])
    short = write_npz(tmp_path / "short.npz", positions(3000, 3600, 2), 20.0)
    found = evaluated(tmp_path, model=short, environment="none", repeats=2)
    assert not any("floors err low" in text for text in found["warnings"])


def test_coordinates_in_angstrom_are_suspected(tmp_path):
    path = write_npz(tmp_path / "angstrom.npz", 10.0 * positions(3000, 3600, 2), 20.0)
    found = evaluated(tmp_path, model=path, environment="none", repeats=2)
    assert any("100 % of the model's frames have broken bonds" in text for text in found["warnings"])


def test_nan_frames_are_counted_and_told(tmp_path):
    frames = positions(3000, 4200, 2)
    frames[100:103, 5] = np.nan
    found = evaluated(
        tmp_path, model=write_npz(tmp_path / "nan.npz", frames, 20.0), repeats=2, html_path=tmp_path / "p"
    )
    assert found["model"] == {"frames": 600, "nan_frames": 3, "spacing_ps": 20.0}
    assert metrics_of(found)["fraction_nan"]["value"] == pytest.approx(3 / 600)
    assert any("3 frames" in text for text in found["warnings"])


def test_effective_samples_per_second_need_a_wall_time(record, tmp_path):
    assert metrics_of(record)["ess_per_second"]["value"] is None
    timed = metrics_of(
        evaluated(tmp_path, model_wall_seconds=5.0, reference_wall_seconds=100.0, environment="none")
    )
    assert timed["ess_per_second"]["value"] == pytest.approx(timed["ess"]["value"] / 5.0)
    assert timed["ess_per_second"]["reference"] == pytest.approx(timed["ess"]["reference"] / 100.0)


def _energies(frames: np.ndarray) -> list[float]:
    """Potential energies of frames, one by one."""
    pdb = app.PDBFile(str(PDB))
    system = create_system(Molecule("ala2", pdb.topology, frames[0]), "obc2")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform("Reference"))
    energies = []
    for frame in frames:
        context.setPositions(frame)
        energy = context.getState(getEnergy=True).getPotentialEnergy()
        energies.append(energy.value_in_unit(unit.kilojoule_per_mole))
    return energies


def test_second_temperature_is_a_section_of_its_own(record, tmp_path):
    second = write_npz(tmp_path / "hot.npz", positions(4200, 5400, 2), 20.0)
    found = evaluated(tmp_path, second_model=second, second_temperature_K=320.0, repeats=4)
    assert [section["key"] for section in found["sections"]] == [*SECTIONS, "ensemble"]
    expected = ensemble_check(
        _energies(positions(3000, 4200, 2)), 300.0, _energies(positions(4200, 5400, 2)), 320.0
    )
    slope = metrics_of(found)["two_temperature_slope"]
    assert slope["reference"] == 1.0 and slope["value"] == pytest.approx(expected.value, rel=1e-4)
    assert slope["standard_error"] > 0.0
    assert found["inputs"]["second_model"]["sha256"] == sha256_of_file(second)


def test_a_molecule_that_the_force_field_does_not_know(tmp_path):
    """Methanol-like: no torsions, no force field; everything else is still computed, and pages are written."""
    topology = app.Topology()
    residue = topology.addResidue("XYZ", topology.addChain())
    atoms = [
        topology.addAtom(name, app.Element.getBySymbol(symbol), residue)
        for name, symbol in (("C1", "C"), ("O1", "O"), ("N1", "N"), ("C2", "C"))
    ]
    for first, second in pairwise(atoms):
        topology.addBond(first, second)
    start = np.array([[0.0, 0.0, 0.0], [0.14, 0.0, 0.0], [0.2, 0.12, 0.0], [0.33, 0.13, 0.05]])
    with open(tmp_path / "xyz.pdb", "w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(topology, start * unit.nanometer, stream)
    generator = np.random.default_rng(0)
    trajectories = [start + 0.002 * generator.normal(size=(count, 4, 3)) for count in (2000, 600)]
    reference, model = (
        write_npz(tmp_path / name, frames, 10.0) for name, frames in zip(("r.npz", "m.npz"), trajectories)
    )
    found = write_evaluation(
        tmp_path / "xyz.pdb", reference, model, repeats=4,
        html_path=tmp_path / "x.html", markdown_path=tmp_path / "x.md",
    )  # fmt: skip
    metrics = metrics_of(found)
    assert metrics["energy"]["value"] is None and "XYZ" in metrics["energy"]["reason"]
    assert metrics["js_phi_psi_mean"]["reason"] == "no residue has both phi and psi"
    assert metrics["pwd"]["value"] is None and metrics["tic"]["value"] is not None
    assert (
        "n/a" in (tmp_path / "x.md").read_text(encoding="utf-8")
        and (tmp_path / "x.html").stat().st_size > 1e6
    )


def test_contact_figures_of_a_longer_peptide(tmp_path):
    """Seven residues: PWD, RG, VAL-CA and CONTACT have values, and the page has their figures."""
    molecule = load_molecule("ACE-AAAAAAA-NME")
    pdb = tmp_path / "ala7.pdb"
    with open(pdb, "w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
    generator = np.random.default_rng(1)
    stretch = 1.0 + 0.05 * generator.normal(size=(1500, 1, 1))
    frames = molecule.positions * stretch + 0.003 * generator.normal(size=(1500, *molecule.positions.shape))
    files = [
        write_npz(tmp_path / name, part, 10.0)
        for name, part in (("r.npz", frames[:1000]), ("m.npz", frames[1000:]))
    ]
    page = tmp_path / "page.html"
    found = metrics_of(
        write_evaluation(pdb, *files, EvaluationSettings(environment="none"), repeats=3, html_path=page)
    )
    for key in ("pwd", "rg", "val_ca", "contact"):
        assert found[key]["value"] is not None, key
    assert all(
        f'id="{name}"' in page.read_text(encoding="utf-8") for name in ("contacts-0", "contacts-1", "radius")
    )


def test_a_comparison_in_memory_gives_the_same_figures(record, tmp_path):
    files = write_files(tmp_path)
    comparison = load_comparison(files["topology"], files["reference"], files["model"], repeats=8)
    found = evaluate(comparison)
    assert metrics_of(found) == metrics_of(record) and found["inputs"] == {}


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"mode": "lenient"}, "lenient"),
        ({"environment": "water"}, "water"),
        ({"temperature_K": -1.0}, "temperature_K = -1.0"),
        ({"windows": 2}, "2 windows"),
        ({"model_wall_seconds": 0.0}, "model_wall_seconds"),
        ({"second_model": "x.xtc"}, "both"),
        ({"second_model": "x.xtc", "second_temperature_K": 300.0}, "two temperatures"),
        ({"second_model": "x.xtc", "second_temperature_K": 320.0, "environment": "none"}, "energies"),
    ],
)
def test_settings_that_make_no_sense(settings, cause):
    with pytest.raises(ConfigError, match=cause):
        EvaluationSettings(**settings)


def test_faults_are_told_before_anything_is_computed(tmp_path):
    files = write_files(tmp_path)
    for options, kind, cause in (
        ({"json_path": tmp_path}, OutputError, "it is a folder"),
        ({"html_path": tmp_path / "absent" / "x.html"}, OutputError, "no folder"),
        ({"json_path": tmp_path / "a", "html_path": tmp_path / "a"}, ConfigError, "one path"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"model_spacing_ps": -2.0}, ConfigError, "model_spacing_ps"),
        ({"settings": EvaluationSettings(platform="Abacus")}, PlatformError, "Abacus"),
        ({"settings": EvaluationSettings(basins=tmp_path / "no.json")}, ConfigError, "no.json"),
    ):
        with pytest.raises(kind, match=cause):
            write_evaluation(**files, **options)
    with pytest.raises(DataError, match="can't be read"):
        broken = tmp_path / "broken.xtc"
        broken.write_bytes(b"not a trajectory")
        write_evaluation(files["topology"], files["reference"], broken)
