"""write_report on run folders of every kind: keys, figures, what is n/a, escaping, self-containment."""

import hashlib
import html.parser
import json
import re

import numpy as np
import pytest

from openmm_unisim.errors import DataError, OutputError
from openmm_unisim.evaluation.page.html import FOLDER, embedded_json
from openmm_unisim.evaluation.page.jsonable import jsonable
from openmm_unisim.evaluation.page.plots import free_energy_surface, trace_stride
from openmm_unisim.evaluation.page.verdicts import number
from openmm_unisim.evaluation.page.view3d import viewer_data
from openmm_unisim.evaluation.run.report import write_report
from openmm_unisim.evaluation.run.run_folder import read_jumps
from openmm_unisim.evaluation.trajectories import load_topology

from .runs import PDB, dipeptide, jump_rows, reference_run, run_record, write_run

WATER_PDB = """\
HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""


@pytest.fixture(scope="module")
def good_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "good"
    write_run(folder, reference_run(1000), jump_rows(1000, np.random.default_rng(0)), run_record(1000))
    return folder, write_report(folder)


class ExternalReferences(html.parser.HTMLParser):
    """Collects attributes that would make a browser fetch something."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [
            (tag, name, value) for name, value in attrs if name in ("src", "href", "action", "data")
        ]


def test_a_perfect_run(good_run):
    folder, report = good_run
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report
    (scores,) = report["torsions"]
    floor = scores["js_floor"]["phi_psi"]
    assert scores["js"]["phi_psi"] < floor["mean"] + 4 * floor["std"]
    assert abs(scores["stay_difference"]["alpha"]) < 0.1
    assert report["reference"]["name"].startswith("300 ns MD")
    assert report["run"]["simulated_ns"] == 20.0 and report["run"]["jumps"] == 1000
    assert abs(report["energy"]["median_shift_kt_per_ten_atoms"]) < 0.5
    assert report["energy"]["md_source"] == "reference"
    assert report["jumps"]["explosions"]["count"] == 0
    assert 0 < report["jumps"]["explosions"]["upper_95"] < 0.01
    assert report["trajectory"]["frames_chirality_flipped"] == 0
    assert report["provenance"]["run"] == {"commit": "test"}
    assert len(report["provenance"]["report"]["trajectory_sha256"]) == 64


def test_speed_by_hand(good_run):
    speed = good_run[1]["speed"]
    assert speed["jumps_per_s"] == pytest.approx(20.0)  # 0.05 s a jump
    assert speed["nominal_ns_per_day"] == pytest.approx(20 * 0.02 * 86400)
    assert speed["nominal_ratio_to_md"] == pytest.approx(20 * 0.02 * 86400 / 500)
    assert 0 < speed["independent_samples_per_s"] < 20.0
    md_per_s = 500 * 1000 / 86400 / (10.0 * 5.40)  # g of the shipped MD is 5.40 frames of 10 ps
    assert speed["md_independent_samples_per_s"] == pytest.approx(md_per_s, rel=0.01)
    assert speed["md_protocol"] == {"platform": "Reference", "time_step_fs": 4.0}


def test_a_stuck_run_claims_no_independent_samples(tmp_path):
    positions = dipeptide(np.full(100, -70.0), np.full(100, 150.0))
    write_run(tmp_path, positions, jump_rows(100, np.random.default_rng(0)), run_record(100))
    speed = write_report(tmp_path)["speed"]
    assert speed["nominal_ratio_to_md"] > 0
    assert speed["independent_samples_per_s"] is None and speed["independent_samples_ratio"] is None


def test_the_page_is_self_contained(good_run):
    page = (good_run[0] / "report.html").read_text(encoding="utf-8")
    parser = ExternalReferences()
    parser.feed(page)
    assert parser.found == [("link", "href", "data:,")]
    assert "default-src 'none'" in page
    assert 'name="viewport"' in page
    data = json.loads(
        re.search(r'<script id="report-data" type="application/json">(.*?)</script>', page, re.S)[1]
    )
    ids = {figure["id"] for figure in data["figures"]}
    assert {"surface-0-0", "surface-0-1", "phi-0", "psi-0", "energy", "trace-0", "energy-trace"} == ids
    assert all(f'id="{figure_id}"' in page for figure_id in ids)
    assert len(data["viewer"]["frames"]) == 100


