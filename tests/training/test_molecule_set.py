"""Many molecules in one training run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from openmm_unisim.data.generate import GenerateConfig, generate
from openmm_unisim.data.pairs import PairSource
from openmm_unisim.errors import ConfigError, DataError
from openmm_unisim.model.conditioned import ConditionedConfig
from openmm_unisim.training.batches import part_generator
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.molecule_set import MoleculeSet, expand
from openmm_unisim.training.trainer import Trainer
from openmm_unisim.training.vector_field import VectorFieldStage

from .interruption import assert_resumes_exactly

SMALL = ConditionedConfig(hidden=40, heads=4, layers=1, ffn=16, rbf=6, expand=2, edge_width=8, place_width=8)


def config_of(*files, **changes) -> VectorFieldConfig:
    settings = {
        "model": SMALL, "lag_time": 5.0, "train_files": [str(file) for file in files], "steps": 4, "batch": 4,
        "parts": 2, "save_every": 2, "validate_every": 4, "warmup": 2,
    }  # fmt: skip
    return VectorFieldConfig(**settings | changes)


def test_files_are_sorted_by_molecule(walker, other_walker):
    molecules = MoleculeSet.load([str(other_walker), str(walker)], [5.0])
    assert [molecule.name for molecule in molecules] == ["ACE-A-NME", "ACE-G-NME"]
    assert [molecule.n_atoms for molecule in molecules] == [22, 19]
    protocol = molecules.protocol
    assert protocol["molecules"] == ["ACE-A-NME", "ACE-G-NME"] and protocol["atomic_numbers"] == [1, 6, 7, 8]
    assert MoleculeSet.load([str(walker)], [5.0]).protocol["name"] == "ACE-A-NME"
    assert set(molecules.hashes) == {"walker.h5", "other.h5"}


def test_patterns_name_files(walker, tmp_path):
    assert expand([str(walker.parent / "*.h5"), str(walker)]) == [str(walker)]
    odd = tmp_path / "fg[1].h5"
    odd.touch()
    (tmp_path / "fg1.h5").touch()
    assert expand([str(odd)]) == [str(odd)]
    with pytest.raises(DataError, match="No file matches"):
        expand([str(tmp_path / "*.xtc")])


def test_parts_draw_molecules_and_lags_within_the_atom_budget(walker, other_walker):
    config = config_of(walker, other_walker, lag_times=[5.0, 10.0], batch=100, atom_budget=60)
    stage = VectorFieldStage(config)
    seen = set()
    for part in range(40):
        batch = stage.draw(part_generator(1, 0, part))
        atoms = stage.molecules[batch.molecule].n_atoms
        assert batch.pair.start.shape == (60 // atoms, atoms, 3)
        seen.add((batch.molecule, batch.lag_time))
    assert seen == {(0, 5.0), (0, 10.0), (1, 5.0), (1, 10.0)}
    figures = stage.validate(stage.model)
    assert {"valid", "valid_lag_5", "valid_lag_10"} <= set(figures)
    single = VectorFieldStage(
        config_of(walker, valid_lag_times=[5.0, 10.0])
    )  # the same pairs, trained on one lag
    assert {part.lag_time for part in single.validation} == {5.0, 10.0} and single.config.lags == (5.0,)


def test_molecules_are_drawn_by_their_size(walker, other_walker):
    stage = VectorFieldStage(config_of(walker, other_walker, size_exponent=2.0))
    sizes = np.array([molecule.n_atoms for molecule in stage.molecules])
    generator = torch.Generator().manual_seed(3)
    drawn = np.bincount([stage._molecule(generator) for _ in range(2000)], minlength=2)
    share = sizes[0] ** 2 / (sizes**2).sum()
    assert sizes[0] != sizes[1] and abs(drawn[0] / 2000 - share) < 5 * np.sqrt(share * (1 - share) / 2000)


def test_a_mixed_run_resumes_exactly(walker, other_walker, tmp_path):
    config = config_of(walker, other_walker)
    assert_resumes_exactly(VectorFieldStage, config, tmp_path)
    record = json.loads((tmp_path / "parts" / "record.json").read_text(encoding="utf-8"))
    assert record["protocol"]["name"] == "2 molecules" and len(record["data"]) == 2


def test_a_file_that_trains_and_judges_is_refused(tmp_path, walker, other_walker):
    copied = tmp_path / "another_name.h5"
    copied.write_bytes(Path(walker).read_bytes())
    with pytest.raises(DataError, match="of valid_files is"):
        VectorFieldStage(config_of(walker, other_walker, valid_files=[str(copied)]))


def test_files_of_one_name_keep_their_own_hashes(tmp_path, walker):
    (tmp_path / Path(walker).name).write_bytes(Path(walker).read_bytes())
    source = PairSource.load([walker, tmp_path / Path(walker).name])
    assert len(source.hashes) == 2


def test_molecules_that_judge_are_refused(tmp_path, walker):
    test = tmp_path / "test.h5"
    short = {"nanoseconds": 0.02, "scramble_time": 1.0, "equilibration_time": 1.0}
    generate(GenerateConfig("ACE-ALA-SER-NME", **short), test)
    with pytest.raises(DataError, match="'ACE-AS-NME' is test"):
        VectorFieldStage(config_of(test))
    with pytest.raises(DataError, match="test molecule, not to steer"):
        VectorFieldStage(config_of(walker, valid_files=[str(test)]))
    assert VectorFieldStage(config_of(test, unlisted=True, valid_files=[str(walker)])).molecules


def test_protocols_do_not_mix(walker, tmp_path):
    vacuum = tmp_path / "vacuum.h5"
    short = {"nanoseconds": 0.02, "scramble_time": 1.0, "equilibration_time": 1.0}
    generate(GenerateConfig("ACE-GLY-NME", "vacuum", **short), vacuum)
    with pytest.raises(DataError, match=r"has environment = '\w+' and '\S+' '\w+'"):
        VectorFieldStage(config_of(walker, vacuum))


def test_a_lag_longer_than_every_walker_is_refused(walker):
    with pytest.raises(DataError, match="shorter than the lag of 80"):
        VectorFieldStage(config_of(walker, lag_time=80.0))


def test_tensorboard_shows_what_the_log_does(walker, tmp_path):
    Trainer(VectorFieldStage, config_of(walker), tmp_path, tensorboard=True).run()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload()
    assert [entry.step for entry in events.Scalars("loss")] == [2, 4]
    assert {"valid", "rate"} <= set(events.Tags()["scalars"])


def test_tensorboard_absent_is_named(walker, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        Trainer(VectorFieldStage, config_of(walker), tmp_path, tensorboard=True)
