"""The scripts that rebuild shipped weights: they parse, name what exists, and go on where they were stopped."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from openmm_unisim.data.plan import DataPlan
from openmm_unisim.pretrained.registry import FOLDER, registered_models
from openmm_unisim.training.config import VectorFieldConfig
from openmm_unisim.training.guidance_config import GuidanceConfig

RECIPES = sorted(FOLDER.glob("*/rebuild.sh"))
CONFIGURATIONS = {"vector-field": VectorFieldConfig, "guidance": GuidanceConfig, "plan": DataPlan}
LIMIT = 30_000_000  # bytes of everything shipped
FAKE = """#!/bin/bash
echo "$(basename "$0") $*" >> commands.log
if [ "$1 $2" = "train vector-field" ] && [ -e stop ]; then rm stop; exit 3; fi
while [ $# -gt 0 ]; do
    if [ "$1" = --output ]; then
        case "$2" in
            *.safetensors) echo weights > "$2" ;;
            *.pt) echo model > "$2"; echo digest > "$2.sha256" ;;
            *) mkdir -p "$2" ;;
        esac
    fi
    shift
done
"""


def test_shipped_files_stay_below_their_limit():
    sizes = {path: path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < LIMIT


def test_every_shipped_model_has_a_recipe_and_weights():
    for model in registered_models().values():
        assert model.path.parent / "rebuild.sh" in RECIPES
        assert model.weights is not None and model.weights.is_file()


@pytest.mark.parametrize("script", [FOLDER / "recipe.sh", *RECIPES], ids=lambda path: path.parent.name)
def test_scripts_parse(script: Path):
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("script", RECIPES, ids=lambda path: path.parent.name)
def test_recipes_name_what_exists_and_what_they_made(script: Path):
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK) and text.rstrip().endswith("once register register")
    for name in re.findall(r'"\$HERE/([^"]+\.json)"', text):
        content = (script.parent / name).read_text(encoding="utf-8")
        CONFIGURATIONS[json.loads(content).get("kind", "plan")].model_validate_json(content)
    for name in re.findall(r"(?<![\w/$])(?:openmm_unisim|tools|data|checkpoints)/[\w./-]+", text):
        assert (FOLDER.parents[1] / name).exists(), name
    made: set[str] = set()
    for line in (line for line in text.splitlines() if line.startswith("once ")):
        used = set(re.findall(r'"\$RUNS/([^"]+)"', line))
        output = re.search(r'(?:--output| cp "\S+") "\$RUNS/([^"]+)"', line)
        used -= {output[1]} if output else set()
        assert all(any(name == path or name.startswith(path + "/") for path in made) for name in used), line
        made |= {output[1]} if output else set()


def test_a_stopped_recipe_goes_on(tmp_path: Path):
    shutil.copytree(FOLDER / "ala2", tmp_path / "openmm_unisim/pretrained/ala2")
    shutil.copy(FOLDER / "recipe.sh", tmp_path / "openmm_unisim/pretrained")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("openmm-unisim", "python"):
        (programs / name).write_text(FAKE, encoding="utf-8")
        (programs / name).chmod(0o755)
    (tmp_path / "stop").touch()

    def run() -> tuple[int, list[str]]:
        log = tmp_path / "commands.log"
        log.write_text("", encoding="utf-8")
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", str(tmp_path / "openmm_unisim/pretrained/ala2/rebuild.sh")],
            env=environment,
            capture_output=True,
        )
        return done.returncode, log.read_text(encoding="utf-8").splitlines()

    status, commands = run()
    assert status == 3 and len(commands) == 2 and commands[0].startswith("openmm-unisim generate ACE-ALA-NME")
    status, commands = run()
    assert status == 0 and [line.split()[1] for line in commands] == [
        *["train"] * 4,
        "calibrate",
        "export",
        "tools/register_model.py",
    ]
    assert commands[1].endswith("--start-from runs/weights/ala2/1/run.safetensors")
    assert (tmp_path / "openmm_unisim/pretrained/ala2/weights.safetensors").read_text(
        encoding="utf-8"
    ) == "weights\n"
    assert run() == (0, [])