def test_without_reference_nothing_is_made_up(tmp_path):
    record = run_record(50)
    record["settings"]["environment"] = "vacuum"
    del record["md"]
    write_run(tmp_path, reference_run(50), jump_rows(50, np.random.default_rng(0)), record)
    report = write_report(tmp_path)
    (scores,) = report["torsions"]
    assert report["reference"] is None and scores["js"] is None and scores["reference"] is None
    assert scores["model"]["stay_alpha"]["value"] > 0
    assert report["energy"]["median_shift_kt"] is None
    assert report["speed"]["md_ns_per_day"] is None and report["speed"]["nominal_ratio_to_md"] is None
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No reference given" in page and "n/a" in page


def test_given_reference(tmp_path):
    write_run(tmp_path / "run", reference_run(60), jump_rows(60, np.random.default_rng(0)), run_record(60))
    np.savez(tmp_path / "md.npz", positions=reference_run(200), frame_spacing_ps=20.0)
    report = write_report(tmp_path / "run", tmp_path / "md.npz")
    assert report["reference"]["name"] == "md.npz" and report["reference"]["frames"] == 200
    assert report["torsions"][0]["js"]["phi_psi"] > 0
    assert write_report(tmp_path / "run", None)["reference"] is None


def test_energies_of_the_runs_own_md(tmp_path):
    record = run_record(50)
    record["model"]["metadata"]["constraints"] = "h-bonds"  # not the protocol of the reference's energies
    record["md"]["thermalisation"] = {"potential_energy_kj_mol": [-70.0, -68.0, -66.0]}
    write_run(tmp_path, reference_run(50), jump_rows(50, np.random.default_rng(0)), record)
    energy = write_report(tmp_path)["energy"]
    assert energy["md_median_kj_mol"] == -68.0 and energy["md_source"] == "thermalisation MD of this run"


def test_faults_are_counted_and_rejections_too(tmp_path):
    rows = jump_rows(40, np.random.default_rng(0))
    rows[3].update(
        nan=1, accepted=0, max_bond_deviation_nm=float("nan"), potential_energy_kj_mol=float("nan")
    )
    rows[7].update(chirality_flips=1, max_bond_deviation_nm=0.08, accepted=0)
    positions = reference_run(40)
    positions[7] *= np.array([1.0, 1.0, -1.0], dtype=np.float32)
    write_run(tmp_path, positions, rows, run_record(40))
    report = write_report(tmp_path)
    assert report["jumps"]["nan"]["count"] == 1 and report["jumps"]["explosions"]["count"] == 2
    assert report["jumps"]["rejected"]["count"] == 2 and report["jumps"]["chirality_flips"]["count"] == 1
    assert report["trajectory"]["frames_chirality_flipped"] == 1


def test_energies_off_the_axis_are_said(tmp_path):
    rows = jump_rows(40, np.random.default_rng(0))
    for row in rows[:10]:
        row["potential_energy_kj_mol"] = 1e6
    write_run(tmp_path, reference_run(40), rows, run_record(40))
    write_report(tmp_path)
    assert "25.0 % of this run&#39;s frames" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_text_is_escaped(tmp_path):
    attack = "<script>alert(1)</script>"
    record = run_record(20, warnings=[attack])
    record["model"]["name"] = attack
    record["model"]["metadata"]["license"] = attack
    write_run(tmp_path, reference_run(20), jump_rows(20, np.random.default_rng(0)), record)
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert attack not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "</script" not in embedded_json({"name": attack})


def test_a_molecule_without_torsions(tmp_path):
    pdb = tmp_path / "water.pdb"
    pdb.write_text(WATER_PDB, encoding="utf-8")
    positions = np.repeat(load_topology(pdb)[1][None], 10, axis=0)
    write_run(tmp_path / "run", positions, jump_rows(10, np.random.default_rng(0)), run_record(10), pdb)
    report = write_report(tmp_path / "run")
    assert report["torsions"] == [] and report["reference"] is None
    assert report["trajectory"]["frames_chirality_flipped"] is None
    assert report["trajectory"]["max_heavy_bond_deviation_nm"] is None
    assert "no residue with both" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_one_jump(tmp_path):
    write_run(tmp_path, reference_run(1), jump_rows(1, np.random.default_rng(0)), run_record(1))
    report = write_report(tmp_path)
    assert report["torsions"][0]["model"]["stay_alpha"] is None
    assert report["torsions"][0]["js"]["phi_psi"] > 0.5


def test_frames_and_rows_that_differ_are_said(tmp_path):
    write_run(tmp_path, reference_run(5), jump_rows(6, np.random.default_rng(0)), run_record(6))
    assert "6 rows" in write_report(tmp_path)["warnings"][0]


