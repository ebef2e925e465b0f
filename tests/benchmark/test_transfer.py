"""`benchmark transfer`: judges, chains that go on after a kill, scores, the goal, tables."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from openmm_unisim.benchmark.transfer.free_run import FreeRun, run_freely
from openmm_unisim.benchmark.transfer.judge import Judge, find_judges
from openmm_unisim.benchmark.transfer.kinetics import residue_kinetics
from openmm_unisim.benchmark.transfer.scores import score_run, validity
from openmm_unisim.benchmark.transfer.summary import goal_of, summarise_molecule, summarise_split
from openmm_unisim.benchmark.transfer.table import transfer_tables
from openmm_unisim.benchmark.transfer.transfer import TransferSettings, benchmark_transfer
from openmm_unisim.cli.main import app
from openmm_unisim.data import archive
from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.errors import CheckpointError, ConfigError, DataError
from openmm_unisim.simulation.reference import ReferenceJump
from tests.foreign_md import write_pdb
from tests.toy_models import write_toy

SPACING = 0.02  # ps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short walkers of MD in vacuum."""
    path = tmp_path_factory.mktemp("md")
    for seed in (1, 2):
        config = GenerateConfig(
            "ACE-G-NME", "vacuum", 150 * SPACING / 1000, seed, frame_spacing=SPACING, scramble_time=0.2,
            equilibration_time=0.2,
        )  # fmt: skip
        generate(config, path / f"ACE-G-NME.vacuum.300K.seed{seed}.h5")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random steps: a molecule stays whole for a few of them."""
    path = tmp_path_factory.mktemp("model") / "toy.unisim.pt"
    metadata = {"environment": "vacuum", "lag_time_ps": 2 * SPACING}
    return write_toy(path, "constant", metadata=metadata, sigma=0.0005)


@pytest.fixture
def judge(folder: Path, tmp_path: Path) -> Judge:
    return find_judges([folder])[0].read(tmp_path)


def jump_of(judge: Judge, model: Path) -> ReferenceJump:
    molecule = judge.molecule
    return ReferenceJump(model, atomic_numbers=molecule.atomic_numbers.tolist(), bonds=molecule.bonds)


def settings(folder: Path, model: Path, tmp_path: Path, **changes: object) -> TransferSettings:
    wanted = TransferSettings(
        str(model), (folder,), copies=10, jumps=20, work=tmp_path / "work", json=tmp_path / "transfer.json"
    )
    return replace(wanted, **changes)  # type: ignore[arg-type]


def test_files_are_grouped_by_molecule_and_environment_and_archived_ones_are_the_same(folder, tmp_path):
    (found,) = find_judges([folder])
    assert (found.molecule, found.environment, len(found.paths)) == ("ACE-G-NME", "vacuum", 2)
    raw = found.read(tmp_path)
    assert (raw.split, raw.kind, len(raw.walkers), len(raw.frames)) == ("train", "peptide", 2, 300)
    archive.write(list(found.paths), tmp_path / "kept" / "ACE-G-NME.vacuum.h5", SPACING)
    kept = find_judges([tmp_path / "kept"])[0].read(tmp_path)
    assert [len(walker) for walker in kept.walkers] == [150, 150] and kept.protocol == raw.protocol
    lengths = [np.linalg.norm(one.frames[:, 0] - one.frames[:, 4], axis=1) for one in (raw, kept)]
    assert np.abs(lengths[0] - lengths[1]).max() < 2e-3
    assert kept.starts(3).shape == (3, 19, 3) and np.array_equal(kept.starts(300), kept.frames)


def test_a_judge_is_found_by_the_molecules_name_however_it_was_typed(folder, tmp_path):
    short = GenerateConfig(
        "ACE-GLY-NME", "vacuum", 5 * SPACING / 1000, 3, frame_spacing=SPACING, scramble_time=0.0,
        equilibration_time=0.1,
    )  # fmt: skip
    typed = generate(short, tmp_path / "typed.h5")
    (found,) = find_judges([folder, typed])
    assert found.molecule == "ACE-G-NME" and len(found.paths) == 3
    assert find_judges([typed])[0].read(tmp_path).split == "train"
    molecule = find_judges([typed])[0].read(tmp_path).molecule
    own = write_pdb(tmp_path / "mine.pdb", molecule.topology, molecule.positions)
    judge = find_judges([generate(replace(short, molecule=str(own)), tmp_path / "own.h5")])[0].read(tmp_path)
    assert len(judge.molecule.positions) == 19


def test_a_killed_run_goes_on_to_the_same_frames(judge, model, tmp_path):
    jump, starts = jump_of(judge, model), judge.starts(4)
    whole = run_freely(jump, starts, 6, 1, tmp_path / "whole.npz", {"a": 1})
    run_freely(jump, starts, 2, 1, tmp_path / "parts.npz", {"a": 1})
    parts = run_freely(jump, starts, 6, 1, tmp_path / "parts.npz", {"a": 1})
    assert np.array_equal(whole.frames, parts.frames) and whole.frames.shape == (4, 6, 19, 3)
    again = run_freely(jump, starts, 4, 1, tmp_path / "parts.npz", {"a": 1})
    assert np.array_equal(again.frames, whole.frames[:, :4])
    with pytest.raises(CheckpointError, match="a: 1 -> 2"):
        run_freely(jump, starts, 6, 1, tmp_path / "parts.npz", {"a": 2})


def test_md_itself_meets_the_goal_and_a_shuffled_molecule_does_not(judge):
    """The reference as its own model: two chains, which are its walkers."""
    starts = np.stack([walker[0] for walker in judge.walkers]).astype(float)
    run = FreeRun(starts, np.stack([walker[1:] for walker in judge.walkers]), 1.0)
    scores = score_run(run, judge, SPACING)
    summary = summarise_molecule(scores)
    assert summary["js_1d"] < 0.1 and summary["valid"] == 1.0 and summary["meets_goal"]
    assert abs(summary["energy_shift_kT"]) < 0.2 and summary["timescale_ratio"] in (
        None,
        pytest.approx(1.0, abs=0.1),
    )
    assert scores["between_walkers"]["mean"] > 0.1 and len(scores["between_walkers"]["each"]) == 2
    assert scores["energy"]["quantiles"]["reference"][2] == 0.0
    broken = FreeRun(starts, run.frames + np.random.default_rng(0).normal(0.0, 0.1, run.frames.shape), 1.0)
    summary = summarise_molecule(score_run(broken, judge, SPACING))
    assert summary["valid"] < 0.1 and summary["explosions"] > 200 and not summary["meets_goal"]


def test_kinetics_know_where_chains_end(judge):
    """Every chain stays where it began; joined end to end they would not."""
    frames = judge.frames[[0, 150]]
    run = FreeRun(frames.astype(float), np.repeat(frames[:, None], 8, axis=1), 1.0)
    rows, reason = residue_kinetics(run, judge, SPACING)
    stays = [row[key] for row in rows for key in ("stay_alpha", "stay_beta") if row[key] is not None]
    assert reason == "" and len(rows) == 1 and stays and all(stay["model"] == 1.0 for stay in stays)
    assert "no whole number" in residue_kinetics(run, judge, 1.5 * SPACING)[1]


def test_frames_that_are_not_finite_are_counted_and_judged(judge):
    frames = np.repeat(judge.frames[:1, None], 300, axis=1)
    frames[0, 100:] = np.nan
    scores = score_run(FreeRun(judge.starts(1), frames, 1.0), judge, SPACING)
    assert "200 of 300 frames aren't finite" in scores["reason"]
    summary = summarise_molecule(scores)
    assert summary["explosions"] == 200 and summary["js_1d"] is None and summary["meets_goal"] is False
    assert validity(judge.frames, judge)["valid"] == 1.0


def test_the_benchmark_goes_on_and_says_what_a_model_refuses(folder, model, tmp_path):
    said: list[str] = []
    record = benchmark_transfer(settings(folder, model, tmp_path), said.append)
    (one,) = record["molecules"].values()
    assert one["status"] == "done" and one["frames"] == 200 and one["reference"]["walkers"] == 2
    assert record["splits"]["peptide, train"]["molecules"] == 1 and record["provenance"]["seed"] == 1
    said.clear()
    again = benchmark_transfer(settings(folder, model, tmp_path), said.append)
    assert said == ["ACE-G-NME.vacuum: known"] and again["molecules"] == record["molecules"]
    with pytest.raises(CheckpointError, match="copies: 10 -> 11"):
        benchmark_transfer(settings(folder, model, tmp_path, copies=11), said.append)
    carbon = write_toy(
        tmp_path / "carbon.unisim.pt", "constant", metadata={"environment": "vacuum", "elements": (1, 6)}
    )
    record = benchmark_transfer(settings(folder, carbon, tmp_path, json=None), said.append)
    (one,) = record["molecules"].values()
    assert one["status"] == "refused" and "does not know" in one["reason"]
    assert "Refused: ACE-G-NME" in transfer_tables(record, "summary")


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"molecules": ("ACE-A-NME",)}, ConfigError, "no reference of ACE-A-NME"),
        ({"environment": "obc2"}, ConfigError, "only vacuum"),
        ({"jumps": 5}, ConfigError, "too few for a distribution"),
        ({"copies": 400}, DataError, "fewer than 400 copies"),
    ],
)
def test_what_makes_no_sense_is_refused(folder, model, tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        benchmark_transfer(settings(folder, model, tmp_path, **changes), lambda text: None)


def test_the_command_and_its_tables(folder, model, tmp_path):
    line = [
        "benchmark",
        "transfer",
        str(model),
        "--references",
        str(folder),
        "--copies",
        "10",
        "--jumps",
        "20",
    ]
    done = CliRunner().invoke(app, [*line, "--work", str(tmp_path), "--json", str(tmp_path / "t.json")])
    assert done.exit_code == 0, done.output
    assert "| ACE-G-NME | train, 19 |" in done.stdout and "at most 2 × floor + 0.05" in done.stdout
    record = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    text = transfer_tables(record)
    assert "GLY 2" in text and "model: 5, 25, 50, 75, 95 %, kT" in text
    with pytest.raises(DataError, match="no section 'all'"):
        transfer_tables(record, "all")


def test_documents_take_their_tables_from_it(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "tables.py"
    spec = importlib.util.spec_from_file_location("benchmarks_tables", script)
    assert spec is not None and spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    record = {"benchmark": "transfer", "identity": {"model": "0" * 64}, "molecules": {}, "provenance": {}}
    (tmp_path / "transfer_a.json").write_text(json.dumps(record), encoding="utf-8")
    text = tables.make_table("transfer_a", "summary", tmp_path)
    assert (
        text.startswith("| molecule | split, atoms |")
        and "transfer_a.json" in text
        and "Of other weights" in text
    )


def test_goal_and_means_over_a_split():
    assert goal_of(0.05) == pytest.approx(0.15)

    def molecule(distance: float, valid: float, flips: int) -> dict:
        keys = ("js_2d", "floor_2d", "stay_error")
        summary = dict.fromkeys(keys) | {"js_1d": distance, "floor_1d": 0.05, "valid": valid}
        return {"summary": summary | {"flips": flips, "explosions": 0}}

    assert summarise_split([molecule(0.1, 1.0, 0), molecule(0.2, 0.97, 0)])["meets_goal"]
    assert not summarise_split([molecule(0.1, 1.0, 0), molecule(0.3, 1.0, 0)])["meets_goal"]
    assert not summarise_split([molecule(0.1, 1.0, 0), molecule(0.1, 1.0, 1)])["meets_goal"]
    assert not summarise_split([molecule(0.1, 0.9, 0)])["meets_goal"]
