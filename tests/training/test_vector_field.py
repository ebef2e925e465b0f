"""Training of the conditioned field: exact resume, time density, a loss that falls."""

import json
from pathlib import Path

import pytest
import torch

from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.errors import CheckpointError, NonFiniteError
from openmm_unisim.model.conditioned import ConditionedConfig
from openmm_unisim.training.config import TimeDensity, VectorFieldConfig
from openmm_unisim.training.losses import draw_times
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

from .interruption import assert_resumes_exactly

SMALL = ConditionedConfig(hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8)


def trainer_of(config: VectorFieldConfig, folder: Path, threads: int = 1) -> Trainer:
    return Trainer(VectorFieldStage, config, folder, threads)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> VectorFieldConfig:
    path = tmp_path_factory.mktemp("data") / "walker.h5"
    generate(GenerateConfig("ACE-ALA-NME", nanoseconds=0.06, scramble_time=2.0, equilibration_time=2.0), path)
    return VectorFieldConfig(
        model=SMALL, lag_time=5.0, train_files=[str(path)], steps=12, batch=4, compiled=False, save_every=6,
        validate_every=12, warmup=2,
    )  # fmt: skip


def test_interrupted_run_equals_an_uninterrupted_one(config, tmp_path):
    assert_resumes_exactly(VectorFieldStage, config, tmp_path)
    lines = [
        json.loads(line)
        for line in (tmp_path / "parts" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in lines] == [6, 12] and "valid_end" in lines[-1]
    record = json.loads((tmp_path / "parts" / "record.json").read_text(encoding="utf-8"))
    assert record["data"] and record["provenance"]["commit"] and record["protocol"]["environment"] == "obc2"


def test_resume_refuses_other_settings_and_leaves_finished_runs(config, tmp_path):
    trainer_of(config, tmp_path).run()
    entries: list[dict] = []
    finished = trainer_of(config, tmp_path)
    finished.run(entries.append)
    assert finished.step == 12 and not entries
    with pytest.raises(CheckpointError, match="batch"):
        trainer_of(config.model_copy(update={"batch": 5, "steps": 20}), tmp_path)
    (tmp_path / "run.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="can't be read"):
        trainer_of(config, tmp_path)


def test_a_run_starts_from_the_averaged_weights_of_another(config, tmp_path):
    trainer_of(config, tmp_path / "first").run()
    first = trainer_of(config, tmp_path / "first")
    larger = config.model_copy(
        update={
            "model": SMALL.model_copy(update={"filters": 3, "refine_layers": 1}),
            "start_from": str(tmp_path / "first" / "run.safetensors"),
        }
    )
    second = trainer_of(larger, tmp_path / "second")
    for name, value in first.ema.items():
        assert torch.equal(second.model.state_dict()[name], value), name
        assert torch.equal(second.ema[name], value), name
    record = json.loads((tmp_path / "second" / "record.json").read_text(encoding="utf-8"))
    assert len(record["started_from"]) == 64
    assert {name.split(".")[0] for name in record["weights_from_scratch"]} == {"filters", "refinement"}
    second.run()
    resumed = trainer_of(larger, tmp_path / "second")  # its own state, not the other run's, from now on
    assert resumed.step == 12 and torch.equal(resumed.ema["head.second.bias"], second.ema["head.second.bias"])
    with pytest.raises(CheckpointError, match="no training checkpoint"):
        trainer_of(config.model_copy(update={"start_from": "/nope"}), tmp_path / "third")


def test_the_ends_of_the_time_axis_have_their_own_shortest_times():
    density = TimeDensity(uniform=0, start=0.5, end=0.5, shortest=0.01, shortest_end=0.001, exactly_zero=0)
    t = draw_times(20_000, density, torch.Generator().manual_seed(0))
    assert 0.0099 < float(t.min()) < 0.0102 and 0.00099 < 1 - float(t.max()) < 0.00102


def test_a_run_from_before_a_setting_existed_resumes(config, tmp_path):
    from openmm_unisim.training.run_state import save_run

    trainer = trainer_of(config, tmp_path)
    trainer.run()
    del trainer.record["config"]["start_from"], trainer.record["config"]["times"]["shortest_end"]
    state = (trainer.state_path, trainer.model, trainer.ema, trainer.optimiser)
    save_run(*state, trainer.step, trainer.record)
    assert trainer_of(config, tmp_path).step == 12
    other = config.model_copy(update={"times": TimeDensity(shortest_end=0.01)})
    with pytest.raises(CheckpointError, match="times"):
        trainer_of(other, tmp_path)


def test_times_are_dense_at_both_ends():
    t = draw_times(20_000, TimeDensity(), torch.Generator().manual_seed(0))
    assert ((t >= 0) & (t < 1)).all()
    assert float((t < 0.01).float().mean()) > 0.15 and float((t > 0.99).float().mean()) > 0.15
    assert 0.005 < float((t == 0).float().mean()) < 0.04
    assert float(t.max()) <= 1 - 9e-5


def test_loss_falls(config, tmp_path):
    longer = config.model_copy(
        update={"steps": 80, "save_every": 20, "validate_every": 80, "learning_rate": 3e-3}
    )
    losses = []
    trainer_of(longer, tmp_path).run(lambda entry: losses.append(entry["loss"]))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path, monkeypatch, value):
    trainer = trainer_of(config, tmp_path)
    weight = next(trainer.model.parameters())
    monkeypatch.setattr(trainer.stage, "loss", lambda part: (weight.sum() * 0 + value, 1.0))
    before = weight.detach().clone()
    with pytest.raises(NonFiniteError, match=f"loss is {value}.* at step 0; no checkpoint was saved"):
        trainer.train_step()
    assert torch.equal(weight, before) and trainer.step == 0


def test_two_threads_repeat_exactly_and_agree_with_one(config, tmp_path):
    """The reference-length loss sees means over a part of the batch: same gradient, another constant."""
    short = config.model_copy(update={"steps": 3})
    weights = []
    for name, threads in (("one", 1), ("two", 2), ("again", 2)):
        trainer = trainer_of(short, tmp_path / name, threads)
        trainer.run()
        weights.append(trainer.model.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=2e-3, atol=2e-4)
        assert torch.equal(weights[1][name], weights[2][name]), name


def test_the_plain_layers_and_the_operators_train_alike(config, tmp_path):
    gradients = []
    for fused in (False, True):
        trainer = trainer_of(config.model_copy(update={"fused": fused}), tmp_path / str(fused))
        trainer.gradients(trainer.parts.of_step(0))
        gradients.append([parameter.grad for parameter in trainer.model.parameters()])
    for one, two in zip(*gradients):
        assert float((one - two).abs().max()) <= 1e-4 * float(one.abs().max())
