"""Every error that a newcomer meets is one sentence of cause and cure, exit status 2, no traceback."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from openmm import app, unit
from typer.testing import CliRunner

from openmm_unisim.cli.main import app as program
from openmm_unisim.errors import ConfigError
from openmm_unisim.system import load_molecule
from tests.toy_models import write_toy

METADATA = {"environment": "vacuum", "masses": "hydrogen 4 Da", "friction": 1.0}
FAST = ["--jumps", "2", "--thermalise", "0", "--md-timing", "0", "--no-report", "--platform", "Reference"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "toy.unisim.pt"
    return write_toy(path, "constant", metadata=METADATA, sigma=0.0005)


@pytest.fixture(scope="module")
def pdb_lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Alanine dipeptide as a PDB file."""
    molecule = load_molecule("ACE-ALA-NME")
    path = tmp_path_factory.mktemp("pdb") / "ala2.pdb"
    with open(path, "w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def complaint(tmp_path: Path, model: Path) -> Callable[..., str]:
    """Runs `simulate` with changes and returns the sentence it ends with."""

    def run(
        *changes: str, source: str | Path = "ACE-ALA-NME", file: Path = model, output: Path | None = None
    ) -> str:
        output = output or tmp_path / "run"
        arguments = [str(source), "--model", str(file), "--output", str(output), *FAST, *changes]
        result = CliRunner().invoke(program, ["simulate", *arguments])
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        sentence = result.stderr.strip()
        assert sentence.startswith("Error: ") and "\n" not in sentence and "Traceback" not in sentence
        return sentence.removeprefix("Error: ")

    return run


def write_pdb(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_unknown_element(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    lines = [line[:76] + "Se" + line[78:] if line[12:16].strip() == "CB" else line for line in pdb_lines]
    sentence = complaint(source=write_pdb(tmp_path / "se.pdb", lines))
    assert (
        "element Se, which this model does not know" in sentence and "use a model trained on it" in sentence
    )


def test_atom_without_an_element(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    lines = [line[:12] + " X1 " + line[16:76] + "  " if " CB " in line else line for line in pdb_lines]
    assert "has no element" in complaint(source=write_pdb(tmp_path / "x.pdb", lines))


def test_missing_hydrogens(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    heavy = [line for line in pdb_lines if line[76:78].strip() != "H" and not line.startswith("CONECT")]
    sentence = complaint(source=write_pdb(tmp_path / "heavy.pdb", heavy))
    assert "has no hydrogens" in sentence and "--repair" in sentence


def test_some_hydrogens_missing(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    lines = [line for line in pdb_lines if line[12:16].strip() not in ("HA", "HB1") and "CONECT" not in line]
    sentence = complaint(source=write_pdb(tmp_path / "some.pdb", lines))
    assert "missing 2 hydrogen atoms" in sentence and "--repair" in sentence


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_truncated_model_file(
    complaint: Callable[..., str], model: Path, tmp_path: Path, part: float
) -> None:
    data = model.read_bytes()
    broken = tmp_path / "broken.unisim.pt"
    broken.write_bytes(data[: int(part * len(data))])
    sentence = complaint(file=broken)
    assert str(broken) in sentence and ("truncated" in sentence or "empty" in sentence)


def test_foreign_model_files(complaint: Callable[..., str], tmp_path: Path) -> None:
    text = tmp_path / "text.unisim.pt"
    text.write_text("not a model", encoding="utf-8")
    assert "is not a model file" in complaint(file=text)
    archive = tmp_path / "zip.unisim.pt"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a/b.txt", "hello")
    assert "no openmm_unisim metadata" in complaint(file=archive)
    script = tmp_path / "script.unisim.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(script))
    assert "no openmm_unisim metadata" in complaint(file=script)


def test_no_such_model(complaint: Callable[..., str], tmp_path: Path) -> None:
    assert "nowhere" in complaint(file=tmp_path / "nowhere.unisim.pt")
    assert "no-such-name" in complaint(file=Path("no-such-name"))


def test_torch_other_than_the_builds(model: Path, tmp_path: Path) -> None:
    """In a process whose torch says that it is another version."""
    code = "import torch; torch.__version__ = '2.9.1'; from openmm_unisim.cli.main import main; main()"
    command = [sys.executable, "-c", code, "simulate", "ACE-ALA-NME", "--model", str(model), *FAST]
    result = subprocess.run(
        [*command, "--output", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("Error: The compiled plugin was built against torch 2.13")
    assert "torch 2.9.1 is installed" in result.stderr and "pip install" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


def test_temperature_outside_the_models(complaint: Callable[..., str]) -> None:
    sentence = complaint("--temperature", "500")
    assert "500 K is outside the 250 to 350 K" in sentence and "choose one within" in sentence


def test_nan_positions(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    lines = [
        line[:30] + "     nan" + line[38:] if line[12:16].strip() == "CB" else line for line in pdb_lines
    ]
    sentence = complaint(source=write_pdb(tmp_path / "nan.pdb", lines))
    assert "non-finite coordinates" in sentence and "repair" in sentence


def test_overlapping_atoms(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    lines = [
        line[:30] + "   0.000   0.000   0.000" + line[54:] if "ATOM" in line[:6] else line
        for line in pdb_lines
    ]
    sentence = complaint(source=write_pdb(tmp_path / "zero.pdb", lines))
    assert "potential energy of the input structure" in sentence or "bond" in sentence


def test_unwritable_output(complaint: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert "choose a writable folder" in complaint(output=tmp_path / "file" / "run")
    assert "is a file" in complaint(output=tmp_path / "file")


def test_folder_in_use(complaint: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert "is not empty; add --resume" in complaint(output=tmp_path)
    assert "holds no run to resume" in complaint("--resume", output=tmp_path)


def test_no_such_platform(complaint: Callable[..., str]) -> None:
    sentence = complaint("--platform", "Quantum")
    assert "no OpenMM platform 'Quantum'" in sentence and "Reference" in sentence


def test_substeps_that_the_model_does_not_offer(complaint: Callable[..., str], tmp_path: Path) -> None:
    fixed = tmp_path / "fixed.unisim.pt"
    write_toy(
        fixed, "constant", metadata={**METADATA, "default_substeps": 4}, times=[0.0, 0.1, 0.5, 0.9, 1.0]
    )
    sentence = complaint("--substeps", "7", file=fixed)
    assert "7" in sentence and "substeps" in sentence


def test_pdb_that_does_not_parse(complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path) -> None:
    lines = [line[:30] + "not a number" + line[42:] for line in pdb_lines]
    sentence = complaint(source=write_pdb(tmp_path / "bad.pdb", lines))
    assert "can't be read as a structure" in sentence and "repair it" in sentence
    assert "empty.pdb' holds no atoms" in complaint(source=write_pdb(tmp_path / "empty.pdb", ["END"]))


def test_input_that_is_neither_file_nor_sequence(complaint: Callable[..., str]) -> None:
    assert "neither a file nor a capped sequence" in complaint(source="aspirin.pdb")
    assert "not an amino acid" in complaint(source="ACE-XYZ-NME")


def test_a_residue_that_the_force_field_lacks(
    complaint: Callable[..., str], pdb_lines: list[str], tmp_path: Path
) -> None:
    lines = [line.replace("ALA", "LIG") for line in pdb_lines]
    assert "no parameters" in complaint(source=write_pdb(tmp_path / "lig.pdb", lines))


@pytest.mark.parametrize(
    "changes, words",
    [
        (("--policy", "ignore"), "choose one of reject, stop, keep"),
        (("--environment", "water"), "choose one of vacuum, obc2"),
        (("--jumps", "0"), "must be at least 1"),
        (("--seed", "0"), "must be at least 1"),
        (("--temperature", "nan"), "not finite"),
        (("--thermalise", "-1"), "at least 0"),
        (("--reference", "nowhere.xtc"), "no reference trajectory 'nowhere.xtc'"),
        (("--reference", __file__), "a suffix that no reader knows"),  # told before the jumps
    ],
)
def test_bad_settings(complaint: Callable[..., str], changes: tuple[str, ...], words: str) -> None:
    assert words in complaint(*changes)


def test_debug_shows_the_traceback_wherever_it_stands(model: Path, tmp_path: Path) -> None:
    arguments = [
        "simulate",
        "ACE-ALA-NME",
        "--model",
        str(model),
        "--output",
        str(tmp_path / "r"),
        "--policy",
        "x",
    ]
    for line in (["--debug", *arguments], [*arguments, "--debug"]):
        result = CliRunner().invoke(program, line)
        assert result.exit_code == 1 and isinstance(result.exception, ConfigError)


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("openmm_unisim.simulation.runner.run_simulation", fail)
    result = CliRunner().invoke(
        program, ["simulate", "ACE-ALA-NME", "--model", "x", "--output", str(tmp_path / "r")]
    )
    assert isinstance(result.exception, ZeroDivisionError)
