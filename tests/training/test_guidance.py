"""The guidance kernel as a stage of training, and its way into a model file."""

import json
from pathlib import Path

import pytest
import torch

from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.errors import CheckpointError, ConfigError
from openmm_unisim.export.conditioned import (
    export_conditioned,
    load_conditioned,
    load_kernel,
    save_conditioned,
)
from openmm_unisim.model.conditioned import TIME_CENTRES, ConditionedConfig, ConditionedField
from openmm_unisim.model.spread import SpreadHead
from openmm_unisim.training.guidance import GuidanceStage, write_kernel
from openmm_unisim.training.guidance_config import GuidanceConfig
from openmm_unisim.training.trainer import Trainer

from .interruption import assert_resumes_exactly

SMALL = ConditionedConfig(
    hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8, displacement=0.4
)
PROTOCOL = {
    "name": "ACE-A-NME", "environment": "vacuum", "force_field": "ff14SB", "temperature_K": 300.0,
    "friction_per_ps": 1.0, "hydrogen_mass_Da": 4.0, "atomic_numbers": [1, 6, 7, 8],
}  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> GuidanceConfig:
    folder = tmp_path_factory.mktemp("guidance")
    walker = GenerateConfig(
        "ACE-ALA-NME", "vacuum", nanoseconds=0.06, scramble_time=2.0, equilibration_time=2.0
    )
    generate(walker, folder / "walker.h5")
    field = ConditionedField(SMALL, torch.Generator().manual_seed(1))
    spread = SpreadHead(SMALL.place_width, TIME_CENTRES, generator=torch.Generator().manual_seed(3))
    save_conditioned(folder / "base.safetensors", field, spread, SMALL, 5.0, PROTOCOL, {"data": {}})
    return GuidanceConfig(
        base=str(folder / "base.safetensors"), train_files=[str(folder / "walker.h5")], steps=12, batch=4,
        save_every=6, validate_every=12, warmup=2,
    )  # fmt: skip


