"""Which model files may be run: the list of the account, what one call vouches for, and what vouches for nothing."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from openmm_unisim import ModelFileError, UntrustedModelError, trust_model
from openmm_unisim.errors import ConfigError
from openmm_unisim.export.change import change_metadata
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.pretrained import trust
from openmm_unisim.pretrained.registry import registered_models
from openmm_unisim.pretrained.trust import authorise, list_file, refusal, remember
from openmm_unisim.provenance import sha256_of_file
from tests.toy_models import write_toy

DIGEST = "ab" * 32


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh account, whose list is the path returned, and a process that trusts nothing yet."""
    monkeypatch.setenv(trust.LIST_VARIABLE, str(tmp_path / "account" / "trusted_models"))
    monkeypatch.delenv(trust.DIGESTS_VARIABLE, raising=False)
    monkeypatch.setattr(trust, "_process", set())
    return tmp_path / "account" / "trusted_models"


@pytest.fixture
def foreign(account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model file that another account made, with its checksum beside it."""
    path = write_toy(tmp_path / "foreign.unisim.pt", sigma=0.0321)
    account.unlink()
    trust._process.clear()
    return path


def test_a_file_from_elsewhere_is_refused_and_its_checksum_vouches_for_nothing(foreign: Path) -> None:
    assert foreign.with_name(foreign.name + ".sha256").is_file()
    for load in (load_model_file, lambda path: change_metadata(path, path, {"license": "CC0"})):
        with pytest.raises(UntrustedModelError) as error:
            load(foreign)
        text = str(error.value)
        assert sha256_of_file(foreign) in text and "--trust" in text and "trusted=True" in text
        assert text.count(". ") == 0 and text.endswith(".")


def test_the_caller_may_vouch_for_it(foreign: Path) -> None:
    digest = sha256_of_file(foreign)
    with pytest.raises(ModelFileError, match="0000 was asked for"):
        load_model_file(foreign, sha256="0" * 64)
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        load_model_file(foreign, sha256="0" * 63)
    with pytest.raises(UntrustedModelError):  # neither of which was a yes
        load_model_file(foreign)
    assert load_model_file(foreign, sha256=digest.upper())[1].lag_time_ps == 1.0
    load_model_file(foreign)  # and this process goes on running it


def test_trusted_is_enough_and_trust_model_is_for_the_process(foreign: Path) -> None:
    load_model_file(foreign, trusted=True)
    trust._process.clear()
    assert trust_model(foreign) == sha256_of_file(foreign)
    load_model_file(foreign)
    with pytest.raises(ModelFileError, match="was asked for"):
        trust_model(foreign, DIGEST)


def test_what_this_account_made_is_trusted_by_content_and_not_by_name(account: Path, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "mine.unisim.pt")
    other = write_toy(tmp_path / "other.unisim.pt", sigma=0.0123)
    trust._process.clear()
    copy = shutil.copy(path, tmp_path / "copy.unisim.pt")
    load_model_file(copy)
    account.write_text(account.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    trust._process.clear()
    shutil.copy(other, path)  # another content under a trusted name
    shutil.copy(other.with_name(other.name + ".sha256"), path.with_name(path.name + ".sha256"))
    with pytest.raises(UntrustedModelError):
        load_model_file(path)


def test_shipped_files_are_trusted_wherever_they_lie(account: Path, tmp_path: Path) -> None:
    model = registered_models()["ala2"]
    assert refusal("anywhere", model.sha256) == ""
    assert refusal("anywhere", "") != "" and refusal("anywhere", DIGEST) != ""


def test_the_variable_pins_digests(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.DIGESTS_VARIABLE, f"{'cd' * 32},{DIGEST.upper()}")
    assert refusal("x", DIGEST) == ""
    monkeypatch.setenv(trust.DIGESTS_VARIABLE, "")
    assert refusal("x", "") != ""


def test_damage_of_the_list_costs_that_line_only(account: Path) -> None:
    account.parent.mkdir()
    account.write_bytes(f"{DIGEST}  made\nnonsense \xff\nef".encode("latin1"))  # breaks off
    os.chmod(account, 0o600)
    remember(Path("x"), "12" * 32, "made")
    trust._process.clear()
    assert refusal("x", DIGEST) == "" and refusal("x", "12" * 32) == "" and refusal("x", "ef" * 32) != ""


def test_a_path_cannot_add_a_line_of_its_own(account: Path) -> None:
    remember(Path(f"evil\n{DIGEST}  made"), "12" * 32, "made")
    trust._process.clear()
    assert len(account.read_text(encoding="utf-8").splitlines()) == 1 and refusal("x", DIGEST) != ""


def test_a_list_that_others_may_write_counts_for_nothing(account: Path) -> None:
    remember(Path("x"), DIGEST, "made")
    trust._process.clear()
    assert account.stat().st_mode & 0o077 == 0 and refusal("x", DIGEST) == ""
    os.chmod(account, 0o666)
    assert "others may write" in refusal("x", DIGEST)


def test_an_account_without_a_writable_home_is_warned_and_the_process_goes_on(
    account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(
        trust.LIST_VARIABLE, str(tmp_path / "file" / "list")
    )  # below a file: nobody can write it
    with pytest.warns(UserWarning, match="can't be noted as trusted"):
        path = write_toy(tmp_path / "mine.unisim.pt")
    load_model_file(path)


def test_where_the_list_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(trust.LIST_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert list_file() == tmp_path / "openmm-unisim" / "trusted_models"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")  # to be ignored, by the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list_file() == tmp_path / ".config" / "openmm-unisim" / "trusted_models"


def _remember_many(number: int) -> None:
    for k in range(50):
        remember(Path("x"), f"{number * 1000 + k:064x}", "made")


def test_processes_that_append_at_once_lose_nothing(account: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_remember_many, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len(trust._remembered()[0]) == 150 and len(account.read_text(encoding="utf-8").splitlines()) == 150


def test_authorise_returns_the_digest(account: Path) -> None:
    with pytest.raises(UntrustedModelError):
        authorise("x", DIGEST)
    assert authorise("x", DIGEST, trusted=True) == DIGEST
