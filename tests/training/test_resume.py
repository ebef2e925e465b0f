"""What a continued run may not have otherwise, and what else stands beside a run in its folder."""

import json
import shutil
from pathlib import Path

import h5py
import pytest

from openmm_unisim.errors import CheckpointError, DataError
from openmm_unisim.model.conditioned import ConditionedConfig
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

SMALL = ConditionedConfig(hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8)


def trainer_of(config: VectorFieldConfig, folder: Path) -> Trainer:
    return Trainer(VectorFieldStage, config, folder)


def changed(config: VectorFieldConfig, **settings: object) -> VectorFieldConfig:
    return config.model_copy(update=settings)


@pytest.fixture
def config(walker) -> VectorFieldConfig:
    return VectorFieldConfig(
        model=SMALL, lag_time=5.0, train_files=[str(walker)], steps=1, batch=2, compiled=False, warmup=1
    )


@pytest.fixture
def warmer(walker, tmp_path) -> str:
    """The walker, said to be of 310 K."""
    path = tmp_path / "warmer.h5"
    shutil.copy(walker, path)
    with h5py.File(path, "r+") as file:
        file.attrs["metadata"] = json.dumps(json.loads(file.attrs["metadata"]) | {"temperature_K": 310.0})
    return str(path)


def test_a_run_keeps_its_protocol_and_judges_by_the_same(config, warmer, tmp_path):
    trainer_of(config, tmp_path / "run").run()
    with pytest.raises(CheckpointError, match=r"temperature_K = 300.0, not 310.0"):
        trainer_of(changed(config, train_files=[warmer], steps=2), tmp_path / "run")
    with pytest.raises(
        DataError, match=r"held-out files of 'ACE-A-NME' have temperature_K = 310.0, not 300.0"
    ):
        trainer_of(changed(config, valid_files=[warmer]), tmp_path / "other")


def test_a_run_keeps_its_network(config, tmp_path):
    trainer_of(config, tmp_path).run()
    larger = changed(config, steps=2, model=SMALL.model_copy(update={"hidden": 48}))
    with pytest.raises(CheckpointError, match=r"model\.hidden = 40, not 48"):
        trainer_of(larger, tmp_path)
    another = SMALL.model_copy(update={"displacement": 7.0})  # measured anyway
    assert trainer_of(changed(config, steps=2, model=another), tmp_path).step == 1
