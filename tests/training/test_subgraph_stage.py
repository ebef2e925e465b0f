"""The vector-field stage on molecules that are too large to be trained whole."""

import json
import subprocess
import sys

import pytest
import torch
from openmm import app, unit

from openmm_unisim.errors import ConfigError
from openmm_unisim.model.conditioned import ConditionedConfig
from openmm_unisim.training import vector_field
from openmm_unisim.training.batches import Batch, part_generator
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.subgraph import SubgraphPart
from openmm_unisim.training.vector_field import VectorFieldStage

from .interruption import assert_resumes_exactly

SMALL = ConditionedConfig(
    hidden=40,
    heads=4,
    layers=1,
    ffn=16,
    rbf=6,
    expand=2,
    edge_width=8,
    place_width=8,
    refine_layers=1,
    refine_rbf=6,
)


def config_of(*files, **changes) -> VectorFieldConfig:
    """ACE-A-NME (22 atoms) is large here, ACE-G-NME (19) isn't."""
    given = {
        "subgraph_atoms": 20,
        "environment_radius": 4.0,
        "gradient_radius": 2.5,
        "save_every": 2,
    } | changes
    return VectorFieldConfig(
        model=SMALL, lag_time=5.0, train_files=[str(f) for f in files], steps=4, parts=4, batch=3, compiled=False,
        validate_every=4, warmup=1, **given,
    )  # fmt: skip


def test_large_molecules_are_cut_and_small_ones_left_whole(walker, other_walker):
    stage = VectorFieldStage(config_of(walker, other_walker))
    parts = [stage.draw(part_generator(1, 0, k)) for k in range(12)]
    cuts = [part for part in parts if isinstance(part, SubgraphPart)]
    whole = [part for part in parts if isinstance(part, Batch)]
    assert cuts and whole and len(cuts) + len(whole) == 12
    assert {part.pair.start.shape for part in whole} == {(3, 19, 3)}
    for part in cuts:
        assert 0 < int((part.weights > 0).sum()) < len(part.atoms) < 22
        loss, weight = stage.loss(part)
        assert bool(loss.isfinite()) and weight == part.share and 1 < weight < 22
    assert len({part.share for part in cuts}) == 1
    again = stage.draw(part_generator(1, 0, parts.index(cuts[0])))
    assert torch.equal(again.positions, cuts[0].positions)


def test_none_is_cut_where_that_is_switched_off(walker):
    stage = VectorFieldStage(config_of(walker, subgraph_atoms=0))
    assert isinstance(stage.draw(part_generator(1, 0, 0)), Batch) and not stage.cutters
    assert VectorFieldStage(config_of(walker, subgraph_atoms=22)).cutters == {}


def test_a_run_with_cuts_resumes_exactly_and_validates_whole_molecules(walker, other_walker, tmp_path):
    config = config_of(other_walker, walker)
    parts = assert_resumes_exactly(VectorFieldStage, config, tmp_path)
    last = json.loads((tmp_path / "parts" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert 0 < last["valid"] < 100
    batch = parts.stage.validation[0]
    assert batch.pair.start.shape == (512, 22, 3)


def test_validation_of_large_molecules_takes_fewer_pairs(walker, monkeypatch):
    monkeypatch.setattr(vector_field, "VALIDATION_ATOMS", 22 * 50)
    monkeypatch.setattr(vector_field, "ATOMS_AT_ONCE", 22 * 7)
    stage = VectorFieldStage(config_of(walker))
    seen = []
    monkeypatch.setattr(stage, "fast", lambda model: lambda x, *rest: seen.append(len(x)) or (x, rest))
    stage.validate(stage.model)
    assert sum(seen) == 50 and max(seen) <= 7


def test_a_molecule_in_reach_of_every_cut_trains_as_if_whole(walker):
    """The environment is the molecule and so is the gradient region: the loss is the whole molecule's."""
    stage = VectorFieldStage(config_of(walker, environment_radius=100.0, gradient_radius=100.0))
    part = stage.draw(part_generator(1, 0, 0))
    assert part.share == 22 and torch.equal(part.atoms, torch.arange(22))
    torch.testing.assert_close(part.weights, torch.full((22,), 1 / 22))


def test_global_filters_are_refused_for_large_molecules_only(walker):
    filters = {"model": SMALL.model_copy(update={"filters": 2})}
    with pytest.raises(ConfigError, match=r"filters = 2.*subgraph_atoms = 0"):
        VectorFieldStage(config_of(walker).model_copy(update=filters))
    VectorFieldStage(config_of(walker, subgraph_atoms=0).model_copy(update=filters))


@pytest.mark.slow
@pytest.mark.parametrize("subgraph_atoms", [1000, 0], ids=["cut", "whole"])
def test_a_molecule_of_over_a_thousand_atoms_trains_within_two_gibibytes(tmp_path, subgraph_atoms):
    """Peak memory of `openmm-unisim train vector-field` at its default size, data and validation included."""
    from openmm_unisim.benchmark.speed.scaling_systems import molecule_of_size

    molecule = molecule_of_size(1200)
    structure, data = tmp_path / "protein.pdb", tmp_path / "protein.h5"
    with structure.open("w") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
    code = f"""
from pathlib import Path
from openmm_unisim.data.generate import GenerateConfig, generate
generate(GenerateConfig({str(structure)!r}, "vacuum", nanoseconds=0.001, frame_spacing=0.1, scramble_time=0.0,
                        equilibration_time=0.2), Path({str(data)!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    config = VectorFieldConfig(
        lag_time=0.2, train_files=[str(data)], steps=3, warmup=1, subgraph_atoms=subgraph_atoms, unlisted=True
    )
    settings = tmp_path / "config.json"
    settings.write_text(config.model_dump_json(), encoding="utf-8")
    code = f"""
import sys
from openmm_unisim.benchmark.speed.scaling_tasks import peak_memory
from openmm_unisim.cli.main import main
sys.argv = ["openmm-unisim", "train", "vector-field", {str(settings)!r}, "--output", {str(tmp_path / "run")!r}]
try:
    main()
finally:
    print("peak", peak_memory())
"""
    assert len(molecule.positions) > 1000
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (tmp_path / "run" / "run.safetensors").is_file()
    assert float(result.stdout.split("peak ")[-1]) < 2048, result.stdout