def test_interrupted_run_equals_an_uninterrupted_one(config, tmp_path):
    assert_resumes_exactly(GuidanceStage, config, tmp_path)
    record = json.loads((tmp_path / "parts" / "record.json").read_text(encoding="utf-8"))["guidance"]
    assert 0.5 <= record["alpha"] <= 1.0 and record["environment"] == "obc2" and record["lag_time"] == 5.0
    assert 0 < record["effective_share"] < 1 and record["clipped_share"] == 0 and record["pairs"] == 110
    last = json.loads((tmp_path / "parts" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert {"valid", "valid_unguided", "gain_start", "gain_early", "gain_late"} < last.keys()


def test_the_kernel_starts_as_no_guidance_and_the_base_stays(config):
    stage = GuidanceStage(config)
    part = stage.draw(torch.Generator().manual_seed(0))
    loss, weight = stage.loss(part)
    assert abs(float(loss.detach())) < 1e-5 and weight == 4 * 22
    torch.optim.SGD(stage.model.parameters(), 0.1).zero_grad()
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in stage.model.parameters() if p.grad is not None) > 0
    assert all(p.grad is None and not p.requires_grad for p in stage.base.parameters())
    halves = part.split(2)
    assert [len(h.t) for h in halves] == [2, 2] and torch.equal(halves[1].weight, part.weight[2:])


def test_plain_layers_and_operators_give_the_same_gradient(config):
    gradients = []
    for fused in (False, True):
        stage = GuidanceStage(config.model_copy(update={"fused": fused, "baseline": 0.0}))
        stage.loss(stage.draw(torch.Generator().manual_seed(0)))[0].backward()
        gradients.append([p.grad for p in stage.model.parameters() if p.grad is not None])
    for one, two in zip(*gradients):
        assert float((one - two).abs().max()) <= 1e-4 * float(one.abs().max()) + 1e-8


def test_a_given_strength_and_a_clip_are_recorded(config):
    found = GuidanceStage(config.model_copy(update={"alpha": 0.3, "clip": 2.0})).record["guidance"]
    assert found["alpha"] == 0.3 and 0 < found["clipped_share"] < 0.5


def test_data_of_another_protocol_are_refused(config, tmp_path):
    field, spread, extra = load_conditioned(config.base)
    other = extra["protocol"] | {"environment": "obc2"}
    save_conditioned(tmp_path / "other.safetensors", field, spread, SMALL, 5.0, other, {"data": {}})
    with pytest.raises(ConfigError, match="environment = 'vacuum', not 'obc2'"):
        GuidanceStage(config.model_copy(update={"base": str(tmp_path / "other.safetensors")}))
    with pytest.raises(ConfigError, match="nothing to learn between"):
        GuidanceStage(config.model_copy(update={"environment": "vacuum"}))


def test_the_lag_is_one_of_the_base(config, tmp_path):
    field, spread, extra = load_conditioned(config.base)
    path = tmp_path / "two.safetensors"
    save_conditioned(path, field, spread, SMALL, (2.0, 5.0), extra["protocol"], {"data": {}})
    two = config.model_copy(update={"base": str(path)})
    with pytest.raises(ConfigError, match="choose one of 2, 5"):
        GuidanceStage(two)
    assert GuidanceStage(two.model_copy(update={"lag_time": 2.0})).record["guidance"]["lag_time"] == 2.0


def test_the_kernel_goes_with_its_base_only(config, tmp_path):
    Trainer(GuidanceStage, config, tmp_path / "run").run()
    assert "12 steps, to obc2, alpha" in write_kernel(tmp_path / "run")
    field, spread, _ = load_conditioned(config.base)
    save_conditioned(tmp_path / "slower.safetensors", field, spread, SMALL, 10.0, PROTOCOL, {"data": {}})
    with pytest.raises(ConfigError, match=r"wasn.t trained for a lag of 5 ps"):
        export_conditioned(
            tmp_path / "slower.safetensors", tmp_path / "x.unisim.pt",
            guidance=tmp_path / "run" / "kernel.safetensors",
        )  # fmt: skip
    kernel, guidance = load_kernel(tmp_path / "run" / "kernel.safetensors", field)
    assert guidance["environment"] == "obc2" and not torch.equal(
        kernel.head.second.weight, field.head.second.weight
    )
    with torch.no_grad():
        field.head.second.weight.mul_(1.1)
    save_conditioned(tmp_path / "other.safetensors", field, spread, SMALL, 5.0, PROTOCOL, {"data": {}})
    with pytest.raises(CheckpointError, match="trained beside another field"):
        export_conditioned(
            tmp_path / "other.safetensors", tmp_path / "x.unisim.pt",
            guidance=tmp_path / "run" / "kernel.safetensors",
        )  # fmt: skip
    with pytest.raises(CheckpointError, match="not 'conditioned_kernel'"):
        load_kernel(config.base, field)


def test_constraints_are_part_of_the_protocol(config, tmp_path):
    field, spread, extra = load_conditioned(config.base)
    other = extra["protocol"] | {"constraints": "h-bonds"}
    save_conditioned(tmp_path / "other.safetensors", field, spread, SMALL, 5.0, other, {"data": {}})
    with pytest.raises(ConfigError, match=r"constraints = .*, not 'h-bonds'"):
        GuidanceStage(config.model_copy(update={"base": str(tmp_path / "other.safetensors")}))


def test_a_run_stays_with_its_base_and_says_that_few_pairs_count(config, tmp_path):
    path = tmp_path / "base.safetensors"
    path.write_bytes(Path(config.base).read_bytes())
    own = config.model_copy(update={"base": str(path), "steps": 1})
    trainer = Trainer(GuidanceStage, own, tmp_path / "run")
    assert "of 110 pairs only" in trainer.stage.notes[0]
    trainer.run()
    field, spread, extra = load_conditioned(path)
    with torch.no_grad():
        field.head.second.weight.mul_(1.1)
    save_conditioned(path, field, spread, SMALL, 5.0, extra["protocol"], {"data": {}})
    with pytest.raises(CheckpointError, match="restore that base"):
        Trainer(GuidanceStage, own.model_copy(update={"steps": 2}), tmp_path / "run")
