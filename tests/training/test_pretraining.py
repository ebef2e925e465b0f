"""Multi-head pretraining: data by head, scales, exact resume, a loss that falls, hand-over to the vector field."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from openmm_unisim.data import archive, label_file
from openmm_unisim.data.off_equilibrium import FrameBlock
from openmm_unisim.data.stretches import read_stretches
from openmm_unisim.errors import ConfigError, DataError
from openmm_unisim.model.config import PublishedConfig, TrunkConfig
from openmm_unisim.model.published_energies import PublishedEnergies
from openmm_unisim.model.representation import RepresentationModel
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.frame_set import FrameSet
from openmm_unisim.training.pretrain_config import PretrainConfig
from openmm_unisim.training.pretraining import PretrainStage
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

from ..conditioned_models import CONFIG
from .interruption import assert_resumes_exactly

ATOMS, BONDS = [6, 1, 1, 1, 1], [[0, 1], [0, 2], [0, 3], [0, 4]]
CORNERS = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.109 / 3**0.5


def write_labels(folder: Path, name: str, sources: dict[str, float], frames: int = 24) -> str:
    """A label file of a methane whose C-H bonds are springs, of another constant for each source."""
    path = folder / f"{name}.labels.h5"
    label_file.create(
        path, {"name": name, "atomic_numbers": ATOMS, "bonds": BONDS, "frames": {}, "force_field": ""}
    )
    x = CORNERS + 0.006 * np.random.default_rng(7).standard_normal((frames, 5, 3))
    label_file.append_frames(path, FrameBlock(x.astype("f4"), np.full(frames, 300.0), np.zeros(frames)))
    arms = x[:, 1:] - x[:, :1]
    length = np.linalg.norm(arms, axis=-1, keepdims=True)
    for source, constant in sources.items():
        pull = constant * (length - 0.109) * arms / length  # kJ/mol/nm on the carbon
        forces = np.concatenate([pull.sum(1, keepdims=True), -pull], 1)
        label_file.append_labels(path, source, "springs", (np.zeros(frames), forces))
    return str(path)


@pytest.fixture
def config(tmp_path, walker) -> PretrainConfig:
    train = write_labels(tmp_path, "methane", {"mmff94": 2e5, "gfn2-xtb": 3e5})
    held = write_labels(tmp_path, "butanol", {"mmff94": 2e5})
    return PretrainConfig(
        model=CONFIG, heads=("mmff94", "gfn2-xtb", "denoising"), label_files=(train,), valid_label_files=(held,),
        frame_files=(str(walker),), atom_budget=40, steps=6, parts=3, save_every=3, validate_every=6, warmup=2,
        ema_decay=0.5,
    )  # fmt: skip


def test_frames_are_sorted_by_head_scaled_and_held_out(config, walker):
    stage = PretrainStage(config)
    counts = {head: [len(f.positions) for f in group] for head, group in stage.training.by_head.items()}
    assert counts == {"mmff94": [20], "gfn2-xtb": [20], "denoising": [60]}
    scales = stage.record["scales_kJ_per_mol_nm"]
    assert scales["gfn2-xtb"] == pytest.approx(1.5 * scales["mmff94"], rel=1e-5)
    forces = stage.training.by_head["gfn2-xtb"][0].forces
    assert float(forces.square().mean()) == pytest.approx(1.0, rel=1e-5)
    assert len(stage.judges["frames"].by_head["mmff94"][0].positions) == 4
    assert stage.judges["molecules"].names == ["butanol"]
    assert set(stage.record["data"]) == {"methane.labels.h5", "butanol.labels.h5", Path(walker).name}


def test_an_archive_that_begins_with_restarts_gives_its_equilibrium_frames(walker, tmp_path):
    stretch = read_stretches(walker)[0]
    attributes = stretch.attributes | {"reversible": False}  # as `archive.write` takes it from the first file
    path = tmp_path / "mixed.h5"
    archive.write_frames(path, [stretch.positions[:20], stretch.positions], [False, True], attributes)
    found = FrameSet.load_equilibrium([str(path)], "denoising", 100)
    assert [len(frames.positions) for frames in found.by_head["denoising"]] == [60]
    archive.write_frames(path, [stretch.positions], [False], attributes)
    assert not FrameSet.load_equilibrium([str(path)], "denoising", 100).by_head["denoising"]


def test_held_out_files_are_left_out_however_they_are_spelt(config, walker, tmp_path, monkeypatch):
    train, held = config.label_files[0], config.valid_label_files[0]
    copy = tmp_path / "copy.h5"
    copy.write_bytes(Path(walker).read_bytes())
    monkeypatch.chdir(tmp_path)
    labels = FrameSet.load([train, held], ["mmff94"], [f"./{Path(held).name}"])
    assert labels.names == ["methane"] and set(labels.hashes) == {Path(train).name}
    assert not FrameSet.load_equilibrium([str(walker)], "denoising", 9, ["copy.h5"]).by_head["denoising"]
    with pytest.raises(DataError, match="absent"):
        FrameSet.load([train], ["mmff94"], ["absent.h5"])


def test_parts_hold_one_head_one_molecule_one_end_of_time_and_unit_noise(config):
    stage = PretrainStage(config)
    drawn = [stage.draw(torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert {part.head for part in drawn} == {"mmff94", "gfn2-xtb", "denoising"}
    assert {float(part.t[0]) for part in drawn} == {0.0, 1.0} and all(
        len(set(p.t.tolist())) == 1 for p in drawn
    )
    for part in drawn:
        assert part.positions.shape[0] == (8 if part.head != "denoising" else 1)
        if part.clean is not None:
            torch.testing.assert_close(part.positions, part.clean - 0.04 * part.targets)
    noise = torch.cat([part.targets.flatten() for part in drawn if part.clean is not None])
    assert 0.85 < float(noise.square().mean()) < 1.1
    share = config.model_copy(update={"shares": {"mmff94": 1e6}})
    assert PretrainStage(share).draw(torch.Generator().manual_seed(0)).head == "mmff94"


def test_interrupted_run_equals_an_uninterrupted_one_and_a_field_starts_from_it(config, tmp_path, walker):
    parts = assert_resumes_exactly(PretrainStage, config, tmp_path)
    last = json.loads((tmp_path / "parts" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["molecules/mmff94_rmse"] == pytest.approx(last["valid"] * last["molecules/mmff94_rms"])
    assert {"frames/gfn2-xtb", "frames/gfn2-xtb_rmse"} <= last.keys()
    field = VectorFieldConfig(
        model=CONFIG,
        lag_time=5.0,
        train_files=[str(walker)],
        start_from=str(tmp_path / "whole" / "run.safetensors"),
    )
    run = Trainer(VectorFieldStage, field, tmp_path / "field")
    assert run.record["weights_from_scratch"] == []
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, parts.ema[name]), name


def test_springs_are_learned(config, tmp_path):
    longer = config.model_copy(
        update={
            "steps": 60,
            "heads": ("mmff94",),
            "learning_rate": 5e-3,
            "parts": 1,
            "save_every": 60,
            "validate_every": 60,
        }
    )
    run = Trainer(PretrainStage, longer, tmp_path / "run")
    before = run.validate()["valid"]
    run.run()
    assert run.validate()["valid"] < 0.8 * before


def test_both_ways_of_differentiating_agree(config):
    stages = [PretrainStage(config.model_copy(update={"derivatives": d})) for d in ("differences", "exact")]
    part = stages[0].draw(torch.Generator().manual_seed(3))
    gradients = []
    for stage in stages:
        wanted = [w for w in stage.model.parameters() if w.requires_grad]
        loss, weight = stage.loss(part)
        assert weight == part.positions[..., 0].numel()
        found = torch.autograd.grad(loss, wanted, materialize_grads=True)
        gradients.append(torch.cat([g.flatten() for g in found]))
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < 0.02


def test_molecules_that_judge_are_refused_and_absent_data_named(config, tmp_path):
    for name, message in (("butanol", "is valid, not train"), ("ACE-I-NME", "unlisted")):
        wrong = write_labels(tmp_path, name, {"mmff94": 1e5})
        with pytest.raises(DataError, match=message):
            PretrainStage(config.model_copy(update={"label_files": (wrong,), "valid_label_files": ()}))
    test = write_labels(tmp_path, "aspirin", {"mmff94": 1e5})
    with pytest.raises(DataError, match="test molecule"):
        PretrainStage(config.model_copy(update={"valid_label_files": (test,)}))
    with pytest.raises(DataError, match="gaff2-obc2"):
        PretrainStage(config.model_copy(update={"heads": ("mmff94", "gaff2-obc2")}))
    judged = write_labels(tmp_path, "propanal", {"gaff2-obc2": 2e5})
    with pytest.raises(DataError, match="no training data for the head 'gaff2-obc2'"):
        PretrainStage(
            config.model_copy(update={"heads": ("mmff94", "gaff2-obc2"), "valid_label_files": (judged,)})
        )
    with pytest.raises(ValueError, match="unknown"):
        PretrainConfig(heads=("dft",))
    with pytest.raises(ValueError, match="share"):
        PretrainConfig(shares={"mmff94": 0.0})


def test_the_published_form_is_pretrained_under_its_own_names(config, tmp_path):
    sizes = TrunkConfig(hidden=16, heads=2, layers=1, ffn=8, rbf=6, expand=2)
    published = PublishedConfig(trunk=sizes)
    run = Trainer(
        PretrainStage,
        config.model_copy(update={"published": published, "derivatives": "exact", "steps": 2}),
        tmp_path / "run",
    )
    run.run()
    assert run.model.state_dict().keys() == RepresentationModel(published).state_dict().keys()
    assert run.validate()["molecules/mmff94"] > 0
    with pytest.raises(ValueError, match="exact"):
        PretrainConfig(published=published)
    with pytest.raises(ConfigError, match="energy_heads"):
        PublishedEnergies(published, ["a"] * 5)