@pytest.mark.parametrize(("table", "command"), [("cycles.csv", "hybrid"), ("moves.csv", "solvent")])
def test_runs_of_other_commands_are_refused_by_name(tmp_path, table: str, command: str):
    (tmp_path / table).write_text("", encoding="utf-8")
    with pytest.raises(
        DataError, match=rf"a run of `openmm-unisim {command}`, which has no report; judge its"
    ):
        write_report(tmp_path)


def test_broken_folders_are_named(tmp_path, good_run):
    with pytest.raises(DataError, match=r"holds no topology\.pdb"):
        write_report(tmp_path)
    write_run(tmp_path, reference_run(3), jump_rows(3, np.random.default_rng(0)), run_record(3))
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="lag_time_ps"):
        write_report(tmp_path)
    with pytest.raises(DataError, match="doesn't exist"):
        write_report(good_run[0], tmp_path / "absent.xtc")
    (tmp_path / "trajectory.xtc").write_bytes(b"")
    with pytest.raises(DataError, match="no jump was made"):
        write_report(tmp_path)


def test_an_unwritable_folder_is_named(tmp_path):
    write_run(tmp_path, reference_run(3), jump_rows(3, np.random.default_rng(0)), run_record(3))
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OutputError, match="choose a writable folder"):
        write_report(tmp_path)


def test_a_reference_of_another_molecule_is_refused(tmp_path):
    write_run(tmp_path / "run", reference_run(3), jump_rows(3, np.random.default_rng(0)), run_record(3))
    np.savez(tmp_path / "other.npz", positions=np.zeros((5, 30, 3)))
    with pytest.raises(DataError, match="the topology 22 atoms"):
        write_report(tmp_path / "run", tmp_path / "other.npz")


def test_resampling_is_seeded(good_run, tmp_path):
    floors = [write_report(good_run[0], seed=seed)["torsions"][0]["js_floor"] for seed in (0, 0, 1)]
    assert floors[0] == floors[1] != floors[2]


def test_a_cut_off_last_row_is_dropped_and_a_broken_middle_is_an_error(tmp_path):
    write_run(tmp_path, reference_run(4), jump_rows(4, np.random.default_rng(0)), run_record(4))
    path = tmp_path / "jumps.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:4], lines[4][:9]]), encoding="utf-8")
    assert len(read_jumps(path)["jump"]) == 3
    path.write_text("\n".join([*lines[:2], "rubbish", *lines[3:]]), encoding="utf-8")
    with pytest.raises(DataError, match="line 3"):
        read_jumps(path)
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="lacks the columns"):
        read_jumps(path)


def test_free_energy_by_hand():
    surface = free_energy_surface([-175, -175, 175, np.nan], [-175, -175, 175, 0.0], kt=2.0)
    assert surface[0, 0] == 0.0
    assert surface[29, 29] == pytest.approx(2.0 * np.log(2.0))
    assert np.isfinite(surface).sum() == 2
    assert trace_stride(3000) == 1 and trace_stride(3001) == 2


def test_viewer_leaves_out_broken_frames():
    topology, _ = load_topology(PDB)
    positions = dipeptide(np.full(5, -60.0), np.linspace(0, 90, 5))
    positions[2] = np.nan
    data = viewer_data(positions, topology, np.arange(5.0))
    assert data["frame_numbers"].tolist() == [1, 2, 4, 5]
    assert data["atoms"][8][:4] == ["C", "CA", "ALA", 2] and sorted(data["atoms"][8][5]) == [6, 9, 10, 12]
    assert viewer_data(positions[2:3], topology, np.zeros(1)) is None


def test_numbers_for_people():
    assert [number(value) for value in (None, 0.0, 12345.6, 0.01234, 3.2e-5)] == [
        "n/a", "0", "12,346", "0.0123", "3.20e-05"
    ]  # fmt: skip


def test_strict_json():
    record = {"a": np.float32(0.5), "b": [np.nan, np.inf], "c": np.arange(2), "d": PDB, 3: np.int64(1)}
    assert jsonable(record) == {"a": 0.5, "b": [None, None], "c": [0, 1], "d": str(PDB), "3": 1}


def test_embedded_libraries_are_the_ones_recorded():
    readme = (FOLDER / "assets" / "README.md").read_text(encoding="utf-8")
    for name in ("plotly-cartesian.min.js", "3Dmol-min.js"):
        digest = hashlib.sha256((FOLDER / "assets" / name).read_bytes()).hexdigest()
        assert f"`{name}`" in readme and digest in readme
