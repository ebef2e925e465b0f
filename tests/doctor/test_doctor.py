"""`openmm-unisim doctor` says what is wrong, also where next to nothing works."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmm_unisim import _plugin
from openmm_unisim.cli.main import app as program
from openmm_unisim.doctor import examine as examination
from openmm_unisim.doctor import models, platforms, self_test, versions
from openmm_unisim.doctor.finding import Finding
from openmm_unisim.pretrained import registry, trust
from tests.toy_models import write_toy

BUILD_INFO = Path(_plugin.__file__).parent / "lib" / "build_info.json"


def faults(found: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found if finding.level == "fault"}


def run(*arguments: str) -> tuple[int, dict]:
    result = CliRunner().invoke(program, ["doctor", "--json", "--no-self-test", *arguments])
    return result.exit_code, json.loads(result.stdout)


def test_a_sound_installation_has_no_fault() -> None:
    code, found = run()
    assert code == 0 and found["faults"] == 0
    names = {finding["name"] for finding in found["findings"]}
    assert {"python", "torch", "openmm", "plugin", "Reference", "ala2", "OMP_NUM_THREADS"} <= names


def test_the_table_holds_what_json_does() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(program, ["doctor", "--no-self-test"])
    assert result.exit_code == 0 and "Everything that is needed works." in result.stdout
    assert "plugin built against" in result.stdout


def test_a_plugin_that_was_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plugin, "_LIBRARIES", tmp_path)
    monkeypatch.setattr(_plugin, "load_plugin", _plugin.load_plugin.__wrapped__)
    monkeypatch.setattr(_plugin, "load_operators", _plugin.load_operators.__wrapped__)
    code, found = run()
    wrong = {finding["name"]: finding for finding in found["findings"] if finding["level"] == "fault"}
    assert code == 1 and {"compiled plugin", "plugin", "fused operators"} <= set(wrong)
    assert "pip install --no-build-isolation ." in wrong["compiled plugin"]["cure"]


@pytest.mark.parametrize("name", ["torch", "openmm", "python"])
def test_another_minor_version_than_the_one_built_against(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = json.loads(BUILD_INFO.read_text(encoding="utf-8")) | {name: "1.99.0"}
    (tmp_path / "build_info.json").write_text(json.dumps(built), encoding="utf-8")
    monkeypatch.setattr(_plugin, "_LIBRARIES", tmp_path)
    wrong = faults(versions.version_findings())
    assert list(wrong) == [name] and "1.99.0" in wrong[name].text
    assert "uild it again" in wrong[name].cure


def test_a_truncated_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = registry.registered_models()["ala2"]
    for name in ("registry.json",):
        shutil.copy(registry.FOLDER / name, tmp_path / name)
    for model in registry.registered_models().values():
        (tmp_path / model.name).mkdir()
        shutil.copy(model.path, tmp_path / model.name / model.path.name)
    truncated = tmp_path / "ala2" / shipped.path.name
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    listed, resolved = registry.registered_models, registry.resolve_model
    monkeypatch.setattr(models, "registered_models", lambda: listed(tmp_path))
    monkeypatch.setattr(models, "resolve_model", lambda name: resolved(name, tmp_path))
    wrong = faults(models.model_findings())
    assert list(wrong) == ["ala2"] and "install openmm_unisim again" in wrong["ala2"].cure


def test_files_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = write_toy(tmp_path / "mine.unisim.pt")
    (tmp_path / "broken.unisim.pt").write_bytes(mine.read_bytes()[:-300])
    found = {
        f.name: f for f in models.model_findings([mine, tmp_path / "broken.unisim.pt", tmp_path / "none"])
    }
    assert found[str(mine)].level == "ok"
    assert "truncated" in found[str(tmp_path / "broken.unisim.pt")].cure
    assert "neither a registered model nor a file" in found[str(tmp_path / "none")].cure
    monkeypatch.setenv(trust.LIST_VARIABLE, str(tmp_path / "empty"))
    monkeypatch.setattr(trust, "_process", set())
    foreign = {f.name: f for f in models.model_findings([mine])}[str(mine)]
    assert foreign.level == "note" and "--trust" in foreign.cure


@pytest.mark.parametrize(
    "reason, cure",
    [
        ("libcuda.so.1: cannot open shared object file", "NVIDIA driver"),
        ("libOpenCL.so.1: cannot open shared object file", "apt-get install"),
        ("undefined symbol: _ZN3c10", "built against other libraries"),
        ("something else", "build it again"),
    ],
)
def test_load_failures_have_cures(reason: str, cure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plugin, "_failures", {"libOpenMMUniSimX.so": reason})
    found = {finding.name: finding for finding in versions.plugin_findings()}
    assert found["libOpenMMUniSimX.so"].level == "note" and cure in found["libOpenMMUniSimX.so"].cure


def test_openms_own_load_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    import openmm

    text = "Error loading library /x/libOpenMMCUDA.so: libcuda.so.1: cannot open shared object file"
    monkeypatch.setattr(openmm.Platform, "getPluginLoadFailures", staticmethod(lambda: (text,)))
    found = {finding.name: finding for finding in platforms.platform_findings()}
    assert "libcuda" in found["CUDA"].text and "NVIDIA driver" in found["CUDA"].cure


def test_an_unnamed_context_on_pocl_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENMM_DEFAULT_PLATFORM", raising=False)
    found = {f.name: f for f in platforms.setting_findings({"OpenCL": "pthread-Intel(R) Xeon(R)"})}
    assert found["OPENMM_DEFAULT_PLATFORM"].level == "note"
    monkeypatch.setenv("OPENMM_DEFAULT_PLATFORM", "Abacus")
    assert faults(platforms.setting_findings({}))["OPENMM_DEFAULT_PLATFORM"].cure.startswith("unset it")


def test_without_openmm_there_are_no_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openmm", None)
    assert platforms.platform_names() == [] and platforms.platform_findings() == []
    assert "openmm" in faults(versions.version_findings())


def test_the_self_test_jumps_on_reference() -> None:
    found, _ = self_test.run_self_test(["Reference"])
    assert [finding.level for finding in found] == ["ok"], found
    assert "3 jumps of ala2" in found[0].text


def answers_of(*answers: dict):
    given = iter(answers)
    return lambda names, timeout_s: next(given)


def test_a_platform_that_ends_the_process_does_not_end_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"device": "", "seconds": 1.0, "positions": [0.0, 1.0]}
    off = {"device": "gpu", "seconds": 1.0, "positions": [0.0, 1.1]}
    monkeypatch.setattr(
        self_test, "_run",
        answers_of(({"Reference": good}, "the process died of signal 11"), ({"OpenCL": off}, "")),
    )  # fmt: skip
    found, devices = self_test.run_self_test(["Reference", "CPU", "OpenCL"])
    assert [finding.level for finding in found] == ["ok", "fault", "fault"]
    assert "signal 11" in found[1].text and "from Reference" in found[2].text and devices == {"OpenCL": "gpu"}


def test_no_self_test_without_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [Finding("plugin", "plugin", "not loaded", "fault", "build it again")]
    monkeypatch.setattr(examination, "plugin_findings", lambda: broken)
    monkeypatch.setattr(examination, "run_self_test", lambda names: pytest.fail("tried"))
    assert "not tried" in examination.examine()[-1].text
